"""Pasting docs/tutorial.md, step by step, does what the page says; so does docs/eager.md."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import program
from pages import DOCS, Reader, commands, files_in, sections, shown_files, shown_output
from processes import PATIENCE, STAMP, receive

pytestmark = pytest.mark.once

STEPS = range(1, 8)


def step(number: int) -> str:
    """Return the page's text of a step."""
    return sections("tutorial.md")[number]


def shape(output: str) -> str:
    """Return output without what differs each time."""
    return re.sub(r"\d+(\.\d+)?", "N", STAMP.sub(b"[NOW] ", output.encode()).decode())


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader in an empty directory."""
    reader = Reader(tmp_path)
    yield reader
    reader.stop()


def follow(reader: Reader, last: int) -> None:
    """Save the files of the steps up to ``last``."""
    for number in range(1, last + 1):
        reader.write(shown_files(step(number)))


def check(reader: Reader, command: str, shown: str) -> tuple[float, int]:
    """Run the client that does not read; return the MiB that were taken, and the bytes that are missing."""
    said = reader.run(command)
    assert shape(said) == shape(shown)
    taken, _, missing, _ = re.findall(r"[\d.]+", said)
    return float(taken), int(missing)


@pytest.mark.parametrize("number", STEPS)
def test_the_page_shows_the_files(number: int) -> None:
    assert shown_files(step(number)) == files_in(DOCS / f"tutorial/step{number}")


def test_the_textbook_loses_bytes_and_takes_all(reader: Reader) -> None:
    follow(reader, 1)
    start, ask = commands(step(1))
    reader.start(start)
    taken, missing = check(reader, ask, *shown_output(step(1)))
    assert taken == 20.0
    assert missing > 0


def test_back_pressure_and_half_close_lose_nothing(reader: Reader) -> None:
    follow(reader, 2)
    start, ask = commands(step(2))
    reader.start(start)
    taken, missing = check(reader, ask, *shown_output(step(2)))
    assert taken < 20.0
    assert missing == 0


def test_the_plugin_loses_nothing_and_refuses_with_one_line(reader: Reader) -> None:
    follow(reader, 3)
    start, bad_option, port_in_use = commands(step(3))
    option_error, port_error = shown_output(step(3))
    reader.start(start)
    assert check(reader, commands(step(2))[1], *shown_output(step(2)))[1] == 0
    assert reader.run(bad_option, status=1) == option_error
    assert shape(reader.run(port_in_use, status=1)) == shape(port_error)


def test_its_tests_pass_and_can_fail(reader: Reader) -> None:
    follow(reader, 4)
    [run] = commands(step(4))
    [shown] = shown_output(step(4))
    assert shown in reader.run(run)
    whole = (reader.folder / "stamp.py").read_text()
    for line in ("        self.transport.registerProducer(self.transport, True)\n", "@implementer"):
        assert line in whole
        reader.write({"stamp.py": whole.replace(line, "# @implementer" if "@" in line else "")})
        assert "FAILED" in reader.run(run, status=1)
    reader.write({"stamp.py": whole})
    assert "5 passed" in reader.run(".venv/bin/python -m pytest -q -p no:cacheprovider test_stampd.py")


def test_systemd_accepts_the_unit(reader: Reader) -> None:
    program("systemd-analyze")
    follow(reader, 5)
    [verify] = commands(step(5))
    [shown] = shown_output(step(5))
    assert reader.run(verify).endswith(shown)
    (reader.folder / ".venv/bin/twistd").unlink()
    assert "not executable" in reader.run(verify, status=1)


def test_draining_serves_who_is_connected(reader: Reader) -> None:
    follow(reader, 5)
    [start] = commands(step(3))[:1]
    stop_it, run_tests, start_again, stop_it_again = commands(step(6))
    cut, passed, drained = shown_output(step(6))
    reader.write({"drain.py": shown_files(step(6))["drain.py"]})
    reader.start(start)
    assert shape(reader.run(stop_it)) == shape(cut)
    reader.wait()
    follow(reader, 6)
    assert passed in reader.run(run_tests)
    reader.start(start_again)
    assert shape(reader.run(stop_it_again)) == shape(drained)
    assert "waiting up to 30 s for " in reader.wait()
    assert "no time in seconds" in reader.run(f"{start_again} --drain-timeout=-1", status=1)


def test_the_eager_transport_keeps_all_that(reader: Reader) -> None:
    follow(reader, 7)
    before, _install, start, after, ask, stop_it = commands(step(7))
    speed, eager_speed, checked, drained = shown_output(step(7))
    assert before == after
    old, new = (shown_files(step(number))["stampd.py"].splitlines() for number in (6, 7))
    assert [line.strip() for line in new if line and line not in old] == [
        "from tsserv.net.reactor import eager",
        "reactor = eager(reactor)",
    ]
    assert shown_output(step(6))[1] in reader.run(commands(step(6))[1])
    reader.start(start)
    assert shape(reader.run(after)) == shape(speed) == shape(eager_speed)
    assert check(reader, ask, checked)[1] == 0
    assert shape(reader.run(stop_it)) == shape(drained)
    reader.wait()


def test_the_example_of_eager_echoes(reader: Reader) -> None:
    text = sections("eager.md")[1]
    files = shown_files(text)
    assert files == {"example.py": (DOCS / "eager/example.py").read_text()}
    reader.write(files)
    reader.start(*commands(text))
    with socket.create_connection(("127.0.0.1", reader.port), PATIENCE) as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"


def test_the_figures_of_eager_can_be_measured(reader: Reader) -> None:
    said = reader.run(f".venv/bin/python {DOCS}/eager/measure.py --rounds 1 --seconds 0.02")
    table = (DOCS / "eager.md").read_text()
    names = re.findall(r"^\| `?([\w.]+)`? \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", table, re.MULTILINE)
    assert len(names) == 3
    assert re.findall(r"^(\S+) +[\d.]+ +[\d.]+ +[\d.]+$", said, re.MULTILINE) == names
