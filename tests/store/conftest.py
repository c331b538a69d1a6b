"""A workspace for each test, and versions that are made of dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, Union

import pytest

from artstore.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.codec import encode
from artstore.committing import Commit, commit
from artstore.creating import create_workspace
from artstore.ids import content_id
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.staging import EntryDraft, Ref, Stager
from artstore.store import Store

Tree: TypeAlias = Mapping[bytes, Union[bytes, tuple[Kind, bytes], "Tree"]]
"""A directory: names with the bytes of a file, with (kind, bytes), or with a directory."""

CommitTree: TypeAlias = Callable[..., VersionRecord]

_CHUNK = 2000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a new workspace."""
    return create_workspace(tmp_path / "workspace")


@pytest.fixture
def commit_tree(store: Store) -> CommitTree:
    """Return a function that makes the next version of an artifact: ``commit_tree(tree, name, type=None)``.

    Content is cut into chunks of 2000 bytes, so that small files have lists too.  A version is made even where nothing
    changed.
    """

    def make(tree: Tree, name: str = "a", type: str | None = None) -> VersionRecord:
        stager = Stager(store, name, "test")
        try:
            asked = Commit(name, type=type, force=True)
            return stager.commit(
                _directory(stager, tree),
                lambda transaction, root, added: commit(store, transaction, root, asked, stager.stored_bytes + added),
            ).version
        finally:
            stager.close()

    return make


def _directory(stager: Stager, tree: Tree) -> Ref:
    builder = DirectoryBuilder(stager)
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            ref = _directory(stager, value)
            builder.add(directory_entry(name, ref.id, ref))
            continue
        kind, data = value if isinstance(value, tuple) else (Kind.FILE, value)
        ident = content_id(data)
        builder.add(EntryDraft(name, kind, len(data), ident, _content(stager, data, ident)))
        stager.flush_if_full()
    return builder.finish()


def _content(stager: Stager, data: bytes, ident: bytes) -> Ref:
    builder = ListBuilder(stager)
    for start in range(0, max(1, len(data)), _CHUNK):
        part = data[start : start + _CHUNK]
        builder.add(stager.chunk(content_id(part), len(part), encode(part)), len(part))
    return builder.finish(ident)
