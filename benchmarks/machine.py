"""The date, the machine and the versions, which every result comes with."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("tsserv", "Twisted", "pyOpenSSL", "uvloop", "gevent")
_VERSIONS = ("Python", *_PACKAGES, "OpenSSL", "HAProxy", "cc")


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def describe() -> dict[str, str]:
    """Return the date, the machine and the versions of everything that is measured, by name."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
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
    found["OpenSSL"] = ssl.OPENSSL_VERSION.split()[1]
    if shutil.which("haproxy"):
        found["HAProxy"] = _first_line("haproxy", "-v").split()[2]
    found["cc"] = _first_line("cc", "--version").removeprefix("cc ")
    return found


def caption(machine: dict[str, str], rounds: int) -> str:
    """Return the description and the number of rounds as two lines."""
    versions = ", ".join(f"{name} {machine[name]}" for name in _VERSIONS if name in machine)
    spread = f"medians and quartiles of {rounds} rounds" if rounds > 1 else "1 round"
    return (
        f"{machine['date']}: {machine['CPU']}, {machine['cores']} cores, {machine['kernel']}; {spread}\n"
        f"{versions}"
    )
