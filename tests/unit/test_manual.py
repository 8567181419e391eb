"""The manual pages have the options of ``--help``, with the same letters, arguments and defaults."""

from __future__ import annotations

import re

import pytest
from readme import text

from tsserv.options import Options
from tsserv.ping.options import make_parser

pytestmark = pytest.mark.once


def default(description: str) -> str:
    """Return the default at the end of a description: in brackets, as ``[1]`` or ``[default: 1.0]``."""
    found = re.search(r"\[(?:default: )?([^\]]+)\]\.?$", description)
    return found[1].removesuffix(".0") if found else ""


def manual(page: str) -> dict[str, str]:
    """Return the options of a page of docs/, as ``-p, --port PORT``, and the default of each."""
    options = re.findall(r"^(\*\*-.*)\n: (.*(?:\n  .*)*)", text(f"docs/{page}.md"), re.M)
    return {names.replace("*", ""): default(" ".join(lines.split())) for names, lines in options}


def test_the_manual_of_the_service() -> None:
    lines = Options().getUsage(width=1000).splitlines()
    options = [found.groups() for line in lines if (found := re.match(r" +(-.*?)(=?)  +(.*)", line))]
    # Twisted's help does not name the arguments.
    ours = {re.sub(" [A-Z]+$", "=", names): found for names, found in manual("tsserv").items()}
    assert ours == {names + value: default(description) for names, value, description in options}


def test_the_manual_of_the_probe() -> None:
    actions = [action for action in make_parser()._actions if action.option_strings]
    assert manual("tsserv-ping") == {
        " ".join([", ".join(action.option_strings), str(action.metavar or "")]).strip(): default(
            action.help or ""
        )
        for action in actions
    }
