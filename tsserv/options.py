"""The command line of ``twistd tsserv``."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar, NoReturn

from twisted.python import usage

from tsserv import parsers
from tsserv.connections.accesslog import LOGGED_ENDS
from tsserv.connections.admission import most_connections
from tsserv.framing import FRAMINGS
from tsserv.layers.credentials import Credentials
from tsserv.layers.proxy import LOOPBACK
from tsserv.net.endpoints import parse_description, passed_by_systemd
from tsserv.ops.logfile import FORMATS, open_log
from tsserv.stamp import Stamp


class Options(usage.Options):
    """
    What ``twistd tsserv`` takes; every value is checked while it is parsed.

    What is asked for by name is made here, so that it is a usage error if it cannot be: ``logfile``
    becomes an open file, and ``stamp`` the :class:`Stamp` that ``time-format`` and ``utc`` describe.
    """

    synopsis = "[options]"
    longdesc = (
        "Answers everything that a client sends over TCP with the time and those bytes: "
        "[Mon Nov 23 08:22:38 2026] hello. twistd's own options, such as -n to stay in the foreground, "
        "--pidfile and its --logfile, go before the word tsserv."
    )
    optFlags: ClassVar[list[list[object]]] = [
        ["utc", None, "Give the time of UTC, not of the server's time zone."],
        ["reuse-port", None, "Let several processes listen on the same TCP port, each for a share of it."],
        ["no-eager", None, "Serve with Twisted's own way through the reactor, which is slower."],
    ]
    optParameters: ClassVar[list[list[object]]] = [
        [
            "port",
            "p",
            None,
            "TCP port to listen on; 0 lets the system choose. [default: 21567; "
            "none beside --listen, or if systemd passes sockets, which are listened on then]",
            parsers.whole_number("port", 0, 65535),
        ],
        ["certificate", None, None, "PEM file with the certificate for TLS, and those up to the root."],
        ["private-key", None, None, "PEM file with its key. [default: in the file of the certificate]"],
        ["client-ca", None, None, "PEM file; clients need a certificate that one of those in it has signed."],
        [
            "interface",
            "i",
            None,
            "IP address to listen on; :: is every address, IPv6 and IPv4. [default: every IPv4 address]",
            parsers.ip_address("interface"),
        ],
        [
            "backlog",
            None,
            4096,
            "Connections that may wait to be accepted; the system may cap it.",
            parsers.whole_number("backlog", 1, parsers.INT_MAX),
        ],
        [
            "proxy-trust",
            None,
            None,
            "Networks whose PROXY headers are believed, with commas between. [default: 127.0.0.0/8,::1]",
            parsers.networks("proxy-trust"),
        ],
        ["logfile", "l", None, "File to append the service's own log to; twistd's log has it all the same."],
        [
            "log-format",
            None,
            "text",
            "What is in the log file: text, or json, an object for each line.",
            parsers.one_of("log-format", FORMATS),
        ],
        [
            "log-connections",
            None,
            "both",
            "Log when a connection opens, when it is closed, both or none.",
            parsers.one_of("log-connections", LOGGED_ENDS),
        ],
        [
            "framing",
            None,
            "chunk",
            "Where stamps go: before each chunk that arrives, or at each line.",
            parsers.one_of("framing", FRAMINGS),
        ],
        ["time-format", None, "ctime", "ctime, iso8601, unix, or a pattern for strftime with a % in it."],
        [
            "max-connections",
            None,
            None,
            "Connections at once; more are closed as they come. [default: the limit of descriptors less 32]",
            parsers.whole_number("max-connections", 1, parsers.INT_MAX),
        ],
        [
            "max-connections-per-host",
            None,
            0,
            "Connections at once from one IPv4 address or IPv6 /64; 0 is any number.",
            parsers.whole_number("max-connections-per-host", 0, parsers.INT_MAX),
        ],
        [
            "idle-timeout",
            None,
            0.0,
            "Seconds after which a connection that has sent nothing is closed; 0 is never.",
            parsers.seconds("idle-timeout"),
        ],
        [
            "stall-timeout",
            None,
            60.0,
            "Seconds after which a client that takes none of its answers is cut off; 0 is never.",
            parsers.seconds("stall-timeout"),
        ],
        [
            "drain-timeout",
            None,
            5.0,
            "Seconds that open connections have to finish when the service stops.",
            parsers.seconds("drain-timeout"),
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """
        Listen on a Twisted endpoint, such as tcp:21567:interface=127.0.0.1, tcp6:21567,
        unix:/run/tsserv/sock:mode=660 or systemd:domain=INET:name=tsserv; before it proxy+ for PROXY
        headers, tls+ for TLS, or proxy+tls+ for both. May be given again.
        """
        try:
            listen = parse_description(description)
        except ValueError as error:
            raise usage.UsageError(f"--listen: {description!r}: {error}") from error
        self["listen"].append(listen)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the arguments after ``tsserv``.

        :raises UsageError: if they are wrong.  Under twistd the program ends instead, with status 1
            and one line on standard error: twistd would print the whole help, to standard output.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            sys.exit(f"twistd tsserv: {error} (see twistd tsserv --help)")

    def parseArgs(self, *arguments: str) -> None:
        """Refuse arguments that are not options."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}")

    def postOptions(self) -> None:
        """
        Check what one value alone does not tell.

        The log file is opened last, so that bad input leaves none, and here, before twistd changes
        umask and folder.
        """
        try:
            self["stamp"] = Stamp(self["time-format"], utc=bool(self["utc"]))
        except ValueError as error:
            raise usage.UsageError(f"--time-format: {self['time-format']!r}: {error}") from error
        if self["port"] is None and not self["listen"]:
            self["listen"] = [(False, False, endpoint) for endpoint in passed_by_systemd()]
            self["port"] = None if self["listen"] else 21567
        if self["reuse-port"] and (self["no-eager"] or not hasattr(select, "epoll")):
            raise usage.UsageError("--reuse-port: Twisted's own way through the reactor does not have it")
        self["credentials"] = self._credentials()
        if self["proxy-trust"] is None:
            self["proxy-trust"] = LOOPBACK
        elif not any(proxy for proxy, _, _ in self["listen"]):
            raise usage.UsageError("--proxy-trust: nothing takes PROXY headers; give --listen proxy+...")
        most = most_connections()
        if self["max-connections"] is None:
            self["max-connections"] = most
        if self["max-connections"] > most:
            raise usage.UsageError(
                f"--max-connections: {self['max-connections']} is more than the {most} "
                "for which the process has descriptors (ulimit -n)"
            )
        if self["logfile"] == "-":
            raise usage.UsageError("--logfile: '-' is not a file; twistd -n logs to standard output anyway")
        if self["log-format"] == "json" and self["logfile"] is None:
            raise usage.UsageError("--log-format: json is what --logfile may hold; twistd's own log is text")
        if self["logfile"] is not None:
            try:
                self["logfile"] = open_log(self["logfile"])
            except OSError as error:
                raise usage.UsageError(
                    f"--logfile: cannot open {self['logfile']!r}: {error.strerror}"
                ) from error

    def _credentials(self) -> Credentials | None:
        """Return what TLS needs, read now: as root, perhaps, and before twistd gives that up."""
        tls = any(tls for _, tls, _ in self["listen"])
        for option in ("certificate", "private-key", "client-ca"):
            if self[option] is not None and not tls:
                raise usage.UsageError(f"--{option}: nothing listens with TLS; give --listen tls+...")
        if not tls:
            return None
        if self["certificate"] is None:
            raise usage.UsageError("--listen: TLS needs --certificate")
        try:
            return Credentials(
                self["certificate"], self["private-key"] or self["certificate"], self["client-ca"]
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from error

    def opt_version(self) -> NoReturn:
        """Show the versions of tsserv and Twisted, and exit."""
        print(f"tsserv {version('tsserv')}, Twisted {version('twisted')}")
        sys.exit(0)
