"""The command line of ``tsserv-ping``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import NoReturn

from tsserv.ping import parsers
from tsserv.ping.answers import LARGEST, SMALLEST
from tsserv.ping.combinations import check
from tsserv.ping.helptext import DESCRIPTION, SECTIONS
from tsserv.ping.outputs.table import OUTPUTS
from tsserv.ping.proxyheader import VERSIONS
from tsserv.ping.streams import write_error, write_line
from tsserv.ping.targets import read_targets
from tsserv.ping.verdict import NAGIOS, USAGE, limit, nagios_line

#: The name of the program.
PROGRAM = "tsserv-ping"

# The default port of the service.
_PORT = 21567

# A Nagios plugin has to end: the default number of probes is that of check_ping.
_NAGIOS_COUNT = 5

_DAY = 86400  # seconds
_YEAR = 366 * _DAY


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    nagios = False

    def print_help(self, file: object = None) -> None:
        """Write the help text; :mod:`argparse` would ignore errors."""
        write_line(self.format_help().rstrip())

    def error(self, message: str) -> NoReturn:
        """End the program with a message; :mod:`argparse` calls this if the options are wrong."""
        message = re.sub("^argument ", "", message)
        if self.nagios:
            write_line(nagios_line("unknown", message))
            self.exit(NAGIOS["unknown"])
        write_error(f"{self.prog}: {message} (see {self.prog} --help)")
        self.exit(USAGE)


class _Version(argparse.Action):
    """Shows the version; it is looked up only then, since that is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        write_line(f"{parser.prog} {version('tsserv')}")
        parser.exit()


def make_parser() -> Parser:
    """Return the parser, from which the manual page and the shell completions are made too."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [options] TARGET...",
        description=DESCRIPTION,
        epilog="\n".join(f"{title}:\n{text}" for title, text in SECTIONS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="HOST, HOST:PORT, HOST PORT or unix:PATH",
    )
    option("--targets", dest="file", metavar="FILE", type=Path, help="read more targets, a line for each")
    option("-V", "--version", action=_Version, nargs=0, help="show the version and exit")
    option("-c", "--count", metavar="N", type=parsers.integer(1, 10**9), help="stop after N probes")
    seconds = parsers.number(0.001, _DAY)
    option("-i", "--interval", metavar="S", type=seconds, help="seconds between probes [1]")
    option(
        *("-W", "--timeout"),
        metavar="S",
        type=seconds,
        default=5.0,
        help="seconds to wait for an answer [5]",
    )
    size, sizes = parsers.integer(SMALLEST, LARGEST), f"{SMALLEST} to {LARGEST}"
    option("-s", "--size", metavar="B", type=size, default=64, help=f"bytes per probe, {sizes} [64]")
    option(
        *("-w", "--deadline"),
        metavar="S",
        type=parsers.number(0.001, _YEAR),
        help="stop after S seconds, whatever is missing",
    )
    option("--reconnect", action="store_true", help="use a new connection for each probe")
    option("--once", action="store_true", help="stop when the connection ends, do not connect again")

    group = parser.add_argument_group("path")
    option = group.add_argument
    port = parsers.integer(1, 65535)
    option("--port", metavar="PORT", type=port, help=f"of each HOST without one [{_PORT}]")
    family = group.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=AF_INET, help="use IPv4 only")
    family.add_argument("-6", dest="family", action="store_const", const=AF_INET6, help="use IPv6 only")
    option("--source", metavar="ADDRESS", type=parsers.ip_address, help="connect from this IP address")
    option("--interface", metavar="NAME", type=parsers.interface, help="use this network interface (Linux)")
    option("--tos", metavar="TOS", type=parsers.tos, help="set the type of service or traffic class")
    option("--proxy-header", metavar="V", choices=VERSIONS, help="send a PROXY header first, v1 or v2")

    option = parser.add_argument_group("TLS").add_argument
    option("--tls", action="store_true", help="use TLS, and verify the server's certificate")
    option("--cafile", metavar="FILE", help="trust the CAs in this file instead of the system's")
    option(
        "--servername",
        metavar="NAME",
        type=parsers.host_name,
        help="the name to request and verify instead of HOST",
    )
    option("--certificate", metavar="FILE", help="this client's certificate, and perhaps key")
    option("--private-key", metavar="FILE", help="the key of that certificate")
    option("--insecure", action="store_true", help="do not verify the certificate")

    option = parser.add_argument_group("load").add_argument
    option("-f", "--flood", action="store_true", help="send each probe as soon as the last is answered")
    option("--connections", metavar="N", type=parsers.integer(1, 10**6), help="number of connections [1]")
    option("--duration", metavar="S", type=seconds, help="seconds to send [10]")

    group = parser.add_argument_group("output")
    standard_output = group.add_mutually_exclusive_group()
    for output in OUTPUTS:
        if output.to_file:
            group.add_argument(f"--{output.option}", metavar="FILE", type=Path, help=output.help)
        elif output.metavar:
            standard_output.add_argument(
                f"--{output.option}", metavar=output.metavar, type=output.parse, help=output.help
            )
        else:
            standard_output.add_argument(f"--{output.option}", action="store_true", help=output.help)
    option = group.add_argument
    option("-q", "--quiet", action="store_true", help="no line for each probe, only the summary")
    option("-D", "--timestamps", action="store_true", help="begin each line with the seconds since 1970")
    for name, text in (("--warn", "warn if the mean rtt is outside (see below)"), ("--crit", "as critical")):
        option(name, metavar="RANGE", type=limit, action="append", default=[], help=text)
    return parser


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; end the program with a message if they are wrong."""
    parser.nagios = "--nagios" in arguments
    options = parser.parse_intermixed_args(arguments)
    options.warn, options.crit = dict(options.warn), dict(options.crit)
    try:
        options.targets = read_targets(options.targets, options.file, options.port or _PORT)
        check(options)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--targets: cannot read {str(options.file)!r}: {error.strerror}")
    if options.source:
        options.family = AF_INET6 if ":" in options.source else AF_INET
    if options.count is None and options.nagios:
        options.count = _NAGIOS_COUNT
    return options
