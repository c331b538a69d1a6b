"""Batches: several versions become visible at once or not at all, and nothing is left over."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from artstore import daemon_requests
from artstore.changes.committing import Commit
from artstore.daemon_requests import Change
from artstore.daemons import DaemonInfo
from artstore.drafting import batches
from artstore.drafting.batches import Included, NewVersion, VersionBatch
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.ids import content_id
from artstore.workspace import Workspace
from store.oracle import assert_sound, leftovers


def new(name: str, files: dict[str, bytes | Path], **options: object) -> NewVersion:
    request = Commit.checked(name, type="model")
    included = options.pop("included", {})
    sources = options.pop("sources", ())
    contents = {path.encode(): content for path, content in files.items()}
    return NewVersion(replace(request, **options), contents, included, sources)  # type: ignore[arg-type]


def nothing_left_over(workspace: Workspace) -> None:
    workspace.gc(now=True)
    assert_sound(workspace)
    assert leftovers(workspace) == []


def test_all_versions_are_seen_at_the_commit(workspace: Workspace, tmp_path: Path) -> None:
    """Before it there is none, afterwards each has its content, metadata and sources, in one transaction."""
    large = tmp_path / "large"
    large.write_bytes(random.Random(1).randbytes(3_000_000))
    stored = workspace.drafts.batch("given")
    stored.add(new("given", {"a": b"1", "b/c": b""}))
    (given,) = stored.commit()
    assert given.receipt is not None and given.receipt.created
    batch = workspace.drafts.batch("models/one")
    first = batch.add(new("models/one", {"payload": large, "record": b"{}"}, metadata={"artfs.id": "one"}))
    included = {
        b"sources/0": Included(given.record, b""),
        b"sources/1/payload": Included(first, b"payload"),
        b"sources/1/record": Included(first, b"record"),
        b"x": Included(given.record, b"b/c"),
    }
    batch.add(new("models/two", {"record": b"2"}, included=included, sources=[first]))
    assert [artifact.name for artifact in workspace.artifacts()] == ["given"]
    one, two = batch.commit()
    assert one.metadata == {"artfs.id": "one"} and one.type == "model"
    assert two.read_bytes("sources/1/payload") == one.read_bytes("payload") == large.read_bytes()
    assert two.read_bytes("sources/0/a") == b"1" and two.read_bytes("x") == b""
    assert [version.name for version in workspace.relations.included_by(two)] == [one.name]
    with pytest.raises(RefusedError, match="includes models/one:v0"):
        workspace.delete(one.name)
    nothing_left_over(workspace)


def test_a_refused_version_refuses_all(workspace: Workspace) -> None:
    """The batch stays open, nothing has changed, and what is refused can be taken out."""
    batch = workspace.drafts.batch("one")
    batch.add(new("one", {"f": b"1"}))
    bad = batch.add(new("one/below", {"f": b"2"}))
    with pytest.raises(InvalidInputError):
        batch.commit()
    assert workspace.artifacts() == []
    batch.remove(bad)
    assert [version.name for version in batch.commit()] == ["one:v0"]
    with pytest.raises(RefusedError, match="has ended"):
        batch.add(new("two", {}))
    nothing_left_over(workspace)


def test_one_artifact_has_one_version_in_a_batch(workspace: Workspace) -> None:
    """Numbers would depend on the order otherwise, and a version that another includes stays."""
    with workspace.drafts.batch("a") as batch:
        first = batch.add(new("a", {"f": b"1"}))
        batch.add(new("b", {"f": b"1"}, included={b"g": Included(first, b"f")}, sources=[first]))
        with pytest.raises(RefusedError, match="includes this one"):
            batch.remove(first)
        batch.add(new("a", {"f": b"2"}))
        with pytest.raises(InvalidInputError, match="same artifact"):
            batch.commit()
    assert workspace.artifacts() == []
    nothing_left_over(workspace)


def test_equal_content_makes_no_version(workspace: Workspace) -> None:
    """Metadata that artfs itself writes do not count: the first ones stay; those of users do."""
    for number, (content, metadata) in enumerate(
        [(b"1", {"artfs.made": "now"}), (b"1", {"artfs.made": "later"}), (b"2", {}), (b"1", {})]
    ):
        with workspace.drafts.batch("a") as batch:
            for name in ("a", "b"):
                batch.add(new(name, {"f": content}, metadata=metadata))
            versions = batch.commit()
        assert [version.number for version in versions] == [[0, 0, 1, 2][number]] * 2
        assert [version.receipt.created for version in versions] == [number != 1] * 2  # type: ignore[union-attr]
    assert workspace.version("a:v0").metadata == {"artfs.made": "now"}
    times = [workspace.version(f"b:v{number}").stat("f").mtime for number in range(3)]
    assert times == sorted(times) and int(times[0].timestamp()) < int(times[1].timestamp())
    nothing_left_over(workspace)


def test_another_version_at_the_same_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process commits between the preparation and the commit, the times are prepared again."""
    shown = VersionBatch._shown
    times = []

    def disturbed(batch: VersionBatch, member: object) -> object:
        prepared = shown(batch, member)  # type: ignore[arg-type]
        if not times:
            times.append(time.time())
            with workspace.drafts.batch("a") as other:
                other.add(new("a", {"f": b"other"}))
                other.commit()
        return prepared

    monkeypatch.setattr(VersionBatch, "_shown", disturbed)
    with workspace.drafts.batch("a") as batch:
        batch.add(new("a", {"f": b"mine"}))
        batch.add(new("b", {"f": b"mine"}))
        assert [version.name for version in batch.commit()] == ["a:v1", "b:v0"]
    nothing_left_over(workspace)


