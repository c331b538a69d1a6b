"""`why`: what keeps something, what it waits for, and what the files of a workspace are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.errors import NotFoundError
from artstore.ids import content_id
from artstore.ingest.staging import Stager
from artstore.storage.codec import encode
from artstore.workspace import Workspace
from messages import missing
from reasons import has_reason


@pytest.fixture
def pets(workspace: Workspace, tmp_path: Path) -> Workspace:
    folder = tmp_path / "pets"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "cat").write_bytes(os.urandom(5000))
    workspace.put(folder, "pets", aliases=["best"])
    (folder / "dog").write_bytes(b"dog")
    workspace.put(folder, "pets")
    return workspace


def test_what_versions_hold(pets: Workspace) -> None:
    """By reference, by digest of file, folder and version: the versions with paths, and the bytes it takes."""
    version = pets.version("pets:v0")
    file = version.stat("sub/cat")
    for target in ("pets:v1/sub/cat", file.digest):
        found = pets.why(target)
        assert (found.state, found.versions) == ("live", ["pets:v0/sub/cat", "pets:v1/sub/cat"])
        assert (found.stored_bytes, found.counted_in) == (5000, "stored")
    assert pets.why(version.stat("sub").digest).versions == ["pets:v0/sub", "pets:v1/sub"]
    assert pets.why(version.digest).versions == ["pets:v0"]
    with pets.store.snapshot() as snapshot, pytest.raises(NotFoundError):
        pets.why(snapshot.form(version.record.root).hex())
    assert not missing(pets.why("pets:best").what, ["best"])


def test_what_is_deleted_says_what_it_waits_for(pets: Workspace) -> None:
    """The window, whoever has it open, the next gc; and after that there is nothing."""
    digest = pets.version("pets:v1").stat("dog").digest
    file = pets.version("pets:v1").open("dog")
    pets.delete("pets:v1")
    for target in ("pets:v1", "pets:v1/dog", digest):
        found = pets.why(target)
        assert (found.state, found.counted_in) == ("waiting", "deadlist")
        assert any(has_reason(reason, "can be undeleted") for reason in found.reasons)
        assert any(not missing(reason, ["Python API"]) for reason in found.reasons)
    file.close()
    assert pets.why("pets:v1").users == []
    assert "artfs undelete pets:v1" in pets.why("pets:v1").advice
    pets.gc(now=True)
    for target in ("pets:v1", digest):
        with pytest.raises(NotFoundError):
            pets.why(target)


def test_what_a_draft_holds(pets: Workspace) -> None:
    """A running put, and one that has died."""
    data = os.urandom(3000)
    stager = Stager(pets.store, "new", "test")
    stager.chunk(content_id(data), len(data), encode(data))
    stager._write(None, None)
    (running,) = pets.why(content_id(data).hex()).drafts
    stager.close()
    (dead,) = pets.why(content_id(data).hex()).drafts
    assert has_reason(running, "running put")
    assert has_reason(dead, "dead put") and not missing(dead, ["'new'"])


def test_every_file_of_the_workspace_is_explained(pets: Workspace) -> None:
    """Each says what it is, where it is counted, and whether it may be deleted by hand."""
    pets.delete("pets:v1")
    pets.gc(now=True)
    pets.usage_by_version("pets")
    with pets.version("pets").open("sub/cat"):
        for path in [pets.path, *pets.path.rglob("*")]:
            found = pets.why(str(path))
            assert found.state == "file" and not has_reason(found.what, "no file of a workspace"), path
            assert found.counted_in in ("stored", "manifest", "other", "cache", "disk")
            by_hand = "may be deleted by hand" if "cache" in path.parts else "not to be deleted by hand"
            assert has_reason(found.advice, by_hand), path
    stray = pets.path / "stray"
    stray.write_bytes(b"")
    assert has_reason(pets.why(str(stray)).what, "no file of a workspace")
    assert "gaps" in pets.why(str(pets.path / "packs" / "00000001.pack")).what
