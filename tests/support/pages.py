"""The files and commands that a page of docs/ shows, for a reader who pastes them."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from processes import PATIENCE, TWISTD, environment, wait_until
from sources import CLONE

DOCS = CLONE / "docs"

_FILE = re.compile(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^```sh\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def sections(page: str) -> list[str]:
    """Return the text of each section of a page, the one above all headings first."""
    return re.split(r"^## .*$", (DOCS / page).read_text(), flags=re.MULTILINE)


def shown_files(text: str) -> dict[str, str]:
    """Return the contents of the files that a text shows, by name."""
    return dict(_FILE.findall(text))


def commands(text: str) -> list[str]:
    """Return the commands that a text shows."""
    return _COMMAND.findall(text)


def shown_output(text: str) -> list[str]:
    """Return what the commands of a text print."""
    return _OUTPUT.findall(text)


def files_in(folder: Path) -> dict[str, str]:
    """Return the contents of the files in a folder, by name, without what runs of them leave."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.suffix in (".py", ".service")
    }


class Reader:
    """
    Somebody who pastes into files and terminals, but with a port that the system chooses.

    :param folder: an empty directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            #: In place of 21567.
            self.port = probe.getsockname()[1]
        scripts = folder / ".venv/bin"
        scripts.mkdir(parents=True)
        for name, path in (("python", sys.executable), ("twistd", TWISTD)):
            (scripts / name).write_text(f'#!/bin/sh\nexec "{path}" "$@"\n')
            (scripts / name).chmod(0o755)
        self._environment = {**environment(), "PYTHONUNBUFFERED": "1"}
        self._log = folder / "terminal"
        self._service: subprocess.Popen[bytes] | None = None

    def write(self, files: dict[str, str]) -> None:
        """Save files, in place of those that have these names."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("21567", str(self.port)))
        # Two versions of a module that are as long and from the same second are the same to Python.
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)

    def start(self, command: str) -> None:
        """Run a service in a terminal of its own, and wait until it says that it listens."""
        with self._log.open("wb") as log:
            self._service = subprocess.Popen(
                f"exec env {command}",
                shell=True,
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def is_up() -> bool:
            assert self._service is not None
            assert self._service.poll() is None, self._log.read_text()
            return "waiting for connection..." in self._log.read_text()

        wait_until(is_up, "the service listens")

    def wait(self) -> str:
        """Wait for the end of the service, and return what it has printed."""
        assert self._service is not None
        self._service.wait(PATIENCE)
        self._service = None
        return self._log.read_text()

    def stop(self) -> None:
        """Stop the service, if it runs."""
        if self._service is not None:
            self._service.terminate()
            self.wait()

    def run(self, command: str, status: int = 0) -> str:
        """Run a command, expect its exit status, and return all that it prints."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * PATIENCE,
        )
        assert done.returncode == status, done.stdout
        return done.stdout.replace(str(self.port), "21567")
