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
from tsserv.ping.verdict import NAGIOS, USAGE, nagios_line

# The port of the service.
_PORT = 21567

# A plugin of Nagios has to come to an end: so many probes, as check_ping sends.
_NAGIOS_COUNT = 5

_DAY = 86400  # seconds

# Options that mean nothing without another.
_ONLY_WITH = {
    "connections": "flood",
    "duration": "flood",
    "cafile": "tls",
    "servername": "tls",
    "insecure": "tls",
}

# Options that mean nothing with --flood: it has a pace of its own, and too many probes to write of each.
_NOT_WITH_FLOOD = ("count", "interval", "reconnect", "csv", "plot")

_DESCRIPTION = """\
Asks a tsserv for the time, once a second, over one TCP connection. Says of each
answer how long it took and how far the server's clock is ahead of this one, and
sums it up in the end: after --count probes, or when you press Ctrl-C.
"""

#: Sections of the manual page, which --help has at its end.
SECTIONS = {
    "clocks": """\
A round-trip time is of this machine's CLOCK_MONOTONIC: from before the probe is
given to the system to after the last byte of its answer has been taken from it.
The offset compares this machine's CLOCK_REALTIME with the stamp in the answer.
After "+/-" stands how far off it may be: half of the round-trip time, and what
the stamp leaves open, which is half a second if it is of whole seconds (the
format ctime) and a microsecond otherwise. The offset in the summary is what all
stamps together allow, so the fastest answers decide. The formats ctime, iso8601
and unix are recognised; stamps of a pattern for strftime are shown and not read.
""",
    "exit status": """\
0 if every probe was answered in time; 1 if one was not, or was answered twice or
with other bytes, or if the mean round-trip time is over --warn; 2 if it is over
--crit, or if the options are wrong; 3 if there was no connection. With --nagios:
0 (OK); 1 (WARNING) as above; 2 (CRITICAL) if the mean round-trip time is over
--crit, if nothing was answered, or if there was no connection; 3 (UNKNOWN) if
the options are wrong.
""",
}


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    nagios = False

    def error(self, message: str) -> NoReturn:
        """End the program, as :mod:`argparse` asks for when the options are wrong."""
        message = re.sub("^argument ", "", message)
        if self.nagios:
            print(nagios_line("unknown", message))
            self.exit(NAGIOS["unknown"])
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Shows the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"{parser.prog} {version('tsserv')}")
        parser.exit()


def make_parser() -> Parser:
    """Return the parser; the manual page and the shell completions are made of it, too."""
    parser = Parser(
        prog="tsserv-ping",
        usage="%(prog)s [options] HOST[:PORT]",
        description=_DESCRIPTION,
        epilog="\n".join(f"{title}:\n{text}" for title, text in SECTIONS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("target", metavar="HOST[:PORT]", type=parsers.target(_PORT), help=f"the service [port {_PORT}]")
    option("-V", "--version", action=_Version, nargs=0, help="show the version and exit")
    option("-c", "--count", metavar="N", type=parsers.whole(1, 10**9), help="end after so many probes")
    seconds = parsers.number(0.001, _DAY)
    option("-i", "--interval", metavar="S", type=seconds, help="seconds between probes [1]")
    option(
        *("-W", "--timeout"),
        metavar="S",
        type=seconds,
        default=5.0,
        help="seconds to wait for each answer [5]",
    )
    size, sizes = parsers.whole(SMALLEST, LARGEST), f"{SMALLEST} to {LARGEST}"
    option("-s", "--size", metavar="B", type=size, default=64, help=f"bytes in a probe, {sizes} [64]")
    option("--reconnect", action="store_true", help="make a new connection for each probe")
    family = parser.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=AF_INET, help="use IPv4 only")
    family.add_argument("-6", dest="family", action="store_const", const=AF_INET6, help="use IPv6 only")

    option = parser.add_argument_group("TLS").add_argument
    option("--tls", action="store_true", help="use TLS, and check the server's certificate")
    option("--cafile", metavar="FILE", help="trust the CAs in this file, not the system's")
    option(
        "--servername",
        metavar="NAME",
        type=parsers.host_name,
        help="the name to ask for and to check, if not HOST",
    )
    option("--insecure", action="store_true", help="do not check the certificate")

    option = parser.add_argument_group("load").add_argument
    option("-f", "--flood", action="store_true", help="send each probe as soon as the last is answered")
    option("--connections", metavar="N", type=parsers.whole(1, 10**6), help="connections at once [1]")
    option("--duration", metavar="S", type=seconds, help="seconds for which to send [10]")

    group = parser.add_argument_group("output")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--histogram", action="store_true", help="show how round-trip times are distributed")
    form.add_argument(
        "--json", action="store_true", help="write a JSON object for each probe and for the run"
    )
    form.add_argument(
        "--nagios", action="store_true", help=f"write one line for Nagios [--count {_NAGIOS_COUNT}]"
    )
    option = group.add_argument
    option("--csv", metavar="FILE", type=Path, help="write a row for each probe")
    option("--plot", metavar="FILE", type=Path, help="draw the run, as .svg or .png")
    milliseconds = parsers.number(0, 1e9)
    option("--warn", metavar="MS", type=milliseconds, help="a mean round-trip time above this is a warning")
    option("--crit", metavar="MS", type=milliseconds, help="a mean round-trip time above this is critical")
    return parser


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options, if they go together; else end the program."""
    parser.nagios = "--nagios" in arguments
    options = parser.parse_args(arguments)
    for name, needed in _ONLY_WITH.items():
        if getattr(options, name) and not getattr(options, needed):
            parser.error(f"--{name}: only with --{needed}")
    for name in _NOT_WITH_FLOOD:
        if options.flood and getattr(options, name):
            parser.error(f"--{name}: not with --flood")
    if options.insecure and options.cafile:
        parser.error("--cafile: not with --insecure, which checks nothing")
    if None not in (options.warn, options.crit) and options.warn > options.crit:
        parser.error(f"--warn: {options.warn:g} is more than --crit, {options.crit:g}")
    if options.plot is not None and options.plot.suffix not in (".svg", ".png"):
        parser.error(f"--plot: {str(options.plot)!r} ends neither in .svg nor in .png")
    if options.count is None and options.nagios:
        options.count = _NAGIOS_COUNT
    return options
