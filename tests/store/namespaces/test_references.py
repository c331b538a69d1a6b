"""References through the facade: by version, by path, by digest, and as bytes of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, NotFoundError
from artstore.progress import Progress
from artstore.workspace import Workspace


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder outside with two files."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"one")
    (folder / "sub" / "b").write_bytes(b"two")
    return folder


def test_references_are_those_at_or_below_a_path(workspace: Workspace, outside: Path) -> None:
    """Files that are stored are not among them."""
    workspace.refer(str(outside), "d", to="in")
    draft = workspace.drafts.new("d", base="latest")
    draft.add(outside / "a", "stored")
    draft.commit()
    paths = [reference.path for reference in workspace.references.of("d")]
    assert paths == [b"in/a", b"in/sub/b"]
    assert [reference.path for reference in workspace.references.of("d:v0/in/sub")] == [b"in/sub/b"]
    assert [reference.path for reference in workspace.references.of("d:v0/in/a")] == [b"in/a"]
    assert workspace.references.of("d:v1/stored") == []


def test_a_uri_is_found_by_the_digest_of_its_entry(workspace: Workspace, outside: Path) -> None:
    """The digest is what `stat` shows."""
    version = workspace.refer(str(outside), "d")
    assert workspace.references.uri(version.stat("sub/b").digest) == f"file://{outside}/sub/b"


@pytest.mark.parametrize("digest", ["", "zz", "0", "00", "00" * 32, "00" * 33, "not a digest"])
def test_a_digest_of_nothing_is_refused_as_such(workspace: Workspace, outside: Path, digest: str) -> None:
    """Text that is no digest is an invalid argument; a digest that the store lacks is not found."""
    workspace.refer(str(outside), "d")
    is_digest = len(digest) == 64
    with pytest.raises(NotFoundError if is_digest else InvalidInputError):
        workspace.references.uri(digest)


def test_stored_content_is_not_a_damaged_reference(workspace: Workspace, outside: Path) -> None:
    """The digest of a file that is stored leads to no URI, and nothing is wrong with the store."""
    version = workspace.put(outside, "d")
    with pytest.raises(NotFoundError):
        workspace.references.uri(version.stat("a").digest)


def test_checking_names_what_changed(workspace: Workspace, outside: Path) -> None:
    """One answer for each reference at or below the path, in order; progress ends with all of them."""
    workspace.refer(str(outside), "d")
    (outside / "a").write_bytes(b"another")
    reports: list[Progress] = []
    answers = list(workspace.references.check("d", progress=reports.append))
    assert [(answer.reference.path, answer.state) for answer in answers] == [(b"a", "changed"), (b"sub/b", "ok")]
    assert reports[-1].files_done == 2
    assert [answer.reference.path for answer in workspace.references.check("d:v0/sub")] == [b"sub/b"]


def test_only_failures_that_a_reader_met_are_known(workspace: Workspace, outside: Path) -> None:
    """A file that has gone is not known to have until it is read."""
    version = workspace.refer(str(outside), "d")
    (outside / "a").unlink()
    assert workspace.references.failed("d") == []
    with pytest.raises(OSError):
        version.read_bytes("a")
    assert [path for path, _ in workspace.references.failed("d:v0")] == [b"a"]


def test_fetching_stores_the_bytes_as_a_new_version(workspace: Workspace, outside: Path) -> None:
    """Only those below the path; the version before is unchanged, and the new one needs nothing outside."""
    first = workspace.refer(str(outside), "d")
    second = workspace.references.fetch("d:v0/sub")
    assert second == workspace.version("d:latest") and second.name == "d:v1"
    assert [reference.path for reference in workspace.references.of("d:v1")] == [b"a"]
    assert len(workspace.references.of("d:v0")) == 2
    assert first.digest != second.digest
    os.unlink(outside / "sub" / "b")
    assert second.read_bytes("sub/b") == b"two"
