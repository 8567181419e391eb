"""The log file of a service that root starts and twistd's --uid gives to another user."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Twistd, receive, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")

NOBODY = 65534
AS_NOBODY = ("sh", "-c", f'twistd=$1; shift; exec "$twistd" --uid={NOBODY} "$@"', "sh")


@pytest.fixture
def path() -> Iterator[Path]:
    """Return the path of a log file in a directory of root's that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is for root alone
        Path(folder).chmod(0o755)
        yield Path(folder, "log")


def is_logged_in(path: Path, service: Twistd) -> bool:
    """Connect, and return whether a file has a line about a connection."""
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
    return "connected from" in path.read_text()


@pytest.mark.parametrize("made_by", ["logrotate", "the service"])
def test_a_file_that_the_service_has_made_is_reopened(
    made_by: str, path: Path, serve: Callable[..., Twistd]
) -> None:
    service = serve(f"--logfile={path}", prefix=AS_NOBODY)
    assert path.stat().st_uid == NOBODY
    old = path.rename(path.with_name("old"))
    if made_by == "logrotate":
        path.touch(mode=0o600)
        os.chown(path, old.stat().st_uid, old.stat().st_gid)
    else:
        os.chown(path.parent, NOBODY, -1)
    service.reload()
    wait_until(path.exists, "the new file")
    wait_until(lambda: is_logged_in(path, service), "a line in it")
    assert path.stat().st_uid == NOBODY
    assert "Cannot" not in service.output


def test_a_file_that_cannot_be_reopened_is_one_line_and_the_old_one_is_used(
    path: Path, serve: Callable[..., Twistd]
) -> None:
    path.touch(mode=0o600)
    service = serve(f"--logfile={path}", prefix=AS_NOBODY)
    assert path.stat().st_uid == 0  # it was root's before
    service.reload()
    service.wait_for(f"Cannot reopen the log file {path}: Permission denied; the old one stays in use\n")
    wait_until(lambda: is_logged_in(path, service), "a line in the old file")
    service.stop()
    assert service.output.count("Cannot") == 1
