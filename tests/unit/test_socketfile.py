"""Who may take the file of a UNIX socket."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest
from processes import PATIENCE

from tsserv.net import socketfile
from tsserv.net.socketfile import SocketFile


def leave_dead(path: Path) -> None:
    """Leave a socket to which nobody listens."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_of_two_services_that_start_at_once_one_takes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sock"
    leave_dead(path)
    monkeypatch.setattr(socketfile, "_TRIES", 1000)
    monkeypatch.setattr(socketfile, "_PATIENCE", PATIENCE)
    refused = threading.Event()
    lock = fcntl.flock

    def report(fd: int, operation: int) -> None:
        try:
            lock(fd, operation)
        except OSError:
            refused.set()
            raise

    monkeypatch.setattr(fcntl, "flock", report)
    found: list[bool] = []

    def second() -> None:
        with SocketFile(str(path)).taken_over():
            found.append(path.exists())

    with socket.socket(socket.AF_UNIX) as first:
        with SocketFile(str(path)).taken_over():
            assert not path.exists()
            first.bind(str(path))
            other = threading.Thread(target=second)
            other.start()
            assert refused.wait(PATIENCE)
            first.listen()
        other.join()
    assert found == [True]


@pytest.mark.parametrize("held", ["lock", "unreadable"])
def test_a_directory_that_cannot_be_locked_is_no_hindrance(
    held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sock"
    leave_dead(path)
    monkeypatch.setattr(socketfile, "_PATIENCE", 0)
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    if held == "unreadable":

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "open", refuse)
    with SocketFile(str(path)).taken_over():
        assert not path.exists()
    os.close(holder)


def test_any_other_file_is_left_alone(tmp_path: Path) -> None:
    leave_dead(tmp_path / "dead")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("dead")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "datagrams"))
        for name in ("file", "link", "directory", "datagrams"):
            with SocketFile(str(tmp_path / name)).taken_over():
                pass
    assert {path.name for path in tmp_path.iterdir()} == {"dead", "file", "link", "directory", "datagrams"}


def test_a_living_service_keeps_its_file_even_if_nobody_can_connect_now(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as client:
        living.bind(str(path))
        living.listen(0)
        client.connect(str(path))  # which leaves no room for another
        with SocketFile(str(path)).taken_over():
            assert path.exists()


def test_the_file_is_removed_once_and_by_its_own_service(tmp_path: Path, logged: list[str]) -> None:
    path = tmp_path / "sock"
    ours = SocketFile(str(path))
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as successor:
        with ours.taken_over():
            first.bind(str(path))
        path.unlink()
        ours.remove()
        successor.bind(str(path))
        ours.remove()
        assert path.exists()
    assert logged == []


def test_a_file_that_cannot_be_removed_is_one_line(
    tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sock"
    ours = SocketFile(str(path))
    with ours.taken_over():
        leave_dead(path)

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    ours.remove()
    assert logged == [f"Cannot remove {path}: Permission denied"]
