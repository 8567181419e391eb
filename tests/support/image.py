"""
Makes an image from a recipe (Containerfile) without an engine, and runs it in namespaces of its own.

It knows the instructions of the project's recipe, and mmdebstrap makes the base.  Needs root and the network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

#: What it is made with.
PROGRAMS = ("mmdebstrap", "unshare", "nsenter", "chroot", "ip")

# The certificates of this machine's network, and its name servers, are not the image's affair.
_NETWORK = ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")


class Image:
    """
    Built at once.

    :param recipe: the file.
    :param context: the directory that its ``COPY`` is of.
    :param folder: an empty one, for the files.
    """

    def __init__(self, recipe: Path, context: Path, folder: Path) -> None:
        self._context = context
        self._folder = folder
        self._stages: dict[str, Path] = {}
        #: The instructions of the last stage that say how it runs, such as ``ENTRYPOINT``.
        self.settings: dict[str, str] = {}
        #: Its files.
        self.root = folder
        text = re.sub(r"^#.*\n", "", recipe.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        for line in filter(None, text.splitlines()):
            verb, _, rest = line.partition(" ")
            {"FROM": self._from, "RUN": self._run, "COPY": self._copy}.get(verb, self._set)(verb, rest)

    def _from(self, _: str, rest: str) -> None:
        distribution, _, name = rest.partition(" AS ")
        suite = re.fullmatch(r"docker\.io/library/debian:(\w+)-slim", distribution)
        assert suite, distribution
        base = self._folder / "base"
        if not base.exists():
            _call("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", suite[1], str(base))
        self.settings = {}
        self.root = self._folder / f"stage{len(self._stages)}"
        self._stages[name] = self.root
        _call("cp", "--archive", str(base), str(self.root))

    def _run(self, _: str, command: str) -> None:
        for name in _NETWORK:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), self.root / name)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))
        }
        _call(
            "chroot",
            str(self.root),
            "sh",
            "-ec",
            command,
            env=environment | {"PATH": os.defpath + ":/usr/sbin:/sbin"},
        )

    def _copy(self, _: str, rest: str) -> None:
        *sources, target = rest.split()
        source_root = self._context
        if sources[0].startswith("--from="):
            source_root = self._stages[sources.pop(0).removeprefix("--from=")]
        for source in sources:
            path = source_root / source.lstrip("/")
            to = self.root / target.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, to, symlinks=True)
            else:
                to.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to)

    def _set(self, verb: str, rest: str) -> None:
        self.settings[verb] = rest

    def command(self, verb: str) -> list[str]:
        """Return the program and arguments of ``ENTRYPOINT`` or ``HEALTHCHECK``."""
        words: list[str] = json.loads(self.settings[verb].removeprefix("CMD "))
        return words

    def start(self, *options: str) -> subprocess.Popen[str]:
        """
        Start it with a network of its own, on files that it cannot write.

        :return: its first process' parent, which ends with it and has its output.
        """
        script = (
            'mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount -o remount,bind,ro "$1" && '
            'ip link set lo up && cd "$1" && shift && exec "$@"'
        )
        inside = ["chroot", f"--userspec={self.settings['USER']}", ".", *self.command("ENTRYPOINT"), *options]
        return subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--pid",
                "--net",
                "--fork",
                "--kill-child",
                "sh",
                "-ec",
                script,
                "sh",
                str(self.root),
                *inside,
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _call(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}"
