"""Options that cannot be combined, or have no effect beside others."""

from __future__ import annotations

import argparse

from tsserv.ping.address import UnixPath
from tsserv.ping.outputs.table import OUTPUTS

# Options that have no meaning without another.
_ONLY_WITH = {
    "connections": "flood",
    "duration": "flood",
    "cafile": "tls",
    "servername": "tls",
    "insecure": "tls",
    "certificate": "tls",
    "private_key": "certificate",
}

# Options that have no meaning beside another.
_NOT_WITH = {
    # It sends at its own pace, and too much to show or record each probe.
    "flood": (
        *("count", "interval", "deadline", "reconnect", "once", "timestamps", "quiet"),
        *(output.option for output in OUTPUTS if output.to_file),
    ),
    "reconnect": ("once",),
    "insecure": ("cafile",),  # it verifies nothing
    "source": ("family",),  # the address has one
    "exporter": ("count", "once", "deadline", "flood", "warn", "crit", "timestamps", "quiet"),  # it runs on
    "json": ("timestamps", "quiet"),
    "nagios": ("timestamps", "quiet"),
    "quiet": ("timestamps",),
}

# Options for one target.
_ONE_TARGET = ("flood", *(output.option for output in OUTPUTS if not output.several))

# Options that have no meaning with a UNIX socket.
_NOT_WITH_UNIX = ("family", "source", "interface", "tos")

# How options are written that have another name here.
_WRITTEN = {"family": "-4 and -6", "unix": "unix:PATH", "several": "several targets"}


def check(options: argparse.Namespace) -> None:
    """
    Check the options of a command line.

    :raises ValueError: with what cannot be combined.
    """
    given = {name for name, value in vars(options).items() if value not in (None, False, {})}
    if not options.targets:
        raise ValueError("the following arguments are required: TARGET")
    for name, needed in _ONLY_WITH.items():
        if name in given and needed not in given:
            raise ValueError(f"{_written(name)}: only with {_written(needed)}")
    refused = [(other, name) for other, names in _NOT_WITH.items() for name in names if other in given]
    if any(isinstance(target, UnixPath) for target in options.targets):
        refused += [("unix", name) for name in _NOT_WITH_UNIX]
        if options.tls and not (options.servername or options.insecure):
            raise ValueError("--tls: unix:PATH has no name to verify: needs --servername or --insecure")
    if len(options.targets) > 1:
        refused += [("several", name) for name in _ONE_TARGET]
    for other, name in refused:
        if name in given:
            raise ValueError(f"{_written(name)}: not with {_written(other)}")
    if options.port and not any(target[1:] == (options.port,) for target in options.targets):
        raise ValueError("--port: there is no HOST without a port")
    for name in options.warn.keys() & options.crit.keys():
        warning, critical = options.warn[name], options.crit[name]
        if warning.high > critical.high and not (warning.inverted or critical.inverted):
            raise ValueError(f"--warn: {name}={warning.text} ends above --crit, {name}={critical.text}")
    if options.plot is not None and options.plot.suffix not in (".svg", ".png"):
        raise ValueError(f"--plot: {str(options.plot)!r} does not end in .svg or .png")


def _written(name: str) -> str:
    """Return an option as the user writes it."""
    return _WRITTEN.get(name, f"--{name.replace('_', '-')}")
