"""The completions that are installed, in real shells on a terminal."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import program
from processes import PATIENCE, TWISTD, environment

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "darwin", reason="its bash is older than version 4"),
]

_INSTALLED = {path.name: path for path in importlib.metadata.files("tsserv") or [] if "share" in path.parts}
_DIRECTORY = Path(str(_INSTALLED["_tsserv"].locate())).resolve().parent

_BASHRC = "\n".join(
    [
        *(f". {_INSTALLED[name].locate()}" for name in ("tsserv-ping", "twistd", "tsserv")),
        "bind 'set show-all-if-ambiguous on' 'set enable-bracketed-paste off'",
        "PS1='ready> '",
    ]
)

_ZSHRC = f"""
fpath=({_DIRECTORY} $fpath)
autoload -Uz compinit && compinit -u -D
bindkey -e
unset zle_bracketed_paste
unsetopt prompt_sp list_ambiguous
PROMPT='ready> '
"""


class Shell:
    """A shell with completions, whose current directory has one file, ``only.pem``."""

    def __init__(self, folder: Path, name: str) -> None:
        rc = folder / ".zshrc"
        rc.write_text(_ZSHRC if name == "zsh" else _BASHRC)
        work = folder / "work"
        work.mkdir()
        (work / "only.pem").touch()
        self._terminal, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 200, 200, 0, 0))
        start = ["--no-globalrcs"] if name == "zsh" else ["--noprofile", "--rcfile", str(rc)]
        self._process = subprocess.Popen(
            [program(name), *start, "-i"],
            cwd=work,
            env={
                **environment(),
                "PATH": f"{TWISTD.parent}:{os.environ['PATH']}",
                "TERM": "xterm",
                "ZDOTDIR": str(folder),
            },
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            start_new_session=True,
        )
        os.close(terminal)
        self._seen = ""
        self._commands = 0
        self._wait("ready> ")

    def completes(self, line: str) -> str:
        """Type ``line`` and Tab; return the line that this makes."""
        self._commands += 1
        # The shell shows what it has: Ctrl-A goes to the beginning of the line.
        self._type(f"{line}\t\x01echo LI''NE{self._commands}: \r")
        return self._wait(rf"\nLINE{self._commands}: (.*?) *\r")[1]

    def lists(self, line: str, words: list[str]) -> None:
        """Type ``line`` and Tab; return when all ``words`` are shown."""
        self._type(f"{line}\t")
        for word in words:
            self._wait(rf"(?<![\w-]){re.escape(word)}(?![\w-])", keep=True)
        self._type("\x15")  # Ctrl-U removes the line
        assert self.completes("true -") == "true -"

    def end(self) -> None:
        """End it."""
        os.close(self._terminal)
        self._process.wait(PATIENCE)

    def _type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _wait(self, pattern: str, *, keep: bool = False) -> re.Match[str]:
        """Return the first match of ``pattern`` in what the shell has written since the last one."""
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self._seen)):
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, self._seen
            written = os.read(self._terminal, 65536).decode(errors="replace")
            self._seen = re.sub(r"\x1b(\[[\d;?]*[A-Za-z]|[=>])", "", self._seen + written)
        if not keep:
            self._seen = self._seen[match.end() :]
        return match


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, request.param)
    yield shell
    shell.end()


@pytest.mark.parametrize("command", ["tsserv", "twistd -n tsserv"])
def test_values_of_the_service_are_completed_by_what_they_are(shell: Shell, command: str) -> None:
    for typed, completed in (
        ("--framing ch", "--framing chunk"),
        ("--framing=l", "--framing=line"),
        ("--utc --time-format is", "--utc --time-format iso8601"),
        ("--log-form", "--log-format"),
        ("--certificate on", "--certificate only.pem"),
        ("--certificate=", "--certificate=only.pem"),
        ("-l on", "-l only.pem"),
        ("--port ", "--port"),
        ("-p ", "-p"),
        ("--port=", "--port="),
        ("--listen ", "--listen"),
        ("--framing on", "--framing on"),
    ):
        assert shell.completes(f"{command} {typed}").rstrip("=") == f"{command} {completed}".rstrip("=")
    shell.lists(f"{command} --log-connections ", ["both", "open", "close", "none"])


def test_values_of_the_probe_are_completed_by_what_they_are(shell: Shell) -> None:
    for typed, completed in (
        ("--cafile on", "--cafile only.pem"),
        ("--cafile=on", "--cafile=only.pem"),
        ("--count ", "--count"),
        ("-c ", "-c"),
        ("--histo", "--histogram"),
    ):
        assert shell.completes(f"tsserv-ping {typed}") == f"tsserv-ping {completed}"
    shell.lists("tsserv-ping --proxy-header ", ["v1", "v2"])


@pytest.mark.parametrize("command", ["tsserv", "tsserv-ping"])
def test_every_option_is_completed(shell: Shell, command: str) -> None:
    usage = subprocess.run([TWISTD.parent / command, "--help"], capture_output=True, text=True).stdout
    options = sorted(set(re.findall(r"^ +(?:-\w.*?, )?(--[a-z-]+)", usage, re.MULTILINE)))
    assert len(options) > 25
    shell.lists(f"{command} --", options)


def test_twistds_own_options_come_before_the_word_tsserv(shell: Shell) -> None:
    assert shell.completes("twistd -l on") == "twistd -l only.pem"
