"""A source folder for drafts, and what is read and changed of an open draft."""

from __future__ import annotations

from dataclasses import replace

from artstore.drafting.open_draft import OpenDraft
from artstore.records.tables import Table, key64
from artstore.workspace import Workspace
from store.oracle import Model, model_of

MODEL: Model = {b"a/x": ("file", b"1"), b"a/y": ("exec", b"2"), b"b/c/z": ("file", b"3" * 5000), b"top": ("file", b"4")}


def content(draft: OpenDraft) -> Model:
    return model_of(draft._store, draft.record().root)


def age(workspace: Workspace, draft: OpenDraft, seconds: float) -> None:
    """Let the last step of a draft lie back."""
    record = draft.record()
    with workspace.store.write() as transaction:
        older = replace(record, active_ns=record.active_ns - int(seconds * 1e9))
        transaction.put(Table.DRAFTS, key64(record.draft), older.encode())
