"""The service's own log file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Twistd, receive, wait_until
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogPublisher

from tsserv.ops.logfile import FORMATS, LogFile, open_log


@pytest.fixture
def publisher() -> LogPublisher:
    """Return where events come from."""
    return LogPublisher()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the name of a log file."""
    return tmp_path / "log"


@pytest.fixture
def service(path: Path, publisher: LogPublisher) -> LogFile:
    """Return a service that is the log file."""
    return LogFile(open_log(str(path)), FORMATS["text"], publisher)


def test_holds_what_this_package_logs_while_it_runs(
    service: LogFile, path: Path, publisher: LogPublisher
) -> None:
    ours = Logger("tsserv", observer=publisher)
    others = [
        Logger(name, observer=publisher) for name in ("twisted.internet", "tsserver", "tsserv.part", "")
    ]
    ours.info("before")
    service.privilegedStartService()
    service.startService()
    ours.info("one: {host}", host="\u00e4")
    for other in others:
        other.info("not ours")
    publisher({"log_time": 0.0})  # an event as bare as the interface allows
    ours.info("two")
    assert [line.split(" ", 1)[1] for line in path.read_text("utf-8").splitlines()] == [
        "[tsserv#info] one: \u00e4",
        "[tsserv#info] two",
    ]
    assert service.stopService().called
    ours.info("after")
    assert len(path.read_text("utf-8").splitlines()) == 2


def test_begins_before_its_children_and_ends_after_them(
    service: LogFile, path: Path, publisher: LogPublisher
) -> None:
    log = Logger("tsserv", observer=publisher)
    stopped: Deferred[None] = Deferred()

    class Part(Service):
        def privilegedStartService(self) -> None:
            log.info("started")

        def stopService(self) -> Deferred[None]:
            return stopped

    Part().setServiceParent(service)
    service.privilegedStartService()
    service.startService()
    service.stopService()
    log.info("stopped")
    stopped.callback(None)
    log.info("after")
    assert [line.split("] ", 1)[1] for line in path.read_text().splitlines()] == ["started", "stopped"]


def test_no_event_can_look_like_two(service: LogFile, path: Path, publisher: LogPublisher) -> None:
    service.privilegedStartService()
    Logger("tsserv", observer=publisher).info("{name}", name="x\n2026-11-23T08:22:38+0000 [-] forged")
    service.stopService()
    assert path.read_text().splitlines()[1] == "\t2026-11-23T08:22:38+0000 [-] forged"


def test_json_is_an_object_a_line(path: Path, publisher: LogPublisher) -> None:
    service = LogFile(open_log(str(path)), FORMATS["json"], publisher)
    service.privilegedStartService()
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


def test_is_reopened_under_its_old_name(service: LogFile, path: Path, publisher: LogPublisher) -> None:
    log = Logger("tsserv", observer=publisher)
    service.privilegedStartService()
    log.info("one")
    path.rename(path.with_name("old"))
    log.info("two")
    service.renew()
    log.info("three")
    service.stopService()
    assert [line.split("] ")[1] for line in path.with_name("old").read_text().splitlines()] == ["one", "two"]
    assert [line.split("] ")[1] for line in path.read_text().splitlines()] == ["three"]


def test_is_found_again_in_whatever_folder(
    path: Path, publisher: LogPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    service = LogFile(open_log("log"), FORMATS["text"], publisher)
    service.privilegedStartService()
    monkeypatch.chdir("/")
    path.unlink()
    service.renew()
    service.stopService()
    assert path.exists()


def test_that_it_cannot_be_reopened_is_logged_and_the_old_one_goes_on(
    service: LogFile, path: Path, publisher: LogPublisher, logged: list[str]
) -> None:
    service.privilegedStartService()
    path.rename(path.with_name("old"))
    path.mkdir()
    service.renew()
    assert logged == [f"Cannot reopen the log file {path}: Is a directory"]
    Logger("tsserv", observer=publisher).info("still here")
    service.stopService()
    assert "still here" in path.with_name("old").read_text()


def test_a_full_disk_is_one_line_and_its_end_another(
    publisher: LogPublisher, logged: list[str], path: Path
) -> None:
    path.symlink_to("/dev/full")
    service = LogFile(open_log(str(path)), FORMATS["text"], publisher)
    log = Logger("tsserv", observer=publisher)
    service.privilegedStartService()
    log.info("one")
    log.info("two")
    assert logged == [f"Cannot write to the log file {path}: No space left on device"]
    path.unlink()
    service._file.close()  # as reopening does, but that finds the file by the name that it had
    service._file = open_log(str(path))
    log.info("three")
    log.info("four")
    service.stopService()
    assert logged[1:] == [f"The log file {path} can be written again; lines lost: 2"]
    assert len(path.read_text().splitlines()) == 2


def test_a_real_service_in_json_and_renamed_under_it(path: Path, serve: Callable[..., Twistd]) -> None:
    service = serve(f"--logfile={path}", "--log-format=json")
    with service.connect() as client:
        port = client.getsockname()[1]
        for data in (b"x", b"yz"):
            client.sendall(data)
            receive(client, 27 + len(data))
    service.wait_for(
        r"closed: 127\.0\.0\.1 port \d+, 3 bytes in, 57 bytes out, chunks: 2, .* ended by the client"
    )
    old = path.rename(path.with_name("old"))
    service.reload()
    wait_until(path.exists, "a new log file")
    service.stop()
    lines = [json.loads(line) for line in old.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["message", "message", "open", "close"]
    opened, closed = lines[2:]
    assert closed["time"] >= opened["time"]
    assert closed["duration"] >= 0
    for line, event in ((opened, {}), (closed, {"bytes_in": 3, "bytes_out": 57, "chunks": 2})):
        assert (line["peer"], line["port"]) == ("127.0.0.1", port)
        assert {key: line[key] for key in event} == event
    assert closed["reason"] == "ended by the client"
    assert path.stat().st_mode == old.stat().st_mode


def test_a_real_service_with_a_full_disk_goes_on(serve: Callable[..., Twistd]) -> None:
    service = serve("--logfile=/dev/full")
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
    service.wait_for("closed: ")
    service.stop()
    assert service.output.count("Cannot write to the log file /dev/full: " + os.strerror(28)) == 1
    assert "Traceback" not in service.output
