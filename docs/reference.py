"""Writes the pages that are made when the site is built: the reference, and the documents outside this folder."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click

import artfs
import artstore.namespaces
from artfs.cli.main import cli
from artfs.mount.handle import MountHandle
from artstore.drafting.open_draft import OpenDraft

__all__ = ["write"]

ROOT = Path(__file__).resolve().parents[1]


OUTSIDE = ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")
"""Documents at the top of the repository that are pages of the site too."""


def write(folder: Path) -> None:
    """Write the pages into a folder below docs; files that are the same already are left alone."""
    folder.mkdir(exist_ok=True)
    pages = {"commands": commands(), "python": python()}
    for name in OUTSIDE:
        pages[name.lower()] = with_links_of_the_site((ROOT / f"{name}.md").read_text())
    for name, text in pages.items():
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def with_links_of_the_site(text: str) -> str:
    """Let a document's links lead to pages of the site; a link to any other file becomes its text."""

    def replaced(link: re.Match[str]) -> str:
        shown, target, anchor = link.groups()
        if re.match(r"[a-z]+:", target) or not target:
            return link[0]
        if target.removesuffix(".md") in OUTSIDE:
            return f"[{shown}]({target.lower()}{anchor})"
        return f"[{shown}](../{target.removeprefix('docs/')}{anchor})" if target.startswith("docs/") else shown

    return re.sub(r"\[([^\[\]]+)\]\(([^)#\s]*)(#[^)]*|)\)", replaced, text)


def commands() -> str:
    """Return the page of all commands, each as ``--help`` prints it."""
    sections = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in _commands(cli, "artfs", None)]
    return "# Commands\n\nWhat `--help` prints for every command.\n\n" + "\n".join(sections)


def _commands(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path.split()[-1], parent=parent, max_content_width=100)
    yield path, click.unstyle(command.get_help(context)).strip()
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands(found, f"{path} {name}", context)


def python() -> str:
    """Return the page of the Python API: what ``import artfs`` offers, the groups of a workspace, and the errors."""
    lines = ["# Python API", "", inspect.cleandoc(artfs.__doc__ or "").split("\n")[0], ""]
    for name in artfs.__all__:
        value = getattr(artfs, name)
        if inspect.isclass(value):
            directive = "autoclass"
        elif inspect.isroutine(value):
            directive = "autofunction"
        else:
            continue
        lines += [f"## {name}", "", "```{eval-rst}", f".. {directive}:: artfs.{name}", "```", ""]
    lines += [
        "## Groups of operations",
        "",
        "A workspace has its further operations in groups, such as `ws.drafts`.",
        "",
    ]
    for group in groups():
        lines += [f"### {group.__name__}", "", "```{eval-rst}", f".. autoclass:: {group.__module__}.{group.__name__}"]
        lines += ["```", ""]
    lines += ["## Training", "", "`artfs.torch` has both for PyTorch: [training.md](../training.md).", ""]
    for name in ("files.VersionFiles", "shuffling.WindowOrder"):
        lines += [f"### {name.partition('.')[2]}", "", "```{eval-rst}", f".. autoclass:: artfs.training.{name}"]
        lines += ["   :special-members: __getitems__", "```", ""]
    lines += ["## Errors", "", "```{eval-rst}", ".. automodule:: artstore.errors", "```", ""]
    return "\n".join(lines)


def groups() -> list[type]:
    """Return the classes of a workspace's groups, in alphabetical order, and of what they return to work with."""
    classes: dict[str, type] = {}
    for info in pkgutil.iter_modules(artstore.namespaces.__path__):
        module = importlib.import_module(f"artstore.namespaces.{info.name}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__ == module.__name__:
                classes[name] = value
    return [*(classes[name] for name in sorted(classes)), OpenDraft, MountHandle]
