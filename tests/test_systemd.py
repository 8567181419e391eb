"""The unit file, checked by systemd."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import program
from processes import TWISTD

UNIT = Path(__file__).parents[1] / "etc/systemd/tsserv.service"


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "/opt/tsserv/bin/twistd" in text
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/tsserv/bin/twistd", str(TWISTD)))  # systemd looks whether it is there
    done = subprocess.run(
        [program("systemd-analyze"), "verify", unit],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_is_in_the_foreground_unprivileged_and_restarted() -> None:
    lines = UNIT.read_text().splitlines()
    assert "ExecStart=/opt/tsserv/bin/twistd -n --pidfile= tsserv --port 21567" in lines
    assert {"DynamicUser=yes", "Restart=on-failure"} < set(lines)
