"""``tsserv-ping``: from the command line to the exit status."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from tsserv.ping.answers import Probes
from tsserv.ping.connection import CannotConnect, ConnectionEnded, Dialer, host_port, reason
from tsserv.ping.conversation import NotTsserv
from tsserv.ping.flood import Bar, Flood
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.options import Parser, make_parser, parse
from tsserv.ping.outputs.base import Output, Outputs, Summary
from tsserv.ping.outputs.nagios import Nagios
from tsserv.ping.outputs.records import Csv, Json
from tsserv.ping.outputs.text import Text
from tsserv.ping.run import Run
from tsserv.ping.tls import make_context
from tsserv.ping.verdict import NAGIOS, NO_CONNECTION, Thresholds, exit_status, level


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run ``tsserv-ping``.

    :param arguments: those of the command line if ``None``.
    :return: the exit status.
    """
    parser = make_parser()
    options = parse(parser, sys.argv[1:] if arguments is None else arguments)
    thresholds = Thresholds(options.warn, options.crit)
    dialer = _dialer(parser, options)
    output = Outputs([_main_output(options, thresholds), *_files(parser, options)])
    interrupt = Interrupt()
    interrupt.install()
    run = Run(dialer, Probes(options.size), timeout=_ns(options.timeout), output=output, interrupt=interrupt)
    error, connected = _run(run, options)
    tally = run.tally
    if not error and tally.lost and not (tally.answered or tally.altered):
        error = "it takes connections, but does not answer"
    summary = Summary(
        target=host_port(options.target),
        connection=run.connection,
        tally=tally,
        offset=run.offset,
        seconds=run.seconds,
        error=error,
        level=level(tally, thresholds, error=bool(error)),
    )
    try:
        output.end(summary)
    except OSError as cause:
        error = _cannot_write(cause)
        summary.level = level(tally, thresholds, error=True)
    if error and not options.nagios:
        print(f"{parser.prog}: {summary.target}: {error}", file=sys.stderr)
    if options.nagios:
        return NAGIOS[summary.level]
    return exit_status(summary.level, tally) if connected else NO_CONNECTION


def _run(run: Run, options: argparse.Namespace) -> tuple[str, bool]:
    """Run it to its end; return what went wrong, if something did, and whether it was connected at all."""
    try:
        if options.flood:
            duration = _ns(options.duration or 10.0)
            bar = Bar(duration)
            try:
                Flood(run, duration, bar.show).run(options.connections or 1)
            finally:
                bar.clear()
        else:
            run.run(options.count, _ns(options.interval or 1.0), reconnect=options.reconnect)
    except KeyboardInterrupt:
        return "", run.connection is not None
    except CannotConnect as error:
        return str(error), False
    except ConnectionEnded as error:
        return str(error), True
    except NotTsserv as error:
        return f"this is no tsserv: it {error}", True
    except OSError as error:
        return _cannot_write(error), True
    return "", True


def _cannot_write(error: OSError) -> str:
    return f"cannot write {error.filename or 'all of it'}: {error.strerror}"


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _dialer(parser: Parser, options: argparse.Namespace) -> Dialer:
    context = None
    if options.tls:
        try:
            context = make_context(options.cafile, insecure=options.insecure)
        except OSError as error:
            parser.error(f"--cafile: cannot read {options.cafile!r}: {reason(error)}")
    host, port = options.target
    return Dialer(
        host,
        port,
        family=options.family or socket.AF_UNSPEC,
        timeout=options.timeout,
        context=context,
        server_name=options.servername,
    )


def _main_output(options: argparse.Namespace, thresholds: Thresholds) -> Output:
    """Return what writes to standard output."""
    if options.json:
        return Json()
    if options.nagios:
        return Nagios(thresholds)
    return Text(
        timeout=options.timeout,
        reconnect=options.reconnect,
        thresholds=thresholds,
        flood_size=options.size if options.flood else None,
        histogram=options.histogram,
    )


def _files(parser: Parser, options: argparse.Namespace) -> list[Output]:
    """Return what writes to files, which are opened now: it would be too late after the run."""
    outputs: list[Output] = []
    try:
        if options.plot is not None:
            from tsserv.ping.outputs.plot import Plot

            options.plot.open("ab").close()
            outputs.append(Plot(options.plot))
        if options.csv is not None:
            outputs.append(Csv(options.csv.open("w", buffering=1, newline="", encoding="utf-8")))
    except ImportError:
        parser.error("--plot: needs matplotlib, which pip install 'tsserv[plot]' brings")
    except OSError as error:
        parser.error(f"cannot write {error.filename}: {error.strerror}")
    return outputs
