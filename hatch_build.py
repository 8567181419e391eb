"""Makes manual pages, shell completions and the one-file form of ``tsserv-ping`` while a wheel is built."""

from __future__ import annotations

import re
import sys
import tempfile
import zipapp
import zipfile
from pathlib import Path
from typing import Any

from docutils.core import publish_string
from docutils.writers.manpage import Writer
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from myst_parser.parsers.docutils_ import Parser

#: The section and the purpose of each page of docs/ that is a manual page.
_MANUAL = {"tsserv": (8, "a timestamp service"), "tsserv-ping": (1, "ask a timestamp service for the time")}

#: A warning of Docutils stops the build.
_DOCUTILS = {
    "doctitle_xform": True,
    "halt_level": 2,
    "myst_enable_extensions": ["deflist"],
    "myst_highlight_code_blocks": False,
    "output_encoding": "unicode",
}

_MAIN = b"import sys\nfrom tsserv.ping.command import main\nsys.exit(main())\n"


class Pages(BuildHookInterface):
    """Adds them to the shared data of the wheel, which are installed under the prefix."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the files; hatchling calls this before it builds."""
        self._directory = tempfile.TemporaryDirectory()
        # Older versions, as distributions have them, know no build_data["shared_data"].
        self._shared: dict[str, str] = self.build_config.shared_data
        sys.path.insert(0, self.root)
        import hatch_completions

        for path, text in hatch_completions.files():
            self._add(path, text)
        for page, (section, purpose) in _MANUAL.items():
            self._add(f"share/man/man{section}/{page}.{section}", self._manual_page(page, section, purpose))
        self._add_archive("share/tsserv/tsserv-ping.pyz")

    def _manual_page(self, page: str, section: int, purpose: str) -> str:
        """Return a page of docs/ in the language of man(7)."""
        text = Path(self.root, f"docs/{page}.md").read_text(encoding="utf-8")
        made = publish_string(text, parser=Parser(), writer=Writer(), settings_overrides=_DOCUTILS)
        heading = (
            f'.TH {page} {section} "" "tsserv {self.metadata.version}"\n'
            ".nh\n.ad l\n"  # an option that is cut by a hyphen cannot be searched for
            f".SH Name\n{page} \\- {purpose}\n"
        )
        return re.sub(r"\.TH .*\n\.SH Name\n.*\n", heading.replace("\\", r"\\"), made, flags=re.IGNORECASE)

    def _add_archive(self, path: str) -> None:
        """Add a file that runs with nothing but Python: the probe and the version."""
        root = Path(self.root)
        sources = [
            root / "tsserv/__init__.py",
            *(root / "tsserv/ping").rglob("*.py"),
        ]
        version = self.metadata.version
        contents = {str(source.relative_to(root)): source.read_bytes() for source in sorted(sources)}
        contents["__main__.py"] = _MAIN
        contents[f"tsserv-{version}.dist-info/METADATA"] = (
            f"Metadata-Version: 2.1\nName: tsserv\nVersion: {version}\n".encode()
        )
        plain = Path(self._directory.name, "plain.zip")
        with zipfile.ZipFile(plain, "w") as archive:
            for name, data in contents.items():
                # Without the time of the file, so that each build of a commit has the same bytes.
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
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
