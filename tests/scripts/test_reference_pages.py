"""The pages that are made when the site is built name every command, and every part of the Python API."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import artfs
from artstore.workspace import Workspace
from fs.cli.test_wrong_words import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The module that writes the pages; docs is no package."""
    spec = importlib.util.spec_from_file_location("reference", PAGE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_is_on_its_page(reference: ModuleType) -> None:
    """With the help that it prints."""
    page = reference.commands()
    assert not [line for line in COMMANDS if f"## artfs {line}\n" not in page]


def test_what_the_package_offers_is_on_the_python_page(reference: ModuleType) -> None:
    """Classes and functions; each directive names something that can be imported."""
    page = reference.python()
    offered = [name for name in artfs.__all__ if callable(getattr(artfs, name))]
    assert not [name for name in offered if f"artfs.{name}\n" not in page]
    for target in re.findall(r"auto(?:class|function):: ([\w.]+)", page):
        module, _, name = target.rpartition(".")
        assert hasattr(importlib.import_module(module), name), target


def test_the_groups_of_a_workspace_are_on_the_python_page(reference: ModuleType) -> None:
    """What the properties of a workspace return."""
    page = reference.python()
    shown = {group.__name__ for group in reference.groups()}
    for name in ("aliases", "drafts", "references", "retention", "runs", "tags"):
        assert hasattr(Workspace, name) and name.capitalize() in shown and f"### {name.capitalize()}\n" in page
