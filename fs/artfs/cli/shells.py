"""``completion``: the scripts for shells, and the answers to them.

A script passes what was typed up to the cursor to ``artfs`` with ``_ARTFS_COMPLETE`` in the environment, and gets one
line for each candidate: its kind, a tab, and its text.  Kinds are "plain", "open" (no space follows), and "file" and
"dir", for which the shell completes paths on its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

from artfs.cli.output import write, write_line
from artfs.cli.session import Session, subcommand

__all__ = ["VARIABLE", "answer", "completion"]

VARIABLE: Final = "_ARTFS_COMPLETE"
_BREAKS: Final = "_ARTFS_BREAKS"

# `compopt -o nospace` holds for the whole answer, so it is used only if no candidate is complete.
_BASH: Final = r"""# bash completion of artfs: eval "$(artfs completion bash)"
_artfs() {
    local kind text spaced=0
    COMPREPLY=()
    while IFS=$'\t' read -r kind text; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            *) COMPREPLY+=("$text"); [ "$kind" = open ] || spaced=1 ;;
        esac
    done < <(_ARTFS_COMPLETE=bash _ARTFS_BREAKS=$COMP_WORDBREAKS "$1" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    [ $spaced = 1 ] || [ ${#COMPREPLY[@]} = 0 ] || compopt -o nospace
}
complete -F _artfs artfs
"""

_ZSH: Final = r"""#compdef artfs
# zsh completion of artfs: eval "$(artfs completion zsh)", after compinit
_artfs() {
    local kind text
    local -a spaced unspaced
    while IFS=$'\t' read -r kind text; do
        case $kind in
            file) _files ;;
            dir) _files -/ ;;
            open) unspaced+=("$text") ;;
            *) spaced+=("$text") ;;
        esac
    done < <(_ARTFS_COMPLETE=zsh "${words[1]}" "${(@Q)words[1,CURRENT]}" 2>/dev/null)
    (( ${#unspaced} )) && compadd -S '' -- "${unspaced[@]}"
    (( ${#spaced} )) && compadd -- "${spaced[@]}"
}
if [ "${funcstack[1]}" = _artfs ]; then _artfs "$@"; else compdef _artfs artfs; fi
"""

_FISH: Final = r"""# fish completion of artfs: artfs completion fish | source
function __artfs_complete
    set -lx _ARTFS_COMPLETE fish
    set -l words (commandline -opc)
    for line in ($words[1] $words (commandline -ct) 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $parts[2]
        end
    end
end
complete -c artfs -f -a '(__artfs_complete)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@subcommand("completion", as_json=False)
@click.argument("shell", metavar="SHELL", type=click.Choice(list(SCRIPTS)))
def completion(_session: Session, shell: str) -> None:
    """Print the completion script of a shell.

    SHELL is bash, zsh or fish. With the script, the shell completes commands, options, artifacts, versions, aliases,
    paths in versions, drafts, runs, tags, types and rules. Add the line for your shell to its start-up file.

    \b
    Examples:
      eval "$(artfs completion bash)"      in ~/.bashrc
      eval "$(artfs completion zsh)"       in ~/.zshrc, after compinit
      artfs completion fish | source       in ~/.config/fish/config.fish
    """
    write(SCRIPTS[shell])


class Typed(NamedTuple):
    """What was typed up to the cursor: the complete words, the incomplete one, and the quote that it is in, if any."""

    words: list[str]
    incomplete: str
    quote: str


def typed(line: str) -> Typed:
    """Return the words of a command line of bash up to the cursor, without their quotes."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    letters = iter(line)
    for letter in letters:
        if quote:
            if letter == quote:
                quote = ""
                continue
            if letter == "\\" and quote == '"':
                letter = next(letters, "")
        elif letter in "'\"":
            quote, word = letter, word or []
            continue
        elif letter == "\\":
            letter = next(letters, "")
        elif letter.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [*(word or ()), letter]
    return Typed(words, "".join(word or ()), quote)


def answer(cli: click.Command, session: Session, shell: str, arguments: Sequence[str]) -> int:
    """Print the candidates for what a shell passes, and return the exit code."""
    from click.shell_completion import ShellComplete

    if shell == "bash":
        words, incomplete, quote = typed(arguments[0] if arguments else "")
    else:
        words, incomplete, quote = list(arguments[:-1]), arguments[-1] if arguments else "", ""
    items = ShellComplete(cli, {"obj": session}, "artfs", VARIABLE).get_completions(words[1:], incomplete)
    option, equals, _ = incomplete.partition("=")
    before = option + equals if equals and option.startswith("-") else ""
    for item in items:
        kind = item.type if item.type in ("open", "file", "dir") else "plain"
        text = "" if kind in ("file", "dir") else _text(before + item.value, incomplete, shell, quote)
        write_line(f"{kind}\t{text}")
    return 0


def _text(text: str, incomplete: str, shell: str, quote: str) -> str:
    """Return a candidate as the shell needs it: bash gets what follows the last character at which it splits words."""
    if shell != "bash":
        return text
    if quote:
        return text
    cut = 1 + max((incomplete.rfind(mark) for mark in os.environ.get(_BREAKS, ":=") if mark in ":="), default=-1)
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text[cut:])


_SPECIAL: Final = frozenset(" \t\"'\\$`!&;|<>()*?[]{}#~")
"""What bash would not take as a part of a word."""
