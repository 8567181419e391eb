"""The servers that are measured, and the commands that start them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The name of the server that all others are compared with.
BASELINE = "tsserv"

#: The name of another installation of tsserv.
BEFORE = "before"

Command = tuple[str, ...]

_FOREGROUND = ("-n", "--pidfile=")  # twistd's own options
_PORT = ("--port=0", "--interface=127.0.0.1")


@dataclass(frozen=True)
class Server:
    """
    A server that is measured.

    :param name: in tables and charts, and for ``--servers``.
    :param commands: the commands that start it, by service:

        - ``"chunks"``: a stamp before each chunk;
        - ``"lines"``: a stamp before each line;
        - ``"tls"``, ``"tls lines"``: chunks or lines over TLS;
        - ``"unlogged"`` and ``"unlogged tls"``: chunks, without a log of connections;
        - ``"proxy"``: chunks, after a PROXY header;
        - ``"timer"``: chunks, and a timer that prints how late it fires;
        - ``"twistd"``: chunks, in a ``twistd`` without pyOpenSSL.
    :param needs: a Python package or a program without which it does not work.
    """

    name: str
    commands: Mapping[str, Command]
    needs: str | None = None

    def command(self, services: tuple[str, ...]) -> Command | None:
        """Return the command for the first of these services that it offers, or None."""
        return next((self.commands[service] for service in services if service in self.commands), None)

    @property
    def is_installed(self) -> bool:
        """Whether this machine has what it needs."""
        return (
            self.needs is None
            or importlib.util.find_spec(self.needs) is not None
            or shutil.which(self.needs) is not None
        )


def _python(*words: str) -> Command:
    return (sys.executable, *words)


def _tsserv(twistd: Path, certificate: Path, *options: str) -> dict[str, Command]:
    """Return the commands of the installation that this ``twistd`` belongs to."""
    python = str(twistd.with_name("python"))
    service = (*_FOREGROUND, "tsserv", *options)
    tls = ("--listen=tls+tcp:0:interface=127.0.0.1", f"--certificate={certificate}")
    return {
        "chunks": (str(twistd), *service, *_PORT),
        "lines": (str(twistd), *service, *_PORT, "--framing=line"),
        "tls": (str(twistd), *service, *tls),
        "tls lines": (str(twistd), *service, *tls, "--framing=line"),
        "proxy": (str(twistd), *service, "--listen=proxy+tcp:0:interface=127.0.0.1"),
        "timer": (python, "tsserv_lag.py", *options),
        "twistd": (python, "twistd.py", *service, *_PORT),
    }


def _unlogged(twistd: Path, certificate: Path) -> dict[str, Command]:
    commands = _tsserv(twistd, certificate, "--log-connections=none")
    return {"unlogged": commands["chunks"], "unlogged tls": commands["tls"]}


def servers(epoll: Path, certificate: Path, before: Path | None = None) -> list[Server]:
    """
    Return all servers.

    :param epoll: the program made of ``servers/epoll.c``.
    :param certificate: a PEM file with a certificate and its key.
    :param before: the ``twistd`` of another installation of tsserv.
    """
    twistd = Path(sysconfig.get_path("scripts"), "twistd")
    without_eager = _tsserv(twistd, certificate, "--no-eager")
    pem = str(certificate)
    earlier = []
    if before is not None:
        earlier = [
            Server(BEFORE, _tsserv(before.absolute(), certificate)),
            Server(f"{BEFORE} without log", _unlogged(before.absolute(), certificate)),
        ]
    return [
        Server("C epoll", {"chunks": (str(epoll),), "lines": (str(epoll), "lines")}),
        *earlier,
        Server(BASELINE, _tsserv(twistd, certificate)),
        Server(f"{BASELINE} without log", _unlogged(twistd, certificate)),
        Server(
            f"{BASELINE} --no-eager", {name: without_eager[name] for name in ("chunks", "timer", "twistd")}
        ),
        Server(
            "uvloop",
            {
                "chunks": _python("asyncio_protocol.py", "uvloop"),
                "tls": _python("asyncio_protocol.py", "uvloop", pem),
            },
            needs="uvloop",
        ),
        Server(
            "asyncio protocol",
            {
                "chunks": _python("asyncio_protocol.py", "asyncio"),
                "tls": _python("asyncio_protocol.py", "asyncio", pem),
            },
        ),
        Server(
            "asyncio streams",
            {"chunks": _python("asyncio_streams.py"), "lines": _python("asyncio_streams.py", "lines")},
        ),
        Server("gevent", {"chunks": _python("gevent_server.py")}, needs="gevent"),
        Server("socketserver", {"chunks": _python("socketserver_threads.py")}),
        Server(
            "textbook",
            {
                "chunks": _python("textbook.py"),
                "twistd": _python("twistd.py", *_FOREGROUND, "-y", "textbook.tac"),
            },
        ),
        Server("textbook on uvloop", {"chunks": _python("textbook.py", "uvloop")}, needs="uvloop"),
        Server("textbook over ssl:", {"tls": _python("textbook.py", "tls", pem)}, needs="OpenSSL"),
        Server("HAProxy", {"tls": _python("haproxy.py", str(epoll), pem)}, needs="haproxy"),
        Server("LineReceiver", {"lines": _python("line_receiver.py")}),
    ]
