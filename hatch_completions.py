"""Makes the completions of both programs for bash and zsh, from the options that the programs have."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tsserv.options import Options
from tsserv.optiontable import OPTIONS
from tsserv.ping.options import make_parser

# Where each shell looks for the completion of a command.
_BASH = "share/bash-completion/completions"
_ZSH = "share/zsh/site-functions"


def files() -> Iterator[tuple[str, str]]:
    """Yield the path of each file below the prefix of an installation, and its text."""
    service = list(_options_of_service())
    for program, options in (("tsserv", service), ("tsserv-ping", list(_options_of_probe()))):
        yield f"{_BASH}/{program}", _bash(program, options)
        yield f"{_ZSH}/_{program}", _zsh(program, options)
    # The completion for twistd that zsh has asks the service.
    yield f"{_BASH}/twistd", _bash("tsserv", service) + _BASH_TWISTD


class Option(NamedTuple):
    """An option, as a shell completes it."""

    #: As they are typed: ``-p``, ``--port``.
    names: Sequence[str]
    text: str
    takes_value: bool
    #: The values, or the most frequent ones.
    words: Collection[str] = ()
    #: Whether a value is the name of a file.
    file: bool = False
    repeatable: bool = False


def _options_of_probe() -> Iterator[Option]:
    for action in make_parser()._actions:
        if action.option_strings:
            yield Option(
                action.option_strings,
                action.help or "",
                action.nargs != 0,
                action.choices or (),
                file=action.metavar == "FILE",
                repeatable=isinstance(action, argparse._AppendAction),
            )


def _options_of_service() -> Iterator[Option]:
    parser = Options()
    table = {option.name: option for option in OPTIONS}
    for word in parser.longOpt:
        name = word.rstrip("=")
        option = table.get(name)
        letters = [letter for letter, of in parser.synonyms.items() if of == name and len(letter) == 1]
        yield Option(
            [*(f"-{letter}" for letter in letters), f"--{name}"],
            " ".join(parser.docs[name].split()),
            word != name,
            option.words if option else (),
            file=bool(option and option.files),
            repeatable=name in parser.compData.multiUse,
        )


def _bash(program: str, options: Sequence[Option]) -> str:
    """Return the completion for bash, version 4 and newer."""
    with_value = [option for option in options if option.takes_value]
    cases = [
        (
            " | ".join(option.names),
            f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(option.words)}" -- "$word")',
        )
        for option in with_value
        if option.words
    ]
    files = [name for option in with_value if option.file for name in option.names]
    others = [name for option in with_value if not (option.file or option.words) for name in option.names]
    cases += [
        (
            " | ".join([*files, r"*[\<\>]"]),
            'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")',
        ),
        (" | ".join(others), "COMPREPLY=()"),
    ]
    return _BASH_FUNCTION.format(
        program=program,
        function="_" + program.replace("-", "_"),
        cases="\n".join(f"    {pattern}) {command} ;;" for pattern, command in cases),
        names=" ".join(name for option in options for name in option.names),
    )


_BASH_FUNCTION = """\
{function}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    # --option=value is three words.
    [ "$word" != = ] || word=
    [ "$before" != = ] || before=${{COMP_WORDS[COMP_CWORD-2]}}
    case $before in
{cases}
    *) mapfile -t COMPREPLY < <(compgen -W "{names}" -- "$word") ;;
    esac
}}
complete -F {function} {program}
"""

# Before the word tsserv come twistd's own options.
_BASH_TWISTD = """\
_twistd_tsserv() {
    case " ${COMP_WORDS[*]:0:COMP_CWORD} " in
    *' tsserv '*) _tsserv ;;
    *) COMPREPLY=(); compopt -o default ;;
    esac
}
complete -F _twistd_tsserv twistd
"""


def _zsh(program: str, options: Sequence[Option]) -> str:
    """Return the completion for zsh: a call of ``_arguments`` (zshcompsys(1))."""
    specs = []
    for option in options:
        value = ""
        if option.takes_value:
            values = "_files" if option.file else f"({' '.join(option.words)})" if option.words else " "
            value = f":{option.names[-1].lstrip('-')}:{values}"
        once = "*" if option.repeatable else f"({' '.join(option.names)})"
        text = re.sub(r"[][]", r"\\\g<0>", option.text)
        for name in option.names:
            sign = "" if not value else "=" if name.startswith("--") else "+"
            specs.append(shlex.quote(f"{once}{name}{sign}[{text}]{value}"))
    return f"#compdef {program}\n" + " \\\n    ".join(["_arguments -s -S", *specs]) + "\n"
