"""The measuring itself: servers and loads, in turns."""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from measures import Measure, Reading
from peers import Failed, Peer, Server, cores, pinned
from tqdm import tqdm


@contextlib.contextmanager
def running(service: str, everybody: Sequence[Peer], core: int, folder: Path) -> Iterator[dict[str, Server]]:
    """Have the servers of all who offer ``service`` run on ``core``, by the name of the peer."""
    servers: dict[str, Server] = {}
    try:
        for peer in everybody:
            if service in peer.commands:
                servers[peer.name] = Server(peer.commands[service], core, folder / peer.name)
        for server in servers.values():
            server.wait_until_up()
        yield servers
    finally:
        for server in servers.values():
            server.end()


def load(program: Path, core: int, server: Server, words: Sequence[object]) -> Reading:
    """
    Put one load on a server.

    :return: what was seen.
    :raises Failed: if an answer was wrong, or missing.
    """
    before = len(server.lags())
    command = [str(word) for word in (program, server.port, server.pid, *words)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned(core))
    if done.returncode:
        raise Failed(done.stderr.strip())
    reading: dict[str, float] = json.loads(done.stdout)
    if lags := server.lags()[before:]:
        reading |= {"lag_p50": statistics.median(lags), "lag_most": max(lags)}
    return reading


def measure_all(
    program: Path, wanted: Sequence[Measure], everybody: Sequence[Peer], rounds: int, folder: Path
) -> dict[tuple[str, str, str], list[Reading]]:
    """Let everybody have their turns; return the readings of each round by measure, point and peer."""
    server_core, load_core = cores()
    readings: dict[tuple[str, str, str], list[Reading]] = {
        (measure.name, point, peer.name): []
        for measure in wanted
        for point in measure.points
        for peer in everybody
        if measure.service in peer.commands
    }
    on_screen = sys.stderr.isatty()
    with tqdm(total=len(readings) * rounds, unit="run", mininterval=0.5 if on_screen else 10) as bar:
        for turn, measure in itertools.product(range(rounds), wanted):
            with running(measure.service, everybody, server_core, folder) as servers:
                names = list(servers)
                first = turn % len(names)  # nobody is always the first
                for point, words in [("warming up", measure.warm_up), *measure.points.items()]:
                    for name in names[first:] + names[:first]:
                        what = f"{measure.name}, {point}: {name}"
                        bar.set_description(what, refresh=on_screen)
                        try:
                            reading = load(program, load_core, servers[name], words)
                        except Failed as failure:
                            raise Failed(f"{what}: {failure}") from None
                        if words is not measure.warm_up:
                            readings[measure.name, point, name].append(reading)
                            bar.update()
    return readings
