"""A library in a folder whose workspace does not exist yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.registry import LibraryManager
from artstore.storage.environment import Environment


@pytest.fixture
def library(tmp_path: Path) -> Iterator[LibraryManager]:
    """The library of the folder ``workspace``."""
    made = LibraryManager(tmp_path / "workspace" / "library")
    yield made
    if (opened := made._existing()) is not None:
        opened.close()
        Environment.of(opened.path).drop()
