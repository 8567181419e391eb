"""The service's own log file."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogPublisher

from tsserv.logs import LogFile


def test_holds_what_this_package_logs_while_it_runs(tmp_path: Path) -> None:
    publisher = LogPublisher()
    ours = Logger("tsserv.protocol", observer=publisher)
    others = [Logger(name, observer=publisher) for name in ("twisted.internet", "tsserver", "")]
    path = tmp_path / "log"
    file = path.open("a", encoding="utf-8")
    service = LogFile(file, publisher)
    ours.info("before")
    service.privilegedStartService()
    service.startService()
    ours.info("one: {host}", host="\u00e4")
    for other in others:
        other.info("not ours")
    publisher({"log_time": 0.0})  # an event as bare as the interface allows
    ours.info("two")
    assert [line.split(" ", 1)[1] for line in path.read_text("utf-8").splitlines()] == [
        "[tsserv.protocol#info] one: \u00e4",
        "[tsserv.protocol#info] two",
    ]
    assert service.stopService().called
    ours.info("after")
    assert len(path.read_text("utf-8").splitlines()) == 2
    assert file.closed


def test_begins_before_its_children_and_ends_after_them(tmp_path: Path) -> None:
    publisher = LogPublisher()
    log = Logger("tsserv.part", observer=publisher)
    stopped: Deferred[None] = Deferred()

    class Part(Service):
        def privilegedStartService(self) -> None:
            log.info("started")

        def stopService(self) -> Deferred[None]:
            return stopped

    path = tmp_path / "log"
    service = LogFile(path.open("a", encoding="utf-8"), publisher)
    Part().setServiceParent(service)
    service.privilegedStartService()
    service.startService()
    service.stopService()
    log.info("stopped")
    stopped.callback(None)
    log.info("after")
    assert [line.split("] ", 1)[1] for line in path.read_text().splitlines()] == ["started", "stopped"]
