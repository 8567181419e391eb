"""Fixtures for every test: real ``twistd`` processes, and the programs that they are tried with."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Files
from hypothesis import HealthCheck, settings
from pinging import Ping
from processes import Twistd
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell lets its background jobs ignore Ctrl-C, and the processes that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signal_mask() -> Iterator[None]:
    """Put back the signal mask, which processes inherit: starting a service in this one changes it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return the list to which every event that is logged is added as text."""
    texts: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        texts.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Twistd]]:
    """Return a function that starts the service in the foreground, with options of ``twistd tsserv``."""
    started: list[Twistd] = []

    def start(
        *options: str,
        reactor: str = "default",
        prefix: tuple[str, ...] = (),
        passed: socket.socket | None = None,
    ) -> Twistd:
        service = Twistd(tmp_path, *options, reactor=reactor, prefix=prefix, passed=passed)
        started.append(service)
        service.wait_until_up()
        return service

    yield start
    for service in started:
        service.end()


@pytest.fixture
def ping(capsys: pytest.CaptureFixture[str]) -> Ping:
    """Return what runs ``tsserv-ping`` with arguments."""
    return Ping(capsys)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return the files of a certificate."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return Files(folder)


def program(name: str) -> str:
    """Return the path of a program; where it is missing, skip the test, or fail it in CI."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")  # not on the PATH of every user
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs the program {name}")
    return path
