"""The options of ``twistd tsserv`` that take a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twisted.python.usage import CompleteFiles, CompleteList, Completer

from tsserv import parsers
from tsserv.connections.accesslog import LOGGED_ENDS
from tsserv.framing import FRAMINGS
from tsserv.ops.logfile import FORMATS

#: How many connections may wait to be accepted: with the 50 of most Twisted services a burst of thousands
#: takes a minute to get in.
BACKLOG = 4096


class Option(NamedTuple):
    """One option."""

    name: str
    text: str
    #: Returns the value; raises ``ValueError``, which says what is wrong with the text.
    parse: Callable[[str], object] = str
    default: object = None
    #: A letter.
    short: str | None = None
    #: Completes values in a shell; by default nothing does.
    completer: Completer = Completer()


_PEM = CompleteFiles("*.pem")

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
    Option("certificate", "PEM file with the certificate chain for TLS.", completer=_PEM),
    Option(
        "private-key",
        "PEM file with the certificate's key, not encrypted. [default: the file of --certificate]",
        completer=_PEM,
    ),
    Option(
        "client-ca",
        "PEM file with certificates; clients need one that is signed by one of these.",
        completer=_PEM,
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
        completer=CompleteList(FRAMINGS),
    ),
    Option(
        "time-format",
        "ctime, iso8601, unix, or a pattern for strftime with a % in it.",
        default="ctime",
        completer=CompleteList(["ctime", "iso8601", "unix"]),
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
        "logfile",
        "File to append the service's own log to; twistd's log has it too.",
        short="l",
        completer=CompleteFiles(),
    ),
    Option(
        "log-format",
        "Format of --logfile: text, or json, with one object a line.",
        parsers.one_of(FORMATS),
        default="text",
        completer=CompleteList(FORMATS),
    ),
    Option(
        "log-connections",
        "Log connections that open, that close, both or none.",
        parsers.one_of(LOGGED_ENDS),
        default="both",
        completer=CompleteList(LOGGED_ENDS),
    ),
)
