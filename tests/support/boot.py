"""A box or a network for a test, which is skipped where none can be made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from box import PROGRAMS, Box
from conftest import program


def boot(clone: Path, folder: Path) -> Box:
    """Return a box (:class:`box.Box`) that has booted, or skip the test."""
    if os.geteuid() != 0:
        pytest.skip("a systemd of its own needs root")
    for name in PROGRAMS:
        program(name)
    probe = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "true"]
    done = subprocess.run(probe, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip(f"a systemd of its own needs namespaces: {done.stderr.strip()}")
    try:
        return Box(clone, folder)
    except RuntimeError as error:
        pytest.skip(f"this machine does not let root make a box: {error}")


class _Ends(Protocol):
    """What has an end."""

    def end(self) -> object:
        """Remove it."""


_T = TypeVar("_T", bound=_Ends)


@contextmanager
def network(make: Callable[[], _T], programs: Iterable[str]) -> Iterator[_T]:
    """
    Make network namespaces, and remove them in the end, or skip the test.

    :param make: returns them.
    :param programs: what they are made with.
    """
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for name in programs:
        program(name)
    try:
        made = make()
    except RuntimeError as error:
        pytest.skip(f"this machine does not let root make a network: {error}")
    try:
        yield made
    finally:
        made.end()
