"""A workspace for each test, and versions that are made of dictionaries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias, Union

import pytest

from artstore import creating
from artstore.changes.committing import Commit, commit
from artstore.creating import create_workspace
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.ingest.staging import Stager
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.storage import reserve
from artstore.storage.codec import encode
from artstore.storage.environment import Environment
from artstore.store import Store
from artstore.workspace import Workspace
from crash.places import quick_folder

TESTS = Path(__file__).parents[1]

if str(TESTS) not in sys.path:  # for `store.oracle` and `corpora`, here and in the processes that tests start
    sys.path.insert(0, str(TESTS))

Tree: TypeAlias = Mapping[bytes, Union[bytes, tuple[Kind, bytes], "Tree"]]
"""A directory: names with the bytes of a file, with (kind, bytes), or with a directory."""

CommitTree: TypeAlias = Callable[..., VersionRecord]

_CHUNK = 2000
_MODES = {Kind.FILE: 0o644, Kind.EXECUTABLE: 0o755, Kind.LINK: 0o777, Kind.REFERENCE: 0o644}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a new workspace."""
    made = create_workspace(tmp_path / "workspace")
    yield made
    forget(made)


def forget(store: Store) -> None:
    """Close this process's environment of a workspace: each takes 1 TiB of addresses, and there are only 128."""
    store.reader.close()
    Environment.of(store.path).drop()


@pytest.fixture
def quick_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is one, for tests that sync often; else the test's own."""
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def disk_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk, for tests of the page cache: a file system in memory cannot drop what it holds."""
    for place in (tmp_path, Path("/var/tmp"), TESTS):
        kind = subprocess.run(["stat", "-f", "-c", "%T", place], capture_output=True, text=True, check=True).stdout
        if kind.strip() not in ("tmpfs", "ramfs") and os.access(place, os.W_OK):
            with tempfile.TemporaryDirectory(prefix="artfs-test-", dir=place) as folder:
                yield Path(folder)
            return
    if os.environ.get("CI") == "true":
        pytest.fail("no folder on a disk can be written", pytrace=False)
    pytest.skip("no folder on a disk can be written")


@pytest.fixture
def new_workspace(quick_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[Workspace]]:
    """Return what makes a workspace in memory for one block, for tests that want a new one for every example."""
    for module in (creating, reserve):
        monkeypatch.setattr(module, "RESERVE", 4096)

    @contextmanager
    def make() -> Iterator[Workspace]:
        with tempfile.TemporaryDirectory(dir=quick_dir) as folder:
            made = Workspace(create_workspace(Path(folder) / "ws"))
            try:
                yield made
            finally:
                forget(made.store)

    return make


@pytest.fixture
def workspace(new_workspace: Callable[[], AbstractContextManager[Workspace]]) -> Iterator[Workspace]:
    """Return a new workspace in memory, as its Python API."""
    with new_workspace() as made:
        yield made


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with shared, deleted and reaped versions, aliases, tags, lists and split directories.

    No process has it open.  Tests work on copies of it.
    """
    from store.lived import live_through  # which imports this module

    folder = tmp_path_factory.mktemp("past")
    with pytest.MonkeyPatch.context() as patch:
        for module in (creating, reserve):
            patch.setattr(module, "RESERVE", 4096)
        made = Workspace(create_workspace(folder / "ws"))
    live_through(made, folder)
    forget(made.store)
    return made.path


@pytest.fixture
def copy(past: Path, quick_dir: Path) -> Path:
    """Return a copy of `past`, with its holes, that no process has open."""
    subprocess.run(["cp", "-a", "--sparse=always", past, quick_dir / "ws"], check=True)
    return quick_dir / "ws"


@pytest.fixture
def lived(past: Path, copy: Path, tmp_path: Path) -> Iterator[Workspace]:
    """Return an open copy of `past`; what was put into it is in ``first``, ``second`` and ``third`` of `tmp_path`."""
    subprocess.run(["cp", "-a", *(past.parent / name for name in ("first", "second", "third")), tmp_path], check=True)
    ws = Workspace(Store.open(copy))
    yield ws
    forget(ws.store)


@pytest.fixture
def commit_tree(store: Store) -> CommitTree:
    """Return a function that makes the next version of an artifact: ``commit_tree(tree, name, type=None)``.

    Content is cut into chunks of 2000 bytes, so that small files have lists too.  A version is made even where nothing
    changed.  The times of files are those of `time_of`, all others are 0.
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


def time_of(ident: bytes) -> int:
    """Return the time of a file that `commit_tree` puts: other content has another second, as versions must show it."""
    return int.from_bytes(ident[:3], "little") * 10**9


def _directory(stager: Stager, tree: Tree) -> Ref:
    builder = DirectoryBuilder(stager)
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            ref = _directory(stager, value)
            builder.add(directory_entry(name, ref, 0, 0o755))
            continue
        kind, data = value if isinstance(value, tuple) else (Kind.FILE, value)
        ident = content_id(data)
        builder.add(
            EntryDraft(name, kind, len(data), ident, _content(stager, data, ident), time_of(ident), _MODES[kind])
        )
        stager.flush_if_full()
    return builder.finish()


def _content(stager: Stager, data: bytes, ident: bytes) -> Ref:
    builder = ListBuilder(stager)
    for start in range(0, max(1, len(data)), _CHUNK):
        part = data[start : start + _CHUNK]
        builder.add(stager.chunk(content_id(part), len(part), encode(part)), len(part))
    return builder.finish(ident)
