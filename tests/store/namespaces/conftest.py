"""A workspace with three versions of one artifact, and what its journal says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.storage import journal
from artstore.workspace import Workspace

Journal = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with the versions v0 to v2 of ``p/data``, of a file that differs."""
    for number in range(3):
        (tmp_path / "file").write_bytes(b"%d" % number)
        workspace.put(tmp_path / "file", "p/data")
    return workspace


@pytest.fixture
def journalled(filled: Workspace) -> Journal:
    """Return a function that returns the events in the journal since the versions were put."""
    before = len(list(journal.replay(journal.journal_path(filled.path))))
    return lambda: list(journal.replay(journal.journal_path(filled.path)))[before:]
