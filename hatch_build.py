"""Makes the manual page, shell completions and one-file form of ``tsserv-ping`` while a wheel is built."""

from __future__ import annotations

import sys
import tempfile
import zipapp
import zipfile
from pathlib import Path
from typing import Any

import shtab
from argparse_manpage.manpage import Manpage
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPLETIONS = {
    "bash": "share/bash-completion/completions/tsserv-ping",
    "zsh": "share/zsh/site-functions/_tsserv-ping",
}

_MAIN = "import sys\nfrom tsserv.ping.command import main\nsys.exit(main())\n"


class PingPages(BuildHookInterface):
    """Adds them to the shared data of the wheel, which are installed under the prefix."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the files; hatchling calls this before it builds."""
        self._directory = tempfile.TemporaryDirectory()
        self._shared: dict[str, str] = build_data["shared_data"]
        sys.path.insert(0, self.root)  # the parser imports the standard library and tsserv alone
        from tsserv.ping.helptext import MANUAL_SECTIONS, SECTIONS
        from tsserv.ping.options import make_parser

        parser = make_parser()
        for action in parser._actions:
            if action.metavar == "FILE":
                action.complete = shtab.FILE
        for shell, path in _COMPLETIONS.items():
            self._add(path, shtab.complete(parser, shell))
        parser.epilog = None
        data = {
            "project_name": "tsserv",
            "version": self.metadata.version,
            "description": "ask a timestamp service for the time, and how long that takes",
            "manual_title": "tsserv",
        }
        page = Manpage(parser, data)
        for title, text in (SECTIONS | MANUAL_SECTIONS).items():
            page.add_section(title, ">", text.replace("-", r"\-"))
        self._add("share/man/man1/tsserv-ping.1", str(page))
        self._add_archive("share/tsserv/tsserv-ping.pyz")

    def _add_archive(self, path: str) -> None:
        """Add a file that runs with nothing but Python: the probe, the stamps, and the version."""
        root = Path(self.root)
        sources = [
            root / "tsserv/__init__.py",
            root / "tsserv/stamp.py",
            *(root / "tsserv/ping").rglob("*.py"),
        ]
        version = self.metadata.version
        plain = Path(self._directory.name, "plain.zip")
        with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
            for source in sorted(sources):
                archive.write(source, source.relative_to(root))
            archive.writestr("__main__.py", _MAIN)
            metadata = f"Metadata-Version: 2.1\nName: tsserv\nVersion: {version}\n"
            archive.writestr(f"tsserv-{version}.dist-info/METADATA", metadata)
        file = Path(self._directory.name, Path(path).name)
        zipapp.create_archive(plain, file, "/usr/bin/env python3")
        self._shared[str(file)] = path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the files; hatchling calls this after it has built."""
        self._directory.cleanup()

    def _add(self, path: str, text: str) -> None:
        file = Path(self._directory.name, Path(path).name)
        file.write_text(text, encoding="utf-8")
        self._shared[str(file)] = path
