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


def measure_all(
    plain: Path, tls: Path, wanted: Sequence[Measure], servers: Sequence[Server], rounds: int, folder: Path
) -> dict[tuple[str, str, str], list[Reading]]:
    """
    Let all servers have their turns.

    :param plain: the load generator.
    :param tls: the load generator that uses TLS.
    :param folder: for the output of the servers.
    :return: the readings of each round, by measure, load and server; without those of loads that a server
        does not bear, of which standard error tells.
    :raises Failed: if a server does not start, or an answer of tsserv's is wrong or missing.
    """
    server_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    readings: dict[tuple[str, str, str], list[Reading]] = {
        (measure.name, point, server.name): []
        for measure in wanted
        for point in measure.loads
        for server in servers
        if server.command(measure.services)
    }
    on_screen = sys.stderr.isatty()
    with tqdm(total=len(readings) * rounds, unit="run", mininterval=0.5 if on_screen else 10) as bar:
        for turn, measure in itertools.product(range(rounds), wanted):
            taking_part = [server for server in servers if server.command(measure.services)]
            first = turn % len(taking_part)  # another server is the first in each round
            order = taking_part[first:] + taking_part[:first]
            program = tls if measure.needs_tls else plain
            groups = [(order, list(measure.loads.items()))]
            if measure.alone:
                groups = [([server], [item]) for item in measure.loads.items() for server in order]
            for group, loads in groups:
                with running(group, measure.services, server_core, folder) as processes:
                    for name in processes if measure.warm_up else ():
                        load(program, load_core, processes[name], measure.warm_up, f"{name}, warm-up")
                    for (point, words), name in itertools.product(loads, processes):
                        what = f"{measure.name}, {point}: {name}"
                        bar.set_description(what, refresh=on_screen)
                        bar.update()
                        key = measure.name, point, name
                        if key not in readings:  # it has failed in an earlier round
                            continue
                        try:
                            readings[key].append(load(program, load_core, processes[name], words, what))
                        except Failed as error:
                            if name == BASELINE:
                                raise
                            tqdm.write(str(error), file=sys.stderr)
                            del readings[key]
    return readings
