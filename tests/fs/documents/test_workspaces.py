"""A workspace and its settings as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.workspaces import SettingsDocument, WorkspaceDocument
from artstore.rows.settings import Settings
from fs.documents.shapes import check


def test_a_workspace() -> None:
    check(encode(WorkspaceDocument("/w", "1234", created=True, default=False)))


def test_settings_that_were_asked_for() -> None:
    document = encode(SettingsDocument.of(Settings(), ["protected_aliases", "undelete_seconds"]))
    check(document)
    assert document == {"schema": "artfs.config/1", "undelete_seconds": 86400.0, "protected_aliases": []}
