"""``tsserv-ping``: from the command line to the exit status."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tsserv.ping.answers import Probes
from tsserv.ping.connection import ConnectionEnded
from tsserv.ping.conversation import NotTsserv
from tsserv.ping.dialer import CannotConnect, Dialer
from tsserv.ping.flood import Bar, Flood
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.options import PROGRAM, Parser, make_parser, parse
from tsserv.ping.outputs.base import Output, Outputs, Summary
from tsserv.ping.outputs.table import OUTPUTS
from tsserv.ping.outputs.text import Text
from tsserv.ping.run import Run
from tsserv.ping.steady import Steady
from tsserv.ping.streams import open_closed_streams, write_error
from tsserv.ping.tls import BadFile, make_context
from tsserv.ping.verdict import NAGIOS, NO_CONNECTION, Thresholds, exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run ``tsserv-ping``.

    :param arguments: of the command line; ``None`` for those of this process.
    :return: the exit status.
    """
    open_closed_streams()
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # a second signal, or the reader of the output has gone
        return 1
    except OSError as error:
        write_error(f"{PROGRAM}: {_cannot_write(error)}")
        return 1


def _main(arguments: Sequence[str]) -> int:
    parser = make_parser()
    options = parse(parser, arguments)
    dialer = _make_dialer(parser, options)
    output = Outputs(_make_outputs(parser, options))
    interrupt = Interrupt()
    interrupt.install()
    run = Run(dialer, Probes(options.size), _ns(options.timeout), output, interrupt)
    error, connected = _execute(run, options)
    counts = run.counts
    if not error and counts.lost and not (counts.answered or counts.altered):
        error = "it takes connections, but does not answer"
    summary = Summary(
        target=options.target,
        connection=run.connection,
        counts=counts,
        offset=run.offset,
        seconds=run.seconds,
        error=error,
        thresholds=Thresholds(options.warn, options.crit),
    )
    try:
        output.end(summary)
    except OSError as cause:
        summary.error = error = _cannot_write(cause)
    if error and not options.nagios:
        write_error(f"{PROGRAM}: {summary.target}: {error}")
    if options.nagios:
        return NAGIOS[summary.level]
    return exit_status(summary.level, counts) if connected else NO_CONNECTION


class _Ending(NamedTuple):
    """How a run ended."""

    error: str  # empty if there was none
    connected: bool  # whether the service could be connected to


def _execute(run: Run, options: argparse.Namespace) -> _Ending:
    """Send probes until the run ends."""
    try:
        if options.flood:
            duration = _ns(options.duration or 10.0)
            bar = Bar(duration)
            try:
                Flood(run, duration, bar.show).run(options.connections or 1)
            finally:
                bar.clear()
        else:
            steady = Steady(run, _ns(options.interval or 1.0), options.count)
            steady.run(reconnect=options.reconnect, once=options.once)
    except KeyboardInterrupt:
        return _Ending("", run.connection is not None)
    except CannotConnect as error:
        return _Ending(str(error), False)
    except ConnectionEnded as error:
        return _Ending(str(error), True)
    except NotTsserv as error:
        return _Ending(f"this is not tsserv: it {error}", True)
    except OSError as error:
        return _Ending(_cannot_write(error), True)
    return _Ending("", True)


def _cannot_write(error: OSError) -> str:
    return f"cannot write {error.filename or 'the output'}: {error.strerror}"


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _make_dialer(parser: Parser, options: argparse.Namespace) -> Dialer:
    context = None
    if options.tls:
        try:
            context = make_context(options.cafile, insecure=options.insecure)
        except BadFile as error:
            parser.error(str(error))
    return Dialer(
        options.target,
        family=options.family or socket.AF_UNSPEC,
        timeout=options.timeout,
        context=context,
        server_name=options.servername,
    )


def _make_outputs(parser: Parser, options: argparse.Namespace) -> list[Output]:
    """Return the outputs that the options select: one to standard output, then those to files."""
    chosen = [output for output in OUTPUTS if getattr(options, output.option)]
    if all(output.to_file for output in chosen):
        chosen = [Text, *chosen]
    try:
        return [output(options) for output in chosen]
    except ImportError:
        parser.error("--plot: needs matplotlib: pip install 'tsserv[plot]'")
    except OSError as error:
        parser.error(f"cannot write {error.filename}: {error.strerror}")
