"""The command line of ``twistd tsserv``, and the service that it describes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, NoReturn

from twisted.application.service import MultiService
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.python import usage

from tsserv.listen import Listener
from tsserv.logs import LogFile
from tsserv.protocol import TimestampFactory
from tsserv.stamp import Stamp


def _whole_number(option: str, least: int, most: int) -> Callable[[str], int]:
    """Return a parser of the values of ``--option``: decimal digits, for a number from least to most."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        raise usage.UsageError(f"--{option}: {text!r} is not a whole number from {least} to {most}")

    return parse


def _interface(text: str) -> str:
    """Parse the value of ``--interface``."""
    if isIPAddress(text) or isIPv6Address(text):
        return text
    raise usage.UsageError(f"--interface: {text!r} is not an IPv4 or IPv6 address")


class Options(usage.Options):
    """
    What ``twistd tsserv`` takes; every value is checked while it is parsed.

    ``logfile`` becomes an open file: one that cannot be opened is a usage error too.
    """

    synopsis = "[options]"
    longdesc = (
        "Answers everything that a client sends over TCP with the time and those bytes: "
        "[Mon Nov 23 08:22:38 2026] hello. twistd's own options, such as -n to stay in the foreground, "
        "--pidfile and its --logfile, go before the word tsserv."
    )
    optParameters: ClassVar[list[list[object]]] = [
        [
            "port",
            "p",
            21567,
            "TCP port to listen on; 0 lets the system choose.",
            _whole_number("port", 0, 65535),
        ],
        [
            "interface",
            "i",
            None,
            "IP address to listen on; :: is every address, IPv6 and IPv4. [default: every IPv4 address]",
            _interface,
        ],
        [
            "backlog",
            None,
            4096,
            "Connections that may wait to be accepted; the system may cap it.",
            _whole_number("backlog", 1, 2**31 - 1),  # the range of listen()'s int
        ],
        ["logfile", "l", None, "File to append the service's own log to; twistd's log has it all the same."],
    ]

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
        """Open the log file: last, so that bad input leaves none; before twistd changes umask and folder."""
        if self["logfile"] == "-":
            raise usage.UsageError("--logfile: '-' is not a file; twistd -n logs to standard output anyway")
        if self["logfile"] is not None:
            try:
                self["logfile"] = Path(self["logfile"]).open("a", encoding="utf-8")  # noqa: SIM115 (open while the service runs)
            except OSError as error:
                raise usage.UsageError(
                    f"--logfile: cannot open {self['logfile']!r}: {error.strerror}"
                ) from error

    def opt_version(self) -> NoReturn:
        """Show the versions of tsserv and Twisted, and exit."""
        print(f"tsserv {version('tsserv')}, Twisted {version('twisted')}")
        sys.exit(0)


def makeService(config: Options) -> MultiService:
    """Return the service that ``config`` describes: the log file, if there is one, and the listener."""
    service = MultiService()
    if config["logfile"] is not None:
        LogFile(config["logfile"]).setServiceParent(service)
    Listener(
        config["port"],
        TimestampFactory(Stamp()),
        interface=config["interface"] or "0.0.0.0",
        backlog=config["backlog"],
    ).setServiceParent(service)
    return service
