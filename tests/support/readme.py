"""The examples in README.md and in the pages of docs/."""

from __future__ import annotations

import re

from sources import CLONE


def text(document: str) -> str:
    """Return the text of a document, such as ``docs/tls.md``."""
    return (CLONE / document).read_text()


def blocks(heading: str, language: str = "sh", *, document: str = "README.md") -> list[str]:
    """Return the code blocks of a language in the section of a document under ``heading``."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text(document), re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return re.findall(rf"^```{language}\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)
