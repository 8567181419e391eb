"""``tsserv-ping``: from the command line to the exit status."""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tsserv.ping.address import Endpoint
from tsserv.ping.answers import Probes
from tsserv.ping.connection import ConnectionEnded, NotTsserv
from tsserv.ping.dialer import CannotConnect, Dialer
from tsserv.ping.flood import Bar, Flood
from tsserv.ping.interrupt import Interrupt
from tsserv.ping.loop import Loop, Task
from tsserv.ping.options import PROGRAM, Parser, make_parser, parse
from tsserv.ping.outputs.base import CannotListen, Output, Outputs, Summary
from tsserv.ping.outputs.table import OUTPUTS
from tsserv.ping.outputs.text import Text
from tsserv.ping.route import Route
from tsserv.ping.run import Run
from tsserv.ping.steady import Steady
from tsserv.ping.streams import open_closed_streams, write_error
from tsserv.ping.tls import BadFile, make_context
from tsserv.ping.verdict import NAGIOS, NO_CONNECTION, Thresholds, exit_status, joint_status


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
    context = _make_context(parser, options)
    output = Outputs(_make_outputs(parser, options))
    interrupt = Interrupt()
    interrupt.install()
    if options.deadline is not None:
        interrupt.end_after(options.deadline)
    summaries = [Summary(target, Thresholds(options.warn, options.crit)) for target in options.targets]
    runs = [
        Run(
            _make_dialer(summary.target, options, context),
            Probes(options.size),
            _ns(options.timeout),
            output,
            interrupt,
            summary,
        )
        for summary in summaries
    ]
    interrupted = False
    try:
        output.begin(summaries)
        if options.flood:
            _flood(runs[0], options)
        else:
            Loop(interrupt).run(_tasks(runs, options))
    except KeyboardInterrupt:
        interrupted = True
    for summary in summaries:
        if interrupt.expired and not (summary.connection or summary.error):
            summary.error = "no connection before the deadline"
        counts = summary.counts
        answered = counts.answered or counts.altered
        if not summary.error and summary.connection and counts.lost and not answered:
            summary.error = "it takes connections, but does not answer"
    try:
        output.end(summaries)
    except OSError as cause:
        for summary in summaries:
            summary.error = _cannot_write(cause)
    if options.exporter and interrupted:
        return 0
    if options.nagios:
        return NAGIOS[summaries[0].level]
    for summary in summaries:
        if summary.error:
            write_error(f"{PROGRAM}: {summary.target}: {summary.error}")
    return joint_status([_status(summary) for summary in summaries])


@contextmanager
def _errors_in(summary: Summary) -> Iterator[None]:
    """Turn what ends the probes to one target into the error of its summary."""
    try:
        yield
    except CannotConnect as error:
        summary.error = str(error)
        summary.unreachable = True
    except (ConnectionEnded, NotTsserv) as error:
        summary.error = str(error)
    except OSError as error:
        summary.error = _cannot_write(error)


def _flood(run: Run, options: argparse.Namespace) -> None:
    """Send probes as load."""
    duration = _ns(options.duration or 10.0)
    bar = Bar(duration)
    with _errors_in(run.summary):
        try:
            Flood(run, duration, bar.show).run(options.connections or 1)
        finally:
            bar.clear()


def _tasks(runs: Sequence[Run], options: argparse.Namespace) -> list[Task[None]]:
    """Return what sends probes at the interval: first to each target at a time of its own, then all again."""
    interval = _ns(options.interval or 1.0)
    persistent = not options.once and (len(runs) > 1 or options.exporter is not None)

    def task(number: int, run: Run) -> Task[None]:
        delay = interval * number // len(runs)
        steady = Steady(run, interval, options.count, delay=delay, persistent=persistent)
        with _errors_in(run.summary):
            yield from steady.run(reconnect=options.reconnect, once=options.once)

    return [task(number, run) for number, run in enumerate(runs)]


def _status(summary: Summary) -> int:
    if summary.unreachable or summary.connection is None:
        return NO_CONNECTION
    return exit_status(summary.level, summary.counts)


def _cannot_write(error: OSError) -> str:
    return f"cannot write {error.filename or 'the output'}: {error.strerror}"


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _make_context(parser: Parser, options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls:
        return None
    try:
        return make_context(
            options.cafile,
            insecure=options.insecure,
            certificate=options.certificate,
            private_key=options.private_key,
        )
    except BadFile as error:
        parser.error(str(error))


def _make_dialer(target: Endpoint, options: argparse.Namespace, context: ssl.SSLContext | None) -> Dialer:
    return Dialer(
        target,
        family=options.family or socket.AF_UNSPEC,
        timeout=options.timeout,
        context=context,
        server_name=options.servername,
        route=Route(options.source, options.interface, options.tos),
        proxy_header=options.proxy_header,
    )


def _make_outputs(parser: Parser, options: argparse.Namespace) -> list[Output]:
    """Return the outputs that the options select: one to standard output, then those to files."""
    chosen = [output for output in OUTPUTS if getattr(options, output.option)]
    if all(output.to_file for output in chosen):
        chosen = [Text, *chosen]
    outputs = []
    for output in chosen:
        try:
            outputs.append(output(options))
        except ImportError:
            parser.error(f"--{output.option}: needs {output.library}: pip install {output.library}")
        except CannotListen as error:
            parser.error(f"--{output.option}: {error}")
        except OSError as error:
            parser.error(f"cannot write {error.filename}: {error.strerror}")
    return outputs
