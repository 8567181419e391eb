"""Options that have no effect beside the others."""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from typing import Any

from tsserv.net.endpoints import Place


def without_effect(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """
    Find the options that would be ignored, though they were meant to have an effect.

    :param config: the values of all options, where ``listen`` has the places that systemd passes.
    :return: the name of each such option, and the reason.
    """
    places: list[Place] = config["listen"]
    port = config["port"] is not None
    tls = any(place.tls for place in places)
    for option, has_effect, reason in (
        ("interface", port, "it is for --port; --listen takes interface= in its description"),
        (
            "backlog",
            port or any(place.kind != "systemd" and "backlog=" not in place.endpoint for place in places),
            "each place has its own: backlog= of --listen, or Backlog= of the socket unit",
        ),
        (
            "socket-buffer",
            port or any(place.kind != "unix" for place in places),
            "it is for TCP; the system bounds what it holds for a UNIX socket",
        ),
        (
            "reuse-port",
            port or any(place.kind in ("tcp", "tcp6") for place in places),
            "no TCP port is opened here; give --port or --listen tcp:..., or ReusePort= in the socket unit",
        ),
        ("reuse-port", not config["no-eager"], "Twisted's own way through the reactor (--no-eager) lacks it"),
        ("reuse-port", hasattr(select, "epoll"), "it takes epoll, which this system does not have"),
        ("certificate", tls, "nothing listens with TLS; give --listen tls+..."),
        ("private-key", tls, "nothing listens with TLS; give --listen tls+..."),
        ("client-ca", tls, "nothing listens with TLS; give --listen tls+..."),
        (
            "proxy-trust",
            any(place.proxy and place.kind != "unix" for place in places),
            "nothing takes PROXY headers over TCP; give --listen proxy+tcp:...",
        ),
        (
            "max-connections-per-host",
            port or any(place.proxy or place.kind != "unix" for place in places),
            "all clients of a UNIX socket are one host; use --max-connections",
        ),
        ("utc", config["time-format"] != "unix", "--time-format unix is the same in every time zone"),
        ("logfile", config["logfile"] != "-", "'-' is not a file; twistd -n logs to standard output anyway"),
        (
            "log-format",
            config["log-format"] == "text" or config["logfile"],
            "it is for --logfile; twistd's own log is text",
        ),
    ):
        if config[option] and not has_effect:
            yield option, reason
