"""
Keeps what coverage has measured in a twistd that a signal stops.

twistd ends itself by the signal that it got, so that nothing registered with atexit runs.
"""

import os

import coverage

_kill = os.kill


def _save_and_kill(pid: int, signal: int) -> None:
    measured = coverage.Coverage.current()
    if pid == os.getpid() and measured is not None:
        measured.stop()
        measured.save()
    _kill(pid, signal)


os.kill = _save_and_kill
