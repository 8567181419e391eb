"""Standard output as twistd's log."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, textFileLogObserver

from tsserv.ops.stdio import unblock_stdout


class Reactor(MemoryReactorClock):
    """A reactor that does not run, so that every line is written at once."""

    running = False


EVENT = {
    "log_namespace": "tsserv",
    "log_level": LogLevel.info,
    "log_time": 0.0,
    "log_format": "from {peer}",
    "event": "open",
    "peer": "192.0.2.1",
}


@pytest.mark.parametrize(
    "options",
    [{"nodaemon": 1}, {"nodaemon": True, "logger": None, "syslog": 0, "logfile": "-"}],
    ids=["-n", "--logfile=-"],
)
def test_batches_and_what_twistd_writes_are_in_order(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stdout"
    with path.open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        write = unblock_stdout(Reactor(), options)
        assert write is not None
        twistd = textFileLogObserver(sys.stdout)
        write([EVENT, EVENT])
        twistd(EVENT)
        write([EVENT])
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    assert len(set(lines)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nodaemon": 0, "logfile": None},
        {"nodaemon": 1, "logfile": "twistd.log"},
        {"nodaemon": 1, "syslog": 1},
        {"nodaemon": 1, "logger": lambda: None},
    ],
)
def test_a_twistd_that_logs_elsewhere_gets_events(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stdout").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert unblock_stdout(Reactor(), options) is None


def test_there_may_be_no_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert unblock_stdout(Reactor(), {"nodaemon": 1}) is None
