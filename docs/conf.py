"""
The site, which Sphinx makes of the pages beside this file; CONTRIBUTING.md has the command.

The pages are Markdown that also reads well where the code is hosted. So two things are done here and not with
directives in them: the links of index.md are the table of contents, and links to files outside docs/, which
the site does not have, become their text.
"""

from __future__ import annotations

import re
from importlib import metadata

from sphinx.application import Sphinx

project = "tsserv"
version = release = metadata.version("tsserv")
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]  # as hatch_build.py, which makes the manual pages
myst_heading_anchors = 3
smartquotes = False  # they would make a dash of the hyphens of an option
html_theme = "furo"
html_title = f"tsserv {release}"
html_show_copyright = False
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

_PAGE = re.compile(r"\[([^]]+)]\(([\w-]+)\.md\)")
_ELSEWHERE = re.compile(r"(?<!!)\[([^]]+)]\(\.\./[^)]+\)")


def _complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Change the Markdown of a page before it is read; ``source`` holds it alone."""
    text = _ELSEWHERE.sub(r"\1", source[0])
    if page == "index":
        contents = "".join(f"{title} <{name}>\n" for title, name in _PAGE.findall(text))
        text += f"\n```{{toctree}}\n:hidden:\n\n{contents}```\n"
    source[0] = text


def setup(app: Sphinx) -> None:
    """Have Sphinx call :func:`_complete` for each page."""
    app.connect("source-read", _complete)
