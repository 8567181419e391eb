"""Links between files of the repository; Sphinx knows only those within docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import CLONE

PAGES = [
    page for place in ("*", "benchmarks/**/*", "docs/**/*") for page in sorted(CLONE.glob(f"{place}.md"))
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as hosts of code and MyST make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def prose(page: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CLONE)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target
