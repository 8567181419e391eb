"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsserv

ROOT = Path(tsserv.__file__).parent
ROOMS = sorted(ROOT.rglob("*.py"))


# Methods of every named tuple: private in looks alone.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


def private_names(tree: ast.Module) -> Iterator[str]:
    """Return the private names that a module takes from others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if node.attr.startswith("_") and not node.attr.endswith("__") and not own:
                yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_a_room(room: Path) -> None:
    text = room.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "says what it is for"
    assert text.count("\n") <= 200, "reads at once"
    if room.parent.name != "net":
        assert set(private_names(tree)) <= OF_NAMED_TUPLES, "only net uses private names of others"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Logger":
            assert ast.unparse(node) == "Logger('tsserv')", "users see the namespace, and no move changes it"
