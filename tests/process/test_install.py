"""Every way to install, each from the wheel alone: a service that answers, and a probe that asks it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import program
from processes import Twistd, environment
from sources import CLONE, copy_sources

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]


def call(*command: str | Path, **environ: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        command, env={**environment(), **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(folder: Path, source: Path = CLONE) -> Path:
    """Build a wheel in ``folder`` and return it."""
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that is installed."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of pipx, uv and shiv."""
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder, with_pip=True)
    call(folder / "bin/pip", "install", "--quiet", "pipx", "uv", "shiv")
    return folder / "bin"


def by_pip(wheel: Path, folder: Path, tools: Path) -> Path:
    """Install into a virtual environment."""
    venv.create(folder, with_pip=True)
    call(folder / "bin/pip", "install", "--quiet", wheel)
    return folder / "bin"


def by_pipx(wheel: Path, folder: Path, tools: Path) -> Path:
    """Install with pipx."""
    call(tools / "pipx", "install", wheel, PIPX_HOME=str(folder), PIPX_BIN_DIR=str(folder / "bin"))
    return folder / "bin"


def by_uv(wheel: Path, folder: Path, tools: Path) -> Path:
    """Install with uv."""
    python = f"--python={sys.executable}"
    directories = {"UV_TOOL_DIR": str(folder), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    call(tools / "uv", "tool", "install", python, wheel, **directories)
    return folder / "bin"


def by_shiv(wheel: Path, folder: Path, tools: Path) -> Path:
    """Make a file of each program and what it needs."""
    for name in ("tsserv", "tsserv-ping"):
        call(tools / "shiv", "--quiet", f"--console-script={name}", f"--output-file={folder / name}", wheel)
    return folder


@pytest.mark.parametrize("install", [by_pip, by_pipx, by_uv, by_shiv])
def test_an_installation_has_a_service_and_a_probe(
    install: Callable[[Path, Path, Path], Path],
    wheel: Path,
    tools: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHIV_ROOT", str(tmp_path / "shiv"))
    monkeypatch.chdir("/")  # the clone is not the current directory
    programs = install(wheel, tmp_path, tools)
    service = Twistd(tmp_path, command=[programs / "tsserv"])
    try:
        service.wait_until_up()
        probe = call(programs / "tsserv-ping", "--count=1", f"127.0.0.1:{service.port}")
    finally:
        service.end()
    assert "\n1 sent, 1 answered, " in probe


@pytest.mark.parametrize("page", ["tsserv.8", "tsserv-ping.1"])
def test_a_manual_page_can_be_read_in_a_terminal(page: str, wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(f"/{page}")]
        file = Path(archive.extract(name, tmp_path))
    shown = call(program("man"), "--warnings", "--local-file", file, MANWIDTH="80", LC_ALL="C.UTF-8")
    assert max(map(len, shown.splitlines())) <= 80
    titles = ("Synopsis", "Description", "Options", "Exit status", "Examples", "See also")
    assert [title for title in titles if f"\n{title}\n" not in shown] == []


def test_an_installation_has_the_files_for_several_hosts(wheel: Path) -> None:
    names = [name.partition(".data/data/share/tsserv/")[2] for name in zipfile.ZipFile(wheel).namelist()]
    for folder in ("haproxy", "kubernetes", "prometheus"):
        files = [str(path.relative_to(CLONE / "etc")) for path in (CLONE / "etc" / folder).iterdir()]
        assert files
        assert set(files) <= set(names)


def test_two_builds_are_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    other = build(tmp_path, copy_sources(tmp_path / "source"))
    assert other.read_bytes() == wheel.read_bytes()
