"""Measure tsserv and other servers that answer with the time, in turns, and show how they compare."""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.platform != "linux":
    sys.exit("the benchmarks need Linux: epoll, /proc and clocks of other processes")
try:
    import charts
    import machine
    from measures import Measure, measures
    from peers import BEFORE, US, Failed, Peer, peers
    from results import as_json, as_tables, results
    from turns import measure_all
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is missing: pip install -e '.[bench]' brings what the benchmarks need")

_HERE = Path(__file__).parent
_RESERVED_DESCRIPTORS = 200  # of each process, for everything but the connections that are counted
_EPILOG = """
It takes about a quarter of an hour. Leave the machine alone meanwhile: the servers have one core, the
load another. benchmarks/README.md says what is measured, and how.
"""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EPILOG)
    parser.add_argument(
        "--rounds", metavar="N", type=int, help="how often each server has its turn [5, quick: 1]"
    )
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    names = [measure.name for measure in measures(quick=True, most=10000)]
    parser.add_argument("--only", choices=names, help="measure this alone")
    names = [peer.name for peer in peers(Path()) if peer.name not in (US, BEFORE)]
    parser.add_argument(
        "--peers", metavar="A,B", help=f"measure, beside {US}, only these of {', '.join(names)}"
    )
    parser.add_argument(
        "--before",
        metavar="TWISTD",
        type=Path,
        help='the twistd of another installation, measured as "before": to compare two commits',
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="where tables (README.md), charts and results.json go [a new folder for temporary files]",
    )
    chosen = parser.parse_args()
    if chosen.rounds is None:
        chosen.rounds = 1 if chosen.quick else 5
    if chosen.rounds < 1:
        parser.error("--rounds: at least one is needed")
    return chosen


def compile_c(folder: Path) -> tuple[Path, Path]:
    """Return the load generator and the C server, compiled into ``folder``."""
    if shutil.which("cc") is None:
        raise Failed("there is no cc: install a C compiler (Debian: build-essential)")
    programs = {
        folder / "load": sorted(_HERE.glob("load/*.c")),
        folder / "epoll": [_HERE / "servers" / "epoll.c"],
    }
    for program, sources in programs.items():
        done = subprocess.run(
            ["cc", "-std=c11", "-O2", "-o", program, *sources], capture_output=True, text=True
        )
        if done.returncode:
            first = done.stderr.partition("\n")[0]
            raise Failed(f"cc cannot compile {sources[0].parent}: {first}")
    return folder / "load", folder / "epoll"


def descriptors() -> int:
    """Allow this process and those that it starts as many descriptors as it may; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def choose(chosen: argparse.Namespace, epoll: Path) -> tuple[list[Measure], list[Peer]]:
    """Return what is to be measured, and whom."""
    most = descriptors() - _RESERVED_DESCRIPTORS
    wanted = measures(quick=chosen.quick, most=most)
    if most < 10000:
        print(f"the limit of descriptors (ulimit -n) allows {most} connections, not 10,000", file=sys.stderr)
    if chosen.only is not None:
        wanted = [measure for measure in wanted if measure.name == chosen.only]
    everybody = peers(epoll, chosen.before)
    if chosen.peers is not None:
        names = chosen.peers.split(",")
        known = [peer.name for peer in everybody]
        if unknown := sorted(set(names) - set(known)):
            raise Failed(f"--peers: {unknown[0]!r} is not one of {', '.join(known)}")
        everybody = [peer for peer in everybody if peer.name in (US, BEFORE, *names)]
    for peer in everybody:
        if not peer.is_here:
            print(f"{peer.name} is left out: pip install -e '.[bench]' would bring it", file=sys.stderr)
    return wanted, [peer for peer in everybody if peer.is_here]


def main() -> None:
    """Run the command line."""
    chosen = arguments()
    if chosen.output is not None:
        try:
            chosen.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(f"--output: cannot make {str(chosen.output)!r}: {error.strerror}") from error
    with tempfile.TemporaryDirectory() as scratch:
        program, epoll = compile_c(Path(scratch))
        wanted, everybody = choose(chosen, epoll)
        readings = measure_all(program, wanted, everybody, chosen.rounds, Path(scratch))
    found = results(wanted, readings)
    about = machine.describe()
    caption = machine.caption(about, chosen.rounds)
    output = chosen.output or Path(tempfile.mkdtemp(prefix="tsserv-benchmarks-"))
    (output / "results.json").write_text(as_json(found, about, chosen.rounds))
    tables = "\n".join(as_tables(found))
    header = "# Results\n\nHow many times tsserv's a figure is, and the figure itself.\n\n"
    (output / "README.md").write_text(header + caption.replace("\n", "  \n") + "\n\n" + tables)
    charts.draw(found, caption, output)
    print(tables)
    print(f"tables, charts and results.json: {output}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server is left behind
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written")
