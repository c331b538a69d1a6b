"""What an owner sets for a workspace."""

from __future__ import annotations

import math
from typing import Any

import pytest

from artstore.errors import DamageError, InvalidInputError
from artstore.records.tables import Table
from artstore.rows.settings import Settings
from artstore.workspace import Workspace


def test_settings_are_kept(workspace: Workspace) -> None:
    """What was not changed has its default, and a change is seen by all that open the workspace."""
    assert workspace.settings == Settings() == Settings(24 * 3600.0, 0, 0)
    assert workspace.configure(undelete_seconds=0) == Settings(undelete_seconds=0)
    workspace.configure(reap_bytes_per_second=1 << 20)
    assert Workspace(workspace.store).settings == Settings(0, 1 << 20, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"undelete": 3},
        {"undelete_seconds": -1},
        {"undelete_seconds": "1"},
        {"undelete_seconds": math.inf},
        {"undelete_seconds": math.nan},
        {"reap_bytes_per_second": 1.5},
        {"reap_nodes_per_second": True},
        {"reap_nodes_per_second": 1 << 40},
    ],
)
def test_what_cannot_be_is_refused(workspace: Workspace, change: dict[str, Any]) -> None:
    """One sentence, and nothing is changed, also of what could be."""
    with pytest.raises(InvalidInputError):
        workspace.configure(**{"undelete_seconds": 7, **change})
    assert workspace.settings == Settings()


def test_malformed_settings_are_damage(workspace: Workspace) -> None:
    """Not a traceback, and not silently the defaults."""
    for payload in (b"", b"[]", b"{", b"7"):
        with workspace.store.write() as transaction:
            transaction.put(Table.META, b"settings", payload)
        with pytest.raises(DamageError):
            _ = workspace.settings
