"""The Debian package: what lintian says of it, and its life on a real systemd."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot import boot
from box import Box
from conftest import program
from processes import STAMP
from sources import CLONE, copy_sources

pytestmark = [pytest.mark.timeout(600), pytest.mark.once]

# Here python3 is the distribution's.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def build(folder: Path, version: str = "") -> Path:
    """Build the package, if need be as another version, and return its folder."""
    source = copy_sources(folder / "source")
    if version:
        changelog = source / "debian/changelog"
        first, rest = changelog.read_text().split("\n", 1)
        changelog.write_text(f"tsserv ({version}) {first.partition(') ')[2]}\n{rest}")
    done = subprocess.run(
        [program("dpkg-buildpackage"), "--build=binary", "--no-sign"],
        cwd=source,
        env={"PATH": PATH, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the package."""
    missing = subprocess.run([program("dpkg-checkbuilddeps")], cwd=CLONE, capture_output=True, text=True)
    if missing.returncode:
        pytest.skip(missing.stderr)
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def box(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Return a systemd; the package is in ``/clone/..``."""
    box = boot(package, tmp_path_factory.mktemp("box"))
    yield box
    box.end()


def test_lintian_finds_nothing(package: Path) -> None:
    [changes] = package.glob("*.changes")
    done = subprocess.run(
        [program("lintian"), "--allow-root", "--fail-on=error,warning,info", changes],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def answer(box: Box) -> bytes:
    """Return what the service in the box answers."""
    with box.connect(21567) as client:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1024), b""))


def named_tsserv(box: Box) -> list[str]:
    """Return the paths of everything in the box whose name begins with the package's."""
    return box.run(
        "find / -xdev -path /clone -prune -o -path /tmp -prune -o -name 'tsserv*' -print"
    ).splitlines()


def test_the_life_of_the_package(package: Path, box: Box, tmp_path: Path) -> None:
    box.run(
        "rm -f /usr/sbin/policy-rc.d"
    )  # in images of containers, it keeps packages from starting services
    left = named_tsserv(box)
    # Installed: it runs, with the distribution's Twisted, and can be asked for and read about.
    box.run("dpkg --install /clone/*.deb")
    assert STAMP.match(answer(box))
    assert "\n1 sent, 1 answered, " in box.run("tsserv-ping --count 1 127.0.0.1")
    assert box.run("tsserv --version").startswith("tsserv ")
    assert box.run("man --where 8 tsserv; man --where 1 tsserv-ping").count("/usr/share/man/") == 2
    assert "limits.md" in box.run("ls /usr/share/doc/tsserv/docs")
    examples = "cd /usr/share/doc/tsserv/examples && ls haproxy/haproxy.cfg kubernetes/* prometheus/*"
    assert len(box.run(examples).split()) == 5
    assert box.run("bash -c '. /usr/share/bash-completion/completions/tsserv && complete -p tsserv'")
    completions = box.run(
        "ls /usr/share/zsh/vendor-completions /usr/share/bash-completion/completions"
    ).split()
    assert {"_tsserv", "_tsserv-ping", "tsserv", "tsserv-ping"} <= set(completions)
    assert "plugin cache" not in box.run("journalctl --unit=tsserv")
    # Upgraded: its options and its clients stay, and the new version runs.
    box.run("echo 'TSSERV_OPTIONS=--framing line --logfile /var/log/tsserv/tsserv.log' >/etc/default/tsserv")
    box.run("systemctl restart tsserv")
    [newer] = build(tmp_path, "1.0.0+newer").glob("*.deb")
    shutil.copy(newer, package)
    process = box.run("systemctl show --value --property=MainPID tsserv")
    with box.connect(21567) as client:
        client.sendall(b"a\n")
        assert client.recv(100).endswith(b"] a\n")
        box.run(f"echo | dpkg --install /clone/{newer.name}")
        assert client.recv(1) == b""
    assert box.run("systemctl show --value --property=MainPID tsserv") not in ("0", process)
    assert answer(box).endswith(b"] hello\n")
    assert "--framing line" in box.run("cat /etc/default/tsserv")
    # Purged: nothing is left.
    box.run("dpkg --purge tsserv")
    assert named_tsserv(box) == left
    with pytest.raises(ConnectionRefusedError):
        box.connect(21567)
