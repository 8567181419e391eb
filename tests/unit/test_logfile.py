"""The service's own log file, in memory."""

from __future__ import annotations

import errno
import json
import os
import select
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher, formatEventAsClassicLogText
from zope.interface import implementer

from tsserv.ops.logfile import FORMATS, LogFile, as_text, open_log


@implementer(IReactorFromThreads)
class Reactor(MemoryReactorClock):
    """A reactor that does not run."""

    running = False

    def callFromThread(self, callable: Callable[..., object], *arguments: object, **keywords: object) -> None:
        pass


@pytest.fixture
def publisher() -> LogPublisher:
    """Return where events come from."""
    return LogPublisher()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a log file."""
    return tmp_path / "log"


def log_file(path: Path, publisher: LogPublisher, log_format: str = "text") -> LogFile:
    """Return a log file that has started, on a reactor that does not run: every line is written at once."""
    service = LogFile(open_log(str(path)), FORMATS[log_format], Reactor(), publisher)
    service.privilegedStartService()
    service.startService()
    return service


def messages(path: Path) -> list[str]:
    """Return the lines of a log file without what comes before each message."""
    return [line.split("] ", 1)[1] for line in path.read_text("utf-8").splitlines()]


def test_holds_what_this_package_logs_while_it_runs(path: Path, publisher: LogPublisher) -> None:
    ours = Logger("tsserv", observer=publisher)
    others = [
        Logger(name, observer=publisher) for name in ("twisted.internet", "tsserver", "tsserv.part", "")
    ]
    ours.info("before")
    service = log_file(path, publisher)
    ours.info("one: {host}", host="\u00e4")
    for other in others:
        other.info("not ours")
    publisher({"log_time": 0.0})  # an event as bare as the interface allows
    ours.info("two")
    assert [line.split(" ", 1)[1] for line in path.read_text("utf-8").splitlines()] == [
        "[tsserv#info] one: \u00e4",
        "[tsserv#info] two",
    ]
    service.stopService()
    ours.info("after")
    assert len(messages(path)) == 2


def test_no_event_can_look_like_two(path: Path, publisher: LogPublisher) -> None:
    service = log_file(path, publisher)
    Logger("tsserv", observer=publisher).info("{name}", name="x\n2026-11-23T08:22:38+0000 [-] forged")
    service.stopService()
    assert path.read_text().splitlines()[1] == "\t2026-11-23T08:22:38+0000 [-] forged"


def test_json_is_an_object_a_line(path: Path, publisher: LogPublisher) -> None:
    service = log_file(path, publisher, "json")
    Logger("tsserv", observer=publisher).warn("a {what}\nb", what='"\u00e4"')
    publisher(
        {
            "log_namespace": "tsserv",
            "log_time": 1795422158.25,
            "event": "close",
            "peer": "192.0.2.1",
            "port": None,
            "bytes_in": 0,
            "reason": "idle",
        }
    )
    service.stopService()
    message, close = map(json.loads, path.read_text().splitlines())
    del message["time"]
    assert message == {"event": "message", "level": "warn", "message": 'a "\u00e4"\nb'}
    assert close == {
        "time": "2026-11-23T08:22:38.250000+00:00",
        "event": "close",
        "peer": "192.0.2.1",
        "bytes_in": 0,
        "reason": "idle",
    }


def test_lines_of_connections_are_text_as_twistd_writes_it() -> None:
    seen: list[LogEvent] = []
    for seconds in (1795422158.999, 1795422159.0):
        event = {"event": "open", "log_format": "from {peer}", "peer": "192.0.2.1"}
        seen.append({"log_namespace": "tsserv", "log_level": LogLevel.info, "log_time": seconds, **event})
    assert list(map(as_text, seen)) == list(map(formatEventAsClassicLogText, seen))


def test_a_file_that_it_makes_is_for_the_user_who_reopens_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda descriptor, uid, gid: owners.append((uid, gid)))
    path.touch()
    path.with_name("link").symlink_to("elsewhere")
    for name in ("log", "link"):  # whoever may write to the directory can have made these
        open_log(str(path.with_name(name)), 1, 2).close()
    assert owners == []
    for number, ids in enumerate([(1, 2), (1,), ()]):
        open_log(str(path.with_name(str(number))), *ids).close()
    assert owners == [(1, 2), (1, -1), (-1, -1)]


def test_a_file_that_cannot_be_handed_over_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    open_log(str(path), 1).close()
    assert path.exists()


def test_a_reload_reopens_it_by_its_name(path: Path, publisher: LogPublisher) -> None:
    log = Logger("tsserv", observer=publisher)
    service = log_file(path, publisher)
    log.info("one")
    path.rename(path.with_name("old"))
    log.info("two")
    service.reload()
    log.info("three")
    service.stopService()
    assert messages(path.with_name("old")) == ["one", "two"]
    assert messages(path) == ["three"]


def test_a_reload_finds_it_from_any_directory(
    path: Path, publisher: LogPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    service = log_file(Path("log"), publisher)
    monkeypatch.chdir("/")
    path.unlink()
    service.reload()
    service.stopService()
    assert path.exists()


def test_that_it_cannot_be_reopened_is_logged_and_the_old_one_goes_on(
    path: Path, publisher: LogPublisher, logged: list[str]
) -> None:
    service = log_file(path, publisher)
    path.rename(path.with_name("old"))
    path.mkdir()
    service.reload()
    assert logged == [f"Cannot reopen the log file {path}: Is a directory; the old one stays in use"]
    Logger("tsserv", observer=publisher).info("still here")
    service.stopService()
    assert messages(path.with_name("old")) == ["still here"]


def test_a_name_that_is_not_utf_8_is_logged_escaped(
    tmp_path: Path, publisher: LogPublisher, logged: list[str]
) -> None:
    path = tmp_path / os.fsdecode(b"\xff")
    try:
        service = log_file(path, publisher)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    path.unlink()
    path.mkdir()
    service.reload()
    service.stopService()
    assert logged == [
        rf"Cannot reopen the log file {tmp_path}/\xff: Is a directory; the old one stays in use"
    ]


def test_a_full_disk_is_one_line_and_its_end_another(
    path: Path, publisher: LogPublisher, logged: list[str]
) -> None:
    path.symlink_to("/dev/full")
    service = log_file(path, publisher)
    log = Logger("tsserv", observer=publisher)
    log.info("one")
    log.info("two")
    assert logged == [f"Cannot write to the log file {path}: No space left on device; lines are lost"]
    path.unlink()
    service.reload()
    log.info("three")
    log.info("four")
    service.stopService()
    assert logged[1:] == [f"Writing to the log file {path} works again; lines lost: 2"]
    assert messages(path) == ["three", "four"]


def test_a_fifo_takes_lines_before_and_after_it_has_a_reader(path: Path, publisher: LogPublisher) -> None:
    os.mkfifo(path)
    service = log_file(path, publisher)
    log = Logger("tsserv", observer=publisher)
    log.info("one")
    for message in (b"one\n", b"two\n"):
        with FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as reader:
            assert select.select([reader], [], [], 0)[0]
            assert reader.readline().endswith(message)
        log.info("two")
    service.stopService()
