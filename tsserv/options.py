"""The command line of ``twistd tsserv``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from tsserv.combinations import without_effect
from tsserv.connections.limits import most_connections
from tsserv.net.endpoints import Place, parse_place, passed_by_systemd
from tsserv.ops.logfile import check_log, open_log
from tsserv.ops.stdio import open_closed_descriptors
from tsserv.optiontable import BACKLOG, OPTIONS, PROXY_TRUST, SOCKET_BUFFER, Option
from tsserv.stamp import Stamp


def _coerce(option: Option) -> Callable[[str], object]:
    """Return the parser of an option; the usage errors that it raises name the option."""

    def parse(text: str) -> object:
        try:
            return option.parse(text)
        except ValueError as error:
            raise usage.UsageError(f"--{option.name}: {error}") from error

    return parse


def _completer(option: Option) -> usage.Completer:
    """Return what completes the values of an option in zsh."""
    if option.files:
        return usage.CompleteFiles(option.files)
    return usage.CompleteList(option.words) if option.words else usage.Completer()


class Options(usage.Options):
    """
    The options of ``twistd tsserv``; every value is checked while it is parsed.

    What they name is made here too, so that it is a usage error if that fails: ``stamp`` is the
    :class:`Stamp` of ``time-format`` and ``utc``, ``open-logfile`` the file of ``logfile``, and
    ``credentials`` the :class:`Credentials` of the options for TLS, or ``None`` without TLS.
    """

    synopsis = "[options]"
    longdesc = (
        "Answers everything that a client sends over TCP with the time and those bytes: "
        "[Mon Nov 23 08:22:38 2026] hello. twistd's own options, such as -n to stay in the foreground, "
        "--pidfile and its --logfile, go before the word tsserv."
    )
    optFlags: ClassVar = [
        ["utc", None, "Give the time of UTC, not of the server's time zone."],
        ["reuse-port", None, "Let several processes listen on the same TCP port, each for a share of it."],
        ["no-eager", None, "Serve with Twisted's own way through the reactor, which is slower."],
        ["check", None, "Check the options and the files that they name, and exit; listen nowhere."],
    ]
    optParameters: ClassVar = [
        [option.name, option.short, option.default, option.text, _coerce(option)] for option in OPTIONS
    ]
    compData: ClassVar = usage.Completions(
        multiUse=["listen"],
        optActions={"listen": usage.Completer(), **{option.name: _completer(option) for option in OPTIONS}},
    )

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """Add a place to listen on."""
        self["listen"].append(description)

    # The help shows the line breaks of a docstring as they are.
    opt_listen.__doc__ = (
        "Listen on a Twisted endpoint, such as tcp:21567:interface=127.0.0.1, tcp6:21567, "
        "unix:/run/tsserv/sock:mode=660 or systemd:domain=INET:name=tsserv; with proxy+ before it for PROXY "
        "headers, tls+ for TLS, or proxy+tls+ for both. May be given several times."
    )

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the arguments after ``tsserv``.

        :raises UsageError: if they are wrong.  Under twistd the program ends instead, with status 1
            and one line on standard error: twistd would print the whole help, to standard output.
        """
        open_closed_descriptors()  # before anything else is opened
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
        Check the options together, and make what they name.

        The log file is opened last, so that bad input leaves none, and here, before twistd changes its
        umask and directory.
        """
        self["listen"] = [self._place(description) for description in self["listen"]]
        self._use_passed_sockets()
        for option, reason in without_effect(self):
            raise usage.UsageError(f"--{option}: {reason}")
        listeners = len(self["listen"]) + (self["port"] is not None) + (self["status"] is not None)
        most = most_connections(listeners)
        for option, default in (
            ("backlog", BACKLOG),
            ("socket-buffer", SOCKET_BUFFER),
            ("proxy-trust", PROXY_TRUST),
            ("max-connections", most),
        ):
            if self[option] is None:
                self[option] = default
        if self["max-connections"] > most:
            raise usage.UsageError(
                f"--max-connections: {self['max-connections']} is more than the {most} "
                "for which the process has file descriptors (ulimit -n)"
            )
        try:
            self["stamp"] = Stamp(self["time-format"], utc=bool(self["utc"]))
        except ValueError as error:
            raise usage.UsageError(f"--time-format: {self['time-format']!r}: {error}") from error
        self["credentials"] = self._credentials()
        if self["status"] is not None:
            try:
                import_module("twisted.web.server")
            except ImportError as error:  # with Python 3.13 an old Twisted lacks the module cgi
                reason = f"Twisted's web server cannot be loaded: {error}; upgrade Twisted"
                raise usage.UsageError(f"--status: {reason}") from error
        if self["logfile"] is not None:
            twistd: Any = self.parent or {}
            try:
                if self["check"]:
                    check_log(self["logfile"])
                else:
                    self["open-logfile"] = open_log(self["logfile"], twistd.get("uid"), twistd.get("gid"))
            except OSError as error:
                reason = f"cannot open {self['logfile']!r}: {error.strerror}"
                raise usage.UsageError(f"--logfile: {reason}") from error
        if self["check"]:
            print("tsserv: options are good")
            sys.exit(0)

    def _place(self, description: str) -> Place:
        """Return a place to listen on."""
        try:
            # systemd passes sockets to the service alone, and not to a check before its reload.
            return parse_place(description, absent=bool(self["check"]))
        except ValueError as error:
            raise usage.UsageError(f"--listen: {description!r}: {error}") from error

    def _use_passed_sockets(self) -> None:
        """Listen on the sockets that systemd passes, unless asked otherwise; then see that all are used."""
        try:
            passed = passed_by_systemd()
        except ValueError as error:
            raise usage.UsageError(str(error)) from error
        if self["port"] is None and not self["listen"]:
            self["listen"] = passed
            self["port"] = None if passed else 21567
        used = {place.passed for place in self["listen"]}
        # Clients of a socket that nobody listens to would wait for ever.
        if unused := [place.endpoint for place in passed if place.passed not in used]:
            raise usage.UsageError(
                f"systemd passes sockets that would not be used: {', '.join(unused)}; leave out --port and "
                "--listen, give each of these to --listen too, or disable the socket unit"
            )

    def _credentials(self) -> object:
        """Return the files of TLS, read before twistd changes to the user of its --uid."""
        if not any(place.tls for place in self["listen"]):
            return None
        if self["certificate"] is None:
            raise usage.UsageError("--listen: TLS needs --certificate")
        from tsserv.layers.credentials import Credentials

        try:
            return Credentials(
                self["certificate"], self["private-key"] or self["certificate"], self["client-ca"]
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from error

    def opt_version(self) -> NoReturn:
        """Show the versions of tsserv and Twisted, and exit."""
        from importlib.metadata import version

        print(f"tsserv {version('tsserv')}, Twisted {version('twisted')}")
        sys.exit(0)
