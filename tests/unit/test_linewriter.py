"""Lines written in a thread: to pipes that nobody reads, and to full disks."""

from __future__ import annotations

import errno
import os
import re
import select
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from pathlib import Path

import pytest
from processes import wait_until
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from tsserv.ops import linewriter
from tsserv.ops.linewriter import LineWriter


@implementer(IReactorFromThreads)
class Reactor(MemoryReactorClock):
    """A reactor that runs, or does not, and calls what other threads ask for when it is told to."""

    def __init__(self, running: bool) -> None:
        super().__init__()
        self.running = running
        self._calls: list[Callable[[], object]] = []

    def callFromThread(self, callable: Callable[..., object], *arguments: object, **keywords: object) -> None:
        self._calls.append(callable)

    def turn(self) -> None:
        """Do what other threads have asked for."""
        while self._calls:
            self._calls.pop()()


def running(is_running: bool = True) -> IReactorCore:
    """Return a reactor that runs, or does not."""
    reactor = Reactor(is_running)
    assert IReactorCore.providedBy(reactor)
    return reactor


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Return the ends of a pipe: the one to read from, and the one to write to."""
    read, write = os.pipe()
    with FileIO(read) as reader, FileIO(write, "wb") as file:
        yield reader, file


def read_until(reader: FileIO, end: bytes) -> list[bytes]:
    """Return the lines that are read up to the line ``end``."""
    data = b""
    while not data.endswith(end):
        data += reader.read(1 << 16)
    return data.splitlines(keepends=True)


def wait_for_writer(writer: LineWriter) -> None:
    """Wait until everything has been written or refused."""
    done: list[None] = []
    writer._put(lambda: done.append(None))
    wait_until(lambda: bool(done), "the end of the queue")


@pytest.mark.parametrize("batch", [1, 100])
def test_a_pipe_that_nobody_reads_holds_nothing_up_and_what_is_lost_is_counted(
    batch: int, pipe: tuple[FileIO, FileIO], logged: list[str]
) -> None:
    reader, file = pipe
    writer = LineWriter(file, "the pipe", running())
    lines = [b"line %05d\n" % number for number in range(30_000)]
    for start in range(0, len(lines), batch):
        writer.write(*(line.decode() for line in lines[start : start + batch]))
    assert logged == ["Cannot write to the pipe: 10000 lines are waiting already; lines are lost"]
    kept = 30_000 - writer._dropped
    assert kept < 20_000
    assert read_until(reader, b"line %05d\n" % (kept - 1)) == lines[:kept]
    writer.write("last\n")
    assert read_until(reader, b"last\n") == [b"last\n"]
    assert logged[1:] == [f"Writing to the pipe works again; lines lost: {30_000 - kept}"]
    writer.close()


def test_a_reader_that_is_slow_for_a_moment_gets_everything(
    pipe: tuple[FileIO, FileIO], logged: list[str]
) -> None:
    reader, file = pipe
    writer = LineWriter(file, "the pipe", running())
    lines = [b"line %05d\n" % number for number in range(9_999)]
    for line in lines:
        writer.write(line.decode())
    assert read_until(reader, lines[-1]) == lines
    writer.close()
    assert logged == []


def test_lines_of_several_writers_do_not_mix(pipe: tuple[FileIO, FileIO]) -> None:
    """A write of at most PIPE_BUF bytes is in one piece."""
    reader, file = pipe
    writers = [LineWriter(FileIO(os.dup(file.fileno()), "wb"), "the pipe", running()) for _ in range(2)]
    for number in range(2_000):
        for letter, writer in zip("ab", writers, strict=True):
            writer.write(letter * (number % 200) + "\n")
    lines = [reader.readline() for _ in range(4_000)]
    for letter in ("a", "b"):
        ours = [line.decode() for line in lines if line.startswith(letter.encode())]
        assert ours == [letter * (number % 200) + "\n" for number in range(2_000) if number % 200]
    for writer in writers:
        writer.close()


def test_a_line_longer_than_a_pipe_takes_at_once_is_written(pipe: tuple[FileIO, FileIO]) -> None:
    reader, file = pipe
    writer = LineWriter(file, "the pipe", running())
    long = "x" * 3 * select.PIPE_BUF + "\n"
    for text in ("before\n", long, "after\n"):
        writer.write(text)
    assert b"".join(read_until(reader, b"after\n")).decode() == f"before\n{long}after\n"
    writer.close()


def test_a_pipe_that_another_process_has_made_non_blocking(pipe: tuple[FileIO, FileIO]) -> None:
    reader, file = pipe
    os.set_blocking(file.fileno(), False)
    writer = LineWriter(file, "the pipe", running())
    lines = [b"line %05d\n" % number for number in range(9_999)]
    for line in lines:
        writer.write(line.decode())
    assert read_until(reader, lines[-1]) == lines
    writer.close()


def test_while_the_reactor_does_not_run_a_line_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LineWriter(FileIO(str(path), "ab"), "the log", running(False))
    for number in range(3):
        writer.write(f"{number}\n")
        writer.flush()
        assert path.read_text().splitlines()[-1] == str(number)
    writer.close()


def test_a_pipe_that_nobody_reads_holds_up_the_end_for_a_limited_time(
    pipe: tuple[FileIO, FileIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linewriter, "_PATIENCE", 0.01)
    reader, file = pipe
    os.set_blocking(file.fileno(), False)
    room = 0
    while piece := file.write(bytes(select.PIPE_BUF)):
        room += piece
    os.set_blocking(file.fileno(), True)
    writer = LineWriter(file, "the pipe", running(False))
    for text in ("one\n", "two\n"):
        writer.write(text)
    writer.close()
    assert writer._patience == 0
    assert not file.closed
    content = b"".join(iter(partial(reader.read, 1 << 16), b""))
    assert content[room:] == b"one\ntwo\n"


def test_a_line_that_a_full_disk_has_cut_short_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    space = [15]

    def write(descriptor: int, data: bytes) -> int:
        if not space[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        space[0] -= min(len(data), space[0])
        return real_write(descriptor, data[: 15 - space[0]] if len(data) > 15 else data)

    real_write: Callable[[int, bytes], int] = os.write
    path = tmp_path / "log"
    writer = LineWriter(FileIO(str(path), "ab"), "the log", running(False))
    monkeypatch.setattr(os, "write", write)
    for text in ("one\n", "two is cut short\n", "three\n"):
        writer.write(text)
    assert logged == ["Cannot write to the log: No space left on device; lines are lost"]
    space[0] = 1000
    monkeypatch.setattr(os, "write", real_write)
    writer.write("four\n")
    writer.write("five\n")
    writer.close()
    first, torn, *rest = path.read_text().splitlines()
    assert (first, rest) == ("one", ["four", "five"])
    assert "two is cut short".startswith(torn)
    assert logged[1:] == ["Writing to the log works again; lines lost: 2"]


@pytest.mark.parametrize(
    ("before", "after"), [("torn", "torn\nnew\n"), ("whole\n", "whole\nnew\n"), ("", "new\n")]
)
@pytest.mark.parametrize("way", ["at the start", "by a switch"])
def test_a_file_that_ends_in_the_middle_of_a_line(way: str, before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(before)
    first = path if way == "at the start" else tmp_path / "other"
    writer = LineWriter(FileIO(str(first), "ab"), "the log", running(False))
    if first != path:
        writer.switch(FileIO(str(path), "ab"))
    writer.write("new\n")
    writer.close()
    assert path.read_text() == after


def test_lines_before_a_switch_are_in_the_old_file(tmp_path: Path) -> None:
    files = [FileIO(str(tmp_path / name), "wb") for name in ("old", "new")]
    writer = LineWriter(files[0], "the log", running())
    for number in range(100):
        writer.write(f"{number}\n")
    writer.switch(files[1])
    writer.write("100\n")
    writer.close()
    assert (tmp_path / "old").read_text() == "".join(f"{number}\n" for number in range(100))
    assert (tmp_path / "new").read_text() == "100\n"
    assert all(file.closed for file in files)


class FailingFile(FileIO):
    """A file that cannot be closed without an error."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_whose_close_fails_gives_way_to_the_next(tmp_path: Path, logged: list[str]) -> None:
    path = tmp_path / "new"
    writer = LineWriter(FailingFile(str(tmp_path / "old"), "ab"), "the log", running())
    writer.switch(FailingFile(str(path), "ab"))
    wait_for_writer(writer)
    writer.write("one\n")
    wait_for_writer(writer)
    writer.write("two\n")
    writer.close()
    assert path.read_text() == "one\ntwo\n"
    error = "Cannot write to the log: Input/output error; lines are lost"
    assert logged == [error, "Writing to the log works again; lines lost: 0", error]


