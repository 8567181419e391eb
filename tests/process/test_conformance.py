"""Twisted's own tests, run by Twisted's own runner over the eager face."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TWISTD


@pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll")
def test_the_eager_face_passes_twisteds_tests(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            TWISTD.with_name("trial"),
            f"--temp-directory={tmp_path / 'trial'}",
            Path(__file__).parents[1] / "support/conformance.py",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^PASSED \(skips=(\d+), successes=(\d+)\)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert passed[1] == "4", "one test on each of four reactors is left out"
    assert int(passed[2]) > 200, done.stdout
