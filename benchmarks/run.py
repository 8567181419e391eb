"""Measure tsserv and other servers that answer with the time, in turns, and compare them."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

if sys.platform != "linux":
    sys.exit("the benchmarks need Linux: epoll, /proc and the CPU clocks of other processes")
try:
    import build
    import charts
    import machine
    from catalog import BASELINE, BEFORE, Server, servers
    from measures import MOST_OPEN, Measure, measures
    from process import Failed
    from results import Result, as_json, as_tables, results
    from turns import measure_all
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is missing: install what the benchmarks need with pip install -e '.[bench]'")

_RESERVED_DESCRIPTORS = 200  # of each process, for everything but the connections that are counted
_HEADER = """# Results

Each cell has the server's figure as a multiple of tsserv's, the figure itself in brackets, and the quartiles
of the multiple.

"""
_EPILOG = """
A run takes more than an hour, and may be interrupted after any round. Leave the machine alone meanwhile: the
servers use one core, the load another. docs/benchmarks.md explains what is measured, and how.
"""


def arguments() -> argparse.Namespace:
    """Return the values of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EPILOG)
    parser.add_argument(
        "--rounds", metavar="N", type=int, help="number of turns of each server [5, with --quick 1]"
    )
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    names = [measure.name for measure in measures(quick=True, most=10000)]
    parser.add_argument(
        "--only",
        metavar="A,B",
        help=f"only these measures: {', '.join(names)}; tls and attack are all whose names begin so",
    )
    names = [server.name for server in servers(Path(), Path())]
    parser.add_argument(
        "--servers", metavar="A,B", help=f"only {BASELINE} and these servers: {', '.join(names)}"
    )
    parser.add_argument(
        "--before",
        metavar="TWISTD",
        type=Path,
        help=f'the twistd of another installation, measured as "{BEFORE}": to compare two commits',
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="directory for tables (README.md), charts and results.json [a new temporary directory]",
    )
    chosen = parser.parse_args()
    if chosen.rounds is None:
        chosen.rounds = 1 if chosen.quick else 5
    if chosen.rounds < 1:
        parser.error("--rounds: at least one is needed")
    return chosen


def descriptors() -> int:
    """Raise the limit of file descriptors as far as allowed, for child processes too; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def chosen_names(option: str, value: str, known: Sequence[str]) -> set[str]:
    """
    Return the names that an option lists.

    :raises Failed: if one is not known.
    """
    names = set(map(str.strip, value.split(",")))
    if unknown := sorted(names - set(known)):
        raise Failed(f"{option}: {unknown[0]!r} is not one of {', '.join(known)}")
    return names


def choose_measures(chosen: argparse.Namespace) -> list[Measure]:
    """
    Return what is to be measured and can be.

    :raises Failed: if ``--only`` has an unknown name, or nothing is left.
    """
    most = descriptors() - _RESERVED_DESCRIPTORS
    wanted = measures(quick=chosen.quick, most=most)
    if most < MOST_OPEN:
        print(
            f"the limit of descriptors (ulimit -n) allows {most} connections, not {MOST_OPEN:,}",
            file=sys.stderr,
        )
    if chosen.only is not None:
        known = {measure.name: {measure.name, measure.name.partition("-")[0]} for measure in wanted}
        names = chosen_names("--only", chosen.only, sorted(set().union(*known.values())))
        wanted = [measure for measure in wanted if known[measure.name] & names]
    if any(measure.needs_tls for measure in wanted) and (missing := build.missing_for_tls()):
        print(f"TLS is left out: it needs {missing} (a package of Debian)", file=sys.stderr)
        wanted = [measure for measure in wanted if not measure.needs_tls]
    if not wanted:
        raise Failed("nothing is left to be measured")
    return wanted


def choose_servers(chosen: argparse.Namespace, everything: Sequence[Server]) -> list[Server]:
    """
    Return the servers that are to be measured and are installed.

    :raises Failed: if ``--servers`` has an unknown name.
    """
    names = {server.name for server in everything}
    if chosen.servers is not None:
        names = chosen_names("--servers", chosen.servers, [server.name for server in everything])
        names |= {BASELINE, BEFORE}
    wanted = [server for server in everything if server.name in names]
    for server in wanted:
        if not server.is_installed:
            print(f"{server.name} is left out: it needs {server.needs}", file=sys.stderr)
    return [server for server in wanted if server.is_installed]


def measure(chosen: argparse.Namespace, wanted: Sequence[Measure], scratch: Path) -> Iterator[list[Result]]:
    """
    Build what is needed, measure, and yield the results of all rounds after each round.

    :param scratch: a directory for programs and the output of servers.
    :raises Failed: if something cannot be built or started, or an answer is wrong.
    """
    plain = tls = build.load_generator(scratch)
    certificate = Path()
    if any(measure.needs_tls for measure in wanted):
        tls = build.tls_load_generator(scratch)
        certificate = build.certificate(scratch)
    everything = servers(build.epoll_server(scratch), certificate, chosen.before)
    taking_part = choose_servers(chosen, everything)
    for readings in measure_all(plain, tls, wanted, taking_part, chosen.rounds, scratch):
        yield results(wanted, readings)


def write(found: Sequence[Result], about: dict[str, str], rounds: int, output: Path) -> None:
    """Write tables, charts and ``results.json`` of the rounds so far; ``about`` is the machine."""
    caption = machine.caption(about, rounds)
    (output / "results.json").write_text(as_json(found, about, rounds))
    tables = "\n".join(as_tables(found))
    (output / "README.md").write_text(f"{_HEADER}{caption.replace(chr(10), '  ' + chr(10))}\n\n{tables}")
    charts.draw(found, caption, output)


def main() -> None:
    """Run the command line."""
    chosen = arguments()
    if chosen.output is not None:
        try:
            chosen.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(f"--output: cannot make {str(chosen.output)!r}: {error.strerror}") from error
    wanted = choose_measures(chosen)
    output = chosen.output or Path(tempfile.mkdtemp(prefix="tsserv-benchmarks-"))
    about = machine.describe()
    rounds = 0
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for found in measure(chosen, wanted, Path(scratch)):
                write(found, about, rounds + 1, output)
                rounds += 1
        except KeyboardInterrupt:
            raise Failed(f"interrupted; rounds that were completed: {rounds}; results: {output}") from None
    print("\n".join(as_tables(found)))
    print(f"tables, charts and results.json: {output}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all servers end
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted before the first round")