def test_lines_that_are_lost_between_two_looks_are_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    def fail(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = LineWriter(FileIO(str(tmp_path / "log"), "ab"), "the log", running())
    monkeypatch.setattr(os, "write", fail)
    writer._put(b"one\n")
    wait_for_writer(writer)
    writer._put(b"two\n")
    wait_for_writer(writer)
    writer.write("three\n")
    writer.close()
    assert logged == ["Writing to the log works again; lines lost: 1"]


def test_losses_are_logged_without_a_next_line(pipe: tuple[FileIO, FileIO], logged: list[str]) -> None:
    reader, file = pipe
    reactor = Reactor(running=True)
    writer = LineWriter(file, "the pipe", reactor)
    while not logged:
        writer.write("x\n")
    read_until(reader, b"x\n")

    def told() -> bool:
        reactor.turn()
        return len(logged) > 1

    wait_until(told, "the second line")
    writer.close()
    assert re.fullmatch(r"Writing to the pipe works again; lines lost: \d+", logged[1])


def test_names_that_are_not_utf_8_are_written_escaped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LineWriter(FileIO(str(path), "ab"), "the log", running(False))
    writer.write("\u00e4 \udcff\n")
    writer.close()
    assert path.read_bytes() == "\u00e4 \\udcff\n".encode()
