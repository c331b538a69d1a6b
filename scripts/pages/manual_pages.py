"""Write the manual pages from the help: `python scripts/pages/manual_pages.py FOLDER`, by default build/man."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from artfs import __version__
from artfs.cli.exit_codes import MEANINGS
from artfs.cli.main import cli
from artfs.cli.variables import VARIABLES
from artfs.mount.xattrs import ATTRIBUTES

__all__ = ["pages", "write"]

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path) -> list[Path]:
    """Write a page for `artfs` and for each command into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages():
        path = folder / f"{name}.1"
        path.write_text(text)
        written.append(path)
    return written


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each page, such as ``artfs-alias-set``, and its text in the language of man(7)."""
    for words, command, context in _commands(cli, ("artfs",), None):
        name = "-".join(words)
        yield name, "\n".join(_page(name, words, command, context)) + "\n"


def _commands(
    command: click.Command, words: tuple[str, ...], parent: click.Context | None
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    context = click.Context(command, info_name=words[-1], parent=parent)
    yield words, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _commands(below, (*words, name), context)


def _page(name: str, words: Sequence[str], command: click.Command, context: click.Context) -> Iterator[str]:
    summary, _, description = (command.help or "").partition("\n")
    yield f'.TH {_text(name.upper())} 1 "" "artfs {__version__}" "artfs"'
    yield from (".SH NAME", f"{_text(name)} \\- {_text(summary.rstrip('.'))}")
    yield from (".SH SYNOPSIS", f".B {_text(' '.join(words))}", _text(" ".join(command.collect_usage_pieces(context))))
    yield from (".SH DESCRIPTION", *_paragraphs(description))
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from _item(f"{' '.join(words)} {below}", found.get_short_help_str(200))
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from _item(*record)
    if len(words) == 1:
        yield from _tables()
    yield from (".SH SEE ALSO", ", ".join(_see(words, command, context)))


def _tables() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in MEANINGS.items():
        yield from _item(str(int(code)), meaning)
    yield ".SH ENVIRONMENT"
    for name, meaning in VARIABLES.items():
        yield from _item(name, meaning)
    yield ".SH EXTENDED ATTRIBUTES"
    for name, (where, value) in ATTRIBUTES.items():
        yield from _item(name, f"on {where}: {value}")


def _see(words: Sequence[str], command: click.Command, context: click.Context) -> Iterable[str]:
    """Return the pages of the groups above a command, and of the commands in it."""
    above = [words[:depth] for depth in range(1, len(words))]
    below = [(*words, name) for name in command.list_commands(context)] if isinstance(command, click.Group) else []
    return [f"{_text('-'.join(each))}(1)" for each in [*above, *below]]


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; those that begin with a backspace keep their lines, as click shows them."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = [line.removeprefix("    ") for line in paragraph.splitlines()]
        yield ".PP"
        if lines and lines[0].strip() == "\b":
            yield from (".nf", *map(_line, lines[1:]), ".fi")
        else:
            yield _line(" ".join(line.strip() for line in lines))


def _item(head: str, text: str) -> Iterator[str]:
    yield from (".TP", f".B {_text(head)}", _line(text))


def _line(text: str) -> str:
    """Return a line of text that roff does not take for a request."""
    shown = _text(text)
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


def _text(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "man"):
        print(path)
