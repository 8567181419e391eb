"""Clients that send, shut their sending side and read to the end, as a pipe into one does, get everything."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import program
from processes import PATIENCE, STAMP, Twistd, send_all_and_read_to_the_end

MIB = 1 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twistd]:
    """Return a service for all tests here."""
    service = Twistd(tmp_path_factory.mktemp("service"))
    service.wait_until_up()
    yield service
    service.end()


@pytest.mark.parametrize(
    ("size", "runs"), [(1, 100), (100, 100), (1400, 100), (65536, 100), (MIB, 100), (20 * MIB, 20)]
)
def test_every_byte_comes_back(size: int, runs: int, service: Twistd) -> None:
    data = random.Random(size).randbytes(size)
    for _ in range(runs):
        assert STAMP.sub(b"", send_all_and_read_to_the_end(service.connect(), data)) == data


def test_a_client_that_sends_nothing_gets_the_end(service: Twistd) -> None:
    assert send_all_and_read_to_the_end(service.connect(), b"") == b""


@pytest.mark.once
@pytest.mark.parametrize(
    "command",
    [
        ["ncat", "127.0.0.1", "PORT"],
        ["nc", "-N", "127.0.0.1", "PORT"],
        ["socat", "-t5", "-", "TCP:127.0.0.1:PORT"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(("size", "runs"), [(3, 100), (5 * MIB, 3)])
def test_every_byte_comes_back_through_a_pipe(
    command: list[str], size: int, runs: int, service: Twistd
) -> None:
    command = [program(command[0]), *(word.replace("PORT", str(service.port)) for word in command[1:])]
    data = b"hi\n" if size == 3 else random.Random(size).randbytes(size)
    for _ in range(runs):
        done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE, check=True)
        assert STAMP.sub(b"", done.stdout) == data
        assert done.stderr == b""


def test_line_framing_through_a_pipe(serve: Callable[..., Twistd]) -> None:
    service = serve("--framing=line", "--time-format=unix")
    data = b"".join(b"%d\n" % number for number in range(200000)) + b"no newline"
    answer = send_all_and_read_to_the_end(service.connect(), data)
    lines = answer.splitlines()
    assert all(re.match(rb"\[\d{10}\.\d{6}\] ", line) for line in lines)
    assert b"\n".join(line.split(b" ", 1)[1] for line in lines) == data