def test_what_is_included_must_be_there(workspace: Workspace) -> None:
    """A deleted version or a missing path is an error."""
    with workspace.drafts.batch("a") as batch:
        batch.add(new("a", {"f": b"1"}))
        (version,) = batch.commit()
    with workspace.drafts.batch("b") as batch:
        with pytest.raises(NotFoundError):
            batch.add(new("b", {}, included={b"g": Included(version.record, b"missing")}))
        workspace.delete(version.name)
        with pytest.raises(NotFoundError, match="has been deleted"):
            batch.add(new("b", {}, included={b"g": Included(version.record, b"f")}))
    nothing_left_over(workspace)


@pytest.mark.parametrize("size", [batches.WHOLE, batches.WHOLE + 1, 3_000_000])
def test_content_of_any_length_can_be_bytes(workspace: Workspace, size: int) -> None:
    """What is cut into chunks gets the digest that a put of it gets."""
    content = random.Random(size).randbytes(size)
    with workspace.drafts.batch("a") as batch:
        batch.add(new("a", {"f": content}))
        (version,) = batch.commit()
    assert version.read_bytes("f") == content and version.stat("f").digest == content_id(content).hex()
    nothing_left_over(workspace)


def test_a_killed_batch_leaves_nothing(workspace: Workspace) -> None:
    """Its draft is that of a dead process, and what it held is freed."""
    pid = os.fork()
    if not pid:
        batch = workspace.drafts.batch("a")
        for name in ("a", "b"):
            batch.add(new(name, {"f": os.urandom(1000)}))
        batch._stager.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert workspace.artifacts() == []
    nothing_left_over(workspace)


def test_a_forked_child_leaves_the_batch_to_its_parent(workspace: Workspace) -> None:
    """A child cannot add to it, and closing it there changes nothing."""
    batch = workspace.drafts.batch("a")
    batch.add(new("a", {"f": b"1"}))
    pid = os.fork()
    if not pid:
        status = 1
        try:
            batch.add(new("b", {}))
        except RefusedError:
            batch.close()
            status = 0
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert [version.name for version in batch.commit()] == ["a:v0"]
    nothing_left_over(workspace)


def test_mounts_are_notified_of_each_name_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """All versions of a batch change the same folders above them."""
    noted: list[tuple[str, list[str]]] = []

    def notify(run_dir: Path, changes: list[Change]) -> list[DaemonInfo]:
        noted.extend((change.directory, list(change.names)) for change in changes)
        return []

    monkeypatch.setattr(daemon_requests, "notify", notify)
    with workspace.drafts.batch("p/q/0") as batch:
        for number in range(3):
            batch.add(new(f"p/q/{number}", {"f": b"%d" % number}))
        batch.commit()
    below = [(f"p/q/{number}", ["v0", "latest"]) for number in range(3)]
    assert sorted(noted) == sorted([("", ["p"]), ("p", ["q"]), ("p/q", ["0", "1", "2"]), *below])
