"""Servers and loads take turns: each server has the same load, one after the other, round by round."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalog import BASELINE, Server
from figures import Reading
from measures import Measure
from process import Failed, RunningServer, cores, pinned
from tqdm import tqdm


@contextlib.contextmanager
def running(
    servers: Sequence[Server], services: tuple[str, ...], core: int, folder: Path
) -> Iterator[dict[str, RunningServer]]:
    """Run these servers on ``core``; they are given by name."""
    started: dict[str, RunningServer] = {}
    try:
        for server in servers:
            command = server.command(services)
            assert command
            started[server.name] = RunningServer(command, core, folder / server.name)
        for process in started.values():
            process.wait_until_up()
        yield started
    finally:
        for process in started.values():
            process.end()


def load(program: Path, core: int, server: RunningServer, words: Sequence[object], what: str) -> Reading:
    """
    Put one load on a server, and return the reading.

    :param program: the load generator.
    :param words: its arguments.
    :param what: the name of this run, for the message of a failure.
    :raises Failed: if an answer is wrong or missing.
    """
    command = [str(word) for word in (program, server.port, server.pids, *words)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned(core))
    if done.returncode:
        raise Failed(f"{what}: {done.stderr.strip()}")
    reading: dict[str, float] = json.loads(done.stdout)
    reading["start"] = server.start
    if lags := server.lags(since=reading.get("from", 0.0)):
        reading |= {"lag_p50": statistics.median(lags), "lag_most": max(lags)}
    return reading


def runs(
    measure: Measure,
    servers: Sequence[Server],
    turn: int,
    program: Path,
    cores: tuple[int, int],
    folder: Path,
) -> Iterator[tuple[str, str, Sequence[object], RunningServer]]:
    """
    Start the servers that offer what is measured, and end them after their runs.

    :param turn: the number of the round: in each, another server is the first.
    :param program: the load generator, which warms the servers up.
    :param cores: of the servers and of the load.
    :param folder: for the output of the servers.
    :return: the next run: the name of the load, that of the server, the arguments of the load generator, and
        the server.
    """
    server_core, load_core = cores
    first = turn % len(servers)
    order = [*servers[first:], *servers[:first]]
    groups = [(order, list(measure.loads.items()))]
    if measure.alone:
        groups = [([server], [item]) for item in measure.loads.items() for server in order]
    for group, loads in groups:
        with running(group, measure.services, server_core, folder) as processes:
            for name in processes if measure.warm_up else ():
                load(program, load_core, processes[name], measure.warm_up, f"{name}, warm-up")
            for (point, words), name in itertools.product(loads, processes):
                yield point, name, words, processes[name]


def measure_all(
    plain: Path, tls: Path, wanted: Sequence[Measure], servers: Sequence[Server], rounds: int, folder: Path
) -> Iterator[dict[tuple[str, str, str], list[Reading]]]:
    """
    Let all servers have their turns; yield all readings after each round.

    :param plain: the load generator.
    :param tls: the load generator that uses TLS.
    :param folder: for the output of the servers.
    :return: the readings, one for each round, by measure, load and server; without those of loads that a
        server does not bear, of which standard error tells.
    :raises Failed: if a server does not start, or an answer of tsserv's is wrong or missing.
    """
    both = cores()
    _, load_core = both
    os.sched_setaffinity(0, {load_core})
    offering = {
        measure.name: [server for server in servers if server.command(measure.services)] for measure in wanted
    }
    readings: dict[tuple[str, str, str], list[Reading]] = {
        (measure.name, point, server.name): []
        for measure in wanted
        for point in measure.loads
        for server in offering[measure.name]
    }
    on_screen = sys.stderr.isatty()
    with tqdm(total=len(readings) * rounds, unit="run", mininterval=0.5 if on_screen else 10) as bar:
        for turn in range(rounds):
            for measure in wanted:
                program = tls if measure.needs_tls else plain
                taking_part = offering[measure.name]
                for point, name, words, server in runs(measure, taking_part, turn, program, both, folder):
                    what = f"{measure.name}, {point}: {name}"
                    bar.set_description(what, refresh=on_screen)
                    bar.update()
                    key = measure.name, point, name
                    if key not in readings:  # it has failed in an earlier round
                        continue
                    try:
                        readings[key].append(load(program, load_core, server, words, what))
                    except Failed as error:
                        if name == BASELINE:
                            raise
                        tqdm.write(str(error), file=sys.stderr)
                        del readings[key]
            yield readings
