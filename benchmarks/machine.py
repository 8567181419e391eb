"""When and on what it was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("tsserv", "Twisted", "uvloop", "gevent")


def describe() -> dict[str, str]:
    """Return the date, the machine and the versions of everything that is measured, by name."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout
    found = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "CPU": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["cc"] = compiler.partition("\n")[0]
    return found


def caption(machine: dict[str, str], rounds: int) -> str:
    """Return all that in two lines."""
    names = ("Python", *_PACKAGES)
    versions = ", ".join(f"{name} {machine[name]}" for name in names if name in machine)
    return (
        f"{machine['date']}: {machine['CPU']}, {machine['cores']} cores, {machine['kernel']}\n"
        f"{versions}, {machine['cc']}; medians of {rounds} round{'s' if rounds > 1 else ''}"
    )
