"""Twisted's own tests, run by Twisted's own runner over eager reactors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TWISTD

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll")

_SUPPORT = Path(__file__).parents[1] / "support"


def trial(folder: Path, *tests: Path | str) -> str:
    """Return what Twisted's test runner prints."""
    done = subprocess.run(
        [TWISTD.with_name("trial"), f"--temp-directory={folder / 'trial'}", *tests],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def test_listeners_and_connections_pass_twisteds_tests(tmp_path: Path) -> None:
    output = trial(tmp_path, _SUPPORT / "conformance.py")
    passed = re.search(r"^PASSED \(skips=(\d+), successes=(\d+)\)$", output, re.MULTILINE)
    assert passed, output
    assert passed[1] == "4", "one test on each of four reactors is left out"
    assert int(passed[2]) > 200, output


def test_twisteds_protocols_pass_their_tests_over_eager_listeners(tmp_path: Path) -> None:
    output = trial(tmp_path, _SUPPORT / "suites.py")
    started = re.search(r"^eager listeners: (\d+)$", output, re.MULTILINE)
    assert started, output
    assert int(started[1]) > 50, output
    successes = re.search(r"successes=(\d+)\)$", output, re.MULTILINE)
    assert successes, output
    assert int(successes[1]) > 2000, output
    # That test expects that Nagle's algorithm is on at first; eager connections never have it.
    failed = {*re.findall(r"^failed: (\S+)$", output, re.MULTILINE)} - {
        "twisted.test.test_tcp.LoopbackTests.test_tcpNoDelay"
    }
    # What fails must fail without an eager reactor too.
    assert not failed or "successes=" not in trial(tmp_path, *failed), output
