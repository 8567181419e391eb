"""The examples in README.md."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(heading: str, language: str = "sh") -> list[str]:
    """Return the code blocks of a language in the section under ``heading``."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", README.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return re.findall(rf"^```{language}\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)
