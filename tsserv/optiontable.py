"""The options of ``twistd tsserv`` that take a value."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from tsserv import parsers
from tsserv.connections.accesslog import LOGGED_ENDS
from tsserv.framing import FRAMINGS
from tsserv.net.endpoints import parse_status
from tsserv.ops.logfile import FORMATS

#: How many connections may wait to be accepted: with the 50 of most Twisted services a burst of thousands
#: takes a minute to get in.
BACKLOG = 4096

#: Bytes of the kernel's memory for each direction of a TCP connection.  A client that sends and does not read
#: could otherwise fill 10 MiB.  The price: with a round trip of 100 ms, 1.6 MB a second is the most.
SOCKET_BUFFER = 256 * 1024

#: Networks whose PROXY headers are believed: this machine.
PROXY_TRUST = parsers.networks("127.0.0.0/8,::1")


class Option(NamedTuple):
    """One option."""

    name: str
    text: str
    #: Returns the value; raises ``ValueError``, which says what is wrong with the text.
    parse: Callable[[str], object] = str
    default: object = None
    #: A letter.
    short: str | None = None
    #: Values that a shell completes.
    words: Collection[str] = ()
    #: The pattern of the files that a shell completes, if the value is one.
    files: str | None = None


#: In the order of ``--help``.
OPTIONS = (
    Option(
        "port",
        "TCP port to listen on; 0 lets the system choose. [default: 21567, but none with --listen or if "
        "systemd passes sockets, which are used then]",
        parsers.whole_number(0, 65535),
        short="p",
    ),
    Option(
        "interface",
        "IP address to listen on; :: is every address, IPv6 and IPv4. [default: every IPv4 address]",
        parsers.ip_address,
        short="i",
    ),
    Option(
        "backlog",
        f"Connections that may wait to be accepted; the system may cap it. [default: {BACKLOG}]",
        parsers.whole_number(1, parsers.INT_MAX),
    ),
    Option(
        "socket-buffer",
        "Bytes of the kernel's memory for each direction of a TCP connection; 0 lets the kernel decide. "
        f"[default: {SOCKET_BUFFER}]",
        parsers.whole_number(0, parsers.INT_MAX),
    ),
    Option("certificate", "PEM file with the certificate chain for TLS.", files="*.pem"),
    Option(
        "private-key",
        "PEM file with the certificate's key, not encrypted. [default: the file of --certificate]",
        files="*.pem",
    ),
    Option(
        "client-ca",
        "PEM file with certificates; clients need one that is signed by one of these.",
        files="*.pem",
    ),
    Option(
        "proxy-trust",
        "Networks whose PROXY headers are believed, separated by commas. [default: 127.0.0.0/8,::1]",
        parsers.networks,
    ),
    Option(
        "framing",
        "Where stamps go: before each chunk that arrives, or before each line.",
        parsers.one_of(FRAMINGS),
        default="chunk",
        words=FRAMINGS,
    ),
    Option(
        "time-format",
        "ctime, iso8601, unix, or a pattern for strftime with a % in it.",
        default="ctime",
        words=("ctime", "iso8601", "unix"),
    ),
    Option(
        "max-connections",
        "Connections at once; further ones are closed. [default: the limit of file descriptors, less 32]",
        parsers.whole_number(1, parsers.INT_MAX),
    ),
    Option(
        "max-connections-per-host",
        "Connections at once from one IPv4 address or IPv6 /64; 0 is no limit.",
        parsers.whole_number(0, parsers.INT_MAX),
        default=0,
    ),
    Option(
        "idle-timeout",
        "Seconds after which a connection that has sent nothing is closed; 0 is never.",
        parsers.seconds,
        default=0.0,
    ),
    Option(
        "stall-timeout",
        "Seconds in which a client must read 16 KiB of the answers waiting for it; 0 is any time.",
        parsers.seconds,
        default=60.0,
    ),
    Option(
        "drain-timeout",
        "Seconds that open connections have to finish when the service stops.",
        parsers.seconds,
        default=5.0,
    ),
    Option(
        "drain-delay",
        "Seconds after SIGTERM in which clients can still connect, while balancers see that /ready of "
        "--status is 404; a second SIGTERM ends them.",
        parsers.seconds,
        default=0.0,
    ),
    Option(
        "status",
        "Port or endpoint for HTTP, on loopback if it gives no address: health for balancers, metrics for "
        "Prometheus, and a page for people.",
        parse_status,
    ),
    Option(
        "logfile",
        "File to append the service's own log to; twistd's log has it too.",
        short="l",
        files="*",
    ),
    Option(
        "log-format",
        "Format of --logfile: text, or json, with one object a line.",
        parsers.one_of(FORMATS),
        default="text",
        words=FORMATS,
    ),
    Option(
        "log-connections",
        "Log connections that open, that close, both or none.",
        parsers.one_of(LOGGED_ENDS),
        default="both",
        words=LOGGED_ENDS,
    ),
)
