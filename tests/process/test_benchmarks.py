"""The benchmarks fail at every wrong answer, and compute what they say."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from catalog import Server
from conftest import program
from figures import Figure, Reading
from measures import Measure
from process import Failed
from processes import PATIENCE
from results import Result, as_tables, quartiles, results

LOAD = Path(__file__).parents[2] / "benchmarks" / "load"
MESSAGES = ("messages", "1", "1", "32", "0.05")
LINES = ("lines", "8", "0.05")
TRANSFER = ("transfer", "1")

# Makes the answer to a message or a line, given that and the first one.
Answer = Callable[[bytes, bytes], bytes]


def stamp(age: float = 0.0) -> bytes:
    return b"[%s] " % time.ctime(time.time() - age).encode()


def serve(listener: socket.socket, answer: Answer) -> None:
    """Answer the messages or lines of one connection, until it ends or an answer is empty."""
    client, _ = listener.accept()
    with client, client.makefile("rb") as lines, contextlib.suppress(OSError):
        # The first bytes show whether these are lines: a message has a newline only by chance.
        first = client.recv(32, socket.MSG_PEEK)
        read = lines.readline if first[7:8] == b"\n" else lambda: client.recv(32)
        while (data := read()) and (reply := answer(data, first[: len(data)])):
            client.sendall(reply)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the load generator, compiled."""
    if sys.platform != "linux":
        pytest.skip("the load generator needs epoll")
    path = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(
        [program("cc"), "-std=c11", "-o", path, *sorted(set(LOAD.glob("*.c")) - {LOAD / "tls.c"})], check=True
    )
    return path


def put(load: Path, words: tuple[str, ...], answer: Answer, pids: str = "") -> tuple[int, str, str]:
    """Put a load on a server with these answers; return the status, the output and the errors."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=[listener, answer])
        server.start()
        done = subprocess.run(
            [load, str(listener.getsockname()[1]), pids or str(os.getpid()), *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        server.join(PATIENCE)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "counted"), [(MESSAGES, "messages"), (LINES, "lines"), (TRANSFER, "megabytes")]
)
def test_right_answers_are_counted(load: Path, words: tuple[str, ...], counted: str) -> None:
    status, output, errors = put(load, words, lambda data, first: stamp() + data)
    assert (status, errors) == (0, "")
    assert json.loads(output)[counted] > 0


@pytest.mark.parametrize("words", [MESSAGES, LINES, TRANSFER])
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda data, first: stamp() + first, "wrong answer: not the "),
        (lambda data, first: stamp() + data.swapcase()[:-1] + data[-1:], "wrong answer: not the "),
        (lambda data, first: b"<" + stamp()[1:] + data, "wrong answer: not a stamp: '<"),
        (
            lambda data, first: stamp().replace(b" ", b"  ", 1)[:-1] + data,
            "wrong answer: not a stamp in the format of ctime()",
        ),
        (lambda data, first: stamp(60) + data, "wrong answer: a stamp from before its message: '["),
        (lambda data, first: stamp(-60) + data, "wrong answer: a stamp of the future: '["),
        (lambda data, first: stamp() + data + stamp() + data, "wrong answer: "),
        (lambda data, first: b"", "wrong answer: the end after 0 "),
    ],
)
def test_wrong_answers_are_noticed(
    load: Path, words: tuple[str, ...], answer: Answer, complaint: str
) -> None:
    status, output, errors = put(load, words, answer)
    assert (status, output) == (1, "")
    assert errors.startswith(complaint)
    assert errors.count("\n") == 1


def test_a_ratio_is_that_of_one_round() -> None:
    figure = Figure("cpu", "CPU", "µs", lambda reading: reading["cpu"])
    result = Result("messages", "1 connection", figure, "peer", (2.0, 30.0, 4.0), (1.0, 10.0, 1.0))
    assert str(result) == "3.00 (4.00 µs)"


def test_a_server_that_does_not_bear_a_load_has_no_figure_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = MagicMock()
    monkeypatch.setitem(sys.modules, "tqdm", progress)  # only the benchmarks need it
    import turns

    @contextlib.contextmanager
    def running(servers: list[Server], *_: object) -> Iterator[dict[str, str]]:
        yield {server.name: server.name for server in servers}

    def load(program: Path, core: int, server: str, words: tuple[str, ...], what: str) -> Reading:
        if server == "peer" and words == ("many",):
            raise Failed("peer: it has ended")
        return {"cpu": 1.0}

    for name, fake in {"running": running, "load": load, "cores": lambda: (0, 1)}.items():
        monkeypatch.setattr(turns, name, fake)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    figure = Figure("cpu", "CPU", "µs", lambda reading: reading["cpu"])
    measure = Measure("messages", {"one": ("one",), "more": ("many",)}, (figure,), warm_up=())
    servers = [Server("peer", {"chunks": ("peer",)}), Server("tsserv", {"chunks": ("tsserv",)})]
    rounds = 0
    for readings in turns.measure_all(tmp_path, tmp_path, [measure], servers, 2, tmp_path):
        rounds += 1
        assert set(map(len, readings.values())) == {rounds}
        assert list(as_tables(results([measure], readings)))[2:] == [
            "| | one | more |",
            "|---|---:|---:|",
            "| peer | 1.00 (1.00 µs) | failed |",
            "| tsserv | 1.00 (1.00 µs) | 1.00 (1.00 µs) |",
            "",
        ]
    assert rounds == 2
    progress.tqdm.write.assert_called_once_with("peer: it has ended", file=sys.stderr)


class Handler(socketserver.BaseRequestHandler):
    """Answers each chunk with ``answer``."""

    answer: Answer

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(self.answer(data, data))


@pytest.mark.parametrize("kind", ["one-byte", "reset"])
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda self, data, first: stamp() + data, ""),
        (lambda self, data, first: stamp() + data.upper(), "wrong answer: not the bytes that were sent\n"),
    ],
)
def test_a_polite_client_is_answered_beside_greedy_ones(
    load: Path, kind: str, answer: Answer, complaint: str
) -> None:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Connections are reset."""

    handler = type("AnsweringHandler", (Handler,), {"answer": answer})
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        done = subprocess.run(
            [load, str(server.server_address[1]), str(os.getpid()), "attack", kind, "2", "0.5", "5"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        server.shutdown()
    assert done.stderr == complaint
    assert bool(complaint) or json.loads(done.stdout)["bytes"] >= 1


def test_all_processes_of_a_server_are_counted(load: Path) -> None:
    def memory(pids: str) -> int:
        status, output, errors = put(load, ("start", "32"), lambda data, first: stamp() + data, pids)
        assert (status, errors) == (0, "")
        return int(json.loads(output)["bytes"])

    idle = [sys.executable, "-c", "print('idle', flush=True); input()"]
    with subprocess.Popen(idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        assert memory(f"{process.pid},{process.pid}") == 2 * memory(f"{process.pid}")
        process.stdin.write(b"\n")


def test_the_spread_is_the_middle_half_of_the_rounds() -> None:
    assert quartiles([9.0, 1.0, 2.0, 3.0, 4.0]) == (2.0, 4.0)
    assert quartiles([1.0]) == (1.0, 1.0)


def test_a_run_that_was_given_up_is_a_bound() -> None:
    figure = Figure("answered", "Burst", "s", lambda reading: reading["answered"], limit=5.0)
    result = Result("burst", "5,000 connections", figure, "peer", (5.0, 5.0, 4.0), (0.1, 0.1, 0.1))
    assert str(result) == "≥ 50.0 (≥ 5.00 s)"
