"""Versions that refer to what lies outside: made, read, checked, fetched for good, and counted rightly."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest

from artstore.errors import ChangedError, ExistsError, InvalidInputError, NotFoundError, OutsideError, RefusedError
from artstore.ids import content_id
from artstore.objects.locations import parse_location
from artstore.records.references import ReferenceRecord
from artstore.references.pinning import Pinned
from artstore.workspace import Workspace, init_workspace
from messages import raises
from reasons import has_reason
from servers.web import Web
from store.oracle import usage_contradictions


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "ws")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"one")
    (folder / "sub" / "b").write_bytes(b"two" * 100_000)
    return folder


def test_a_version_of_references(workspace: Workspace, data: Path) -> None:
    version = workspace.refer(str(data), "d", to="in", type="dataset", aliases=["x"], metadata={"k": 1})
    assert (version.name, version.type, version.metadata) == ("d:v0", "dataset", {"k": 1})
    assert version.aliases == ["latest", "x"]
    assert (version.size, version.file_count) == (300_003, 2)
    assert version.read_bytes("in/a") == b"one" and version.read_bytes("in/sub/b") == b"two" * 100_000
    with version.open("in/sub/b") as file:
        file.seek(150_000)
        assert file.read(6) == b"twotwo"
        assert file.seek(-3, os.SEEK_END) and file.read() == b"two"
    info = version.stat("in/a")
    assert (info.kind, info.size, info.is_reference, info.executable) == ("file", 3, True, False)
    found = [(each.path, each.record.size) for each in workspace.references.of("d:v0/in")]
    assert found == [(b"in/a", 3), (b"in/sub/b", 300_000)]
    assert [each.path for each in workspace.references.of("d:v0/in/sub/b")] == [b"in/sub/b"]
    with pytest.raises(NotFoundError):
        workspace.references.of("d:v0/nothing")


def test_bytes_outside_are_not_counted_as_stored(workspace: Workspace, data: Path) -> None:
    version = workspace.refer(str(data), "d")
    usage = workspace.usage()
    assert usage.stored_bytes < 2000 and usage.logical_bytes == 300_003
    assert workspace.du("d:v0").unique < 2000
    assert workspace.fsck(data=True).clean
    workspace.delete(version.name)
    workspace.gc(now=True)
    assert workspace.usage().stored_bytes == 0
    assert workspace.fsck(data=True).clean


def test_what_was_fetched_is_counted_and_goes_with_the_last_version(workspace: Workspace, web: Web) -> None:
    web.files["/f"] = os.urandom(20_000_000)
    version = workspace.refer(f"{web.url}/f", "d")
    assert version.read_bytes("f") == web.files["/f"]
    workspace.store.settle()
    assert usage_contradictions(workspace) == []
    assert workspace.usage().other_bytes > 20_000_000
    assert workspace.fsck(data=True).clean
    workspace.gc()
    assert workspace.store.outside.blocks.usage()[1] >= 20_000_000
    web.files["/f"] = b"other"
    with pytest.raises(ChangedError):
        record = workspace.references.of("d")[0].record
        list(workspace.store.outside.whole(content_id(record.encode()), record, parse_location(record.uri)))
    workspace.delete(version.name)
    workspace.gc()
    assert workspace.store.outside.blocks.usage()[1] >= 20_000_000  # it can be undeleted
    workspace.gc(now=True)
    assert workspace.store.outside.blocks.usage() == (0, 0)
    assert workspace.store.outside.failures.all() == []
    assert workspace.usage().other_bytes < 1_000_000 + 32 * 1024 * 1024
    assert usage_contradictions(workspace) == []


def test_deleted_now_nothing_of_what_was_fetched_is_left(workspace: Workspace, web: Web) -> None:
    web.files["/f"] = b"content" * 1000
    version = workspace.refer(f"{web.url}/f", "d")
    assert version.read_bytes("f") == web.files["/f"]
    workspace.delete("d:v0", now=True)
    assert workspace.store.outside.blocks.usage() == (0, 0)


def test_a_purged_reference_leaves_nothing(workspace: Workspace, web: Web) -> None:
    web.files["/f"], web.files["/g"] = b"secret" * 1000, b"kept"
    workspace.refer(f"{web.url}/f", "d")
    version = workspace.refer(f"{web.url}/g", "d", base="latest")
    assert version.read_bytes("f") == web.files["/f"] and version.read_bytes("g") == b"kept"
    report = workspace.purge("d:v1/f", reason="of the test", everywhere=True)
    assert sorted(report.versions) == ["d:v0", "d:v1"]
    assert len(list(workspace.store.outside.blocks.references())) == 1
    assert [info.name for info in workspace.version("d:v1").listdir()] == ["g"]
    assert workspace.fsck(data=True).clean


def test_the_same_outside_is_the_same_version_anywhere(workspace: Workspace, data: Path, tmp_path: Path) -> None:
    first = workspace.refer(str(data), "d")
    again = workspace.refer(str(data), "d")
    assert again.receipt is not None and not again.receipt.created
    other = init_workspace(tmp_path / "other").refer(str(data), "d")
    assert other.digest == first.digest
    (data / "a").write_bytes(b"two")
    assert workspace.refer(str(data), "d").name == "d:v1"
    (change,) = workspace.diff("d:v0", "d:v1")
    assert (change.kind, change.path) == ("changed", "a")


def test_laid_over_a_version(workspace: Workspace, data: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"own")
    workspace.put(tmp_path / "own", "d")
    version = workspace.refer(str(data / "a"), "d", base="latest")
    assert [info.name for info in version.listdir()] == ["a", "own"] and version.base == "d:v0"
    assert [info.is_reference for info in version.listdir()] == [True, False]


def test_in_a_draft(workspace: Workspace, data: Path) -> None:
    draft = workspace.drafts.new("d")
    assert draft.refer(str(data), "x").paths == [b"x/a", b"x/sub/b"]
    assert draft.refer(str(data / "a"), "x/").paths == [b"x/a"]  # the same again
    draft.move("x/a", "y")
    (data / "a").write_bytes(b"other")
    assert draft.refer(str(data / "a"), "x/sub/").paths == [b"x/sub/a"]
    with raises(ExistsError, names=["'y'"], reason="added before"):
        draft.refer(str(data / "a"), "y")
    draft.refer(str(data / "a"), "y", overwrite=True)
    with raises(ExistsError, names=["'x/sub'"], reason="folder against file"):
        draft.refer(str(data / "a"), "x/sub")
    with raises(ExistsError, names=["'y'"], reason="not a folder"):
        draft.refer(str(data), "y")
    assert draft.commit().read_bytes("y") == b"other"


def test_what_changed_is_told_by_reading_checking_and_showing(workspace: Workspace, data: Path) -> None:
    version = workspace.refer(str(data), "d")
    assert [each.state for each in workspace.references.check("d")] == ["ok", "ok"]
    (data / "a").write_bytes(b"TWO")
    (data / "sub" / "b").unlink()
    assert workspace.references.failed("d") == []  # no one has looked
    with raises(ChangedError, reason="changed outside"):
        version.read_bytes("a")
    ((path, failure),) = workspace.references.failed("d")
    assert path == b"a" and "file://" in failure.message
    checked = list(workspace.references.check("d"))
    assert [(each.state, each.reference.path) for each in checked] == [("changed", b"a"), ("changed", b"sub/b")]
    assert has_reason(checked[1].message, "gone outside")
    (data / "a").write_bytes(b"one")
    assert next(iter(workspace.references.check("d:v0/a"))).state == "ok"
    assert [path for path, _ in workspace.references.failed("d")] == [b"sub/b"]


def test_a_server_that_cannot_be_asked_is_no_change(workspace: Workspace, web: Web) -> None:
    web.files["/f"] = b"hello"
    version = workspace.refer(f"{web.url}/f", "d")
    web.fail = 403
    (checked,) = workspace.references.check("d")
    assert checked.state == "unknown" and f"{web.url}/f" in checked.message
    with pytest.raises(OutsideError):
        version.read_bytes("f")
    assert workspace.references.failed("d") == []


def test_fetched_for_good(workspace: Workspace, data: Path, web: Web) -> None:
    web.files["/f"] = b"hello" * 1000
    workspace.refer(str(data), "d", metadata={"k": 1}, description="said")
    workspace.refer(f"{web.url}/f", "d", to="web/", base="latest")
    part = workspace.references.fetch("d:v1/sub")
    assert [each.path for each in workspace.references.of(part.name)] == [b"a", b"web/f"]
    version = workspace.references.fetch("d")
    assert (version.name, version.base, version.file_count) == ("d:v3", "d:v2", 3)
    assert workspace.references.of("d") == []
    shutil.rmtree(data)
    web.files.clear()
    shutil.rmtree(workspace.path / "cache", ignore_errors=True)
    assert version.read_bytes("a") == b"one" and version.read_bytes("web/f") == b"hello" * 1000
    assert version.read_bytes("sub/b") == b"two" * 100_000
    with raises(NotFoundError, reason="no references"):
        workspace.references.fetch("d")
    with pytest.raises(ChangedError):
        workspace.references.fetch("d:v0")
    assert workspace.version("d").name == "d:v3"


def test_copied_out(workspace: Workspace, data: Path, web: Web, tmp_path: Path) -> None:
    web.files["/f"] = b"hello" * 1_000_000
    workspace.refer(str(data), "d")
    workspace.refer(f"{web.url}/f", "d", base="latest")
    receipt = workspace.get("d", tmp_path / "copy")
    assert (receipt.files, receipt.bytes) == (3, 5_300_003)
    assert (tmp_path / "copy" / "f").read_bytes() == web.files["/f"]
    assert (tmp_path / "copy" / "sub" / "b").read_bytes() == b"two" * 100_000
    receipt = workspace.get("d", tmp_path / "copy", overwrite=True)
    assert receipt.skipped == 2  # those with a hash are known to be equal
    web.files["/f"] = b"HELLO" * 1_000_000
    shutil.rmtree(workspace.path / "cache" / "references")
    with pytest.raises(ChangedError):
        workspace.get("d", tmp_path / "other")
    assert not (tmp_path / "other" / "f").exists()


def test_open_files_travel(workspace: Workspace, data: Path) -> None:
    version = pickle.loads(pickle.dumps(workspace.refer(str(data), "d")))
    assert version.read_bytes("a") == b"one"
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, version.read_bytes("a"))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"one"


def test_after_a_fork_services_are_opened_anew(workspace: Workspace, web: Web) -> None:
    web.files["/f"], web.files["/g"] = b"f", b"g"
    first = workspace.refer(f"{web.url}/f", "d")
    second = workspace.refer(f"{web.url}/g", "e")
    assert first.read_bytes("f") == b"f"
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, second.read_bytes("g"))
        os._exit(0)
    assert os.read(reading, 10) == b"g"
    os.waitpid(pid, 0)


def test_wrong_words(workspace: Workspace) -> None:
    with raises(InvalidInputError, names=["'no-uri'"], reason="unsupported URI"):
        workspace.refer("no-uri", "d")
    with pytest.raises(NotFoundError):
        workspace.refer("/no/such/file", "d")
    assert workspace.artifacts() == []
    with raises(NotFoundError, names=["'x'"], reason="no open draft"):
        workspace.drafts.get("x").refer("/etc/hostname")


def test_rebuilt_from_packs(workspace: Workspace, data: Path) -> None:
    from artstore.repairing.rebuild import rebuild
    from artstore.storage.environment import Environment

    digest = workspace.refer(str(data), "d").digest
    Environment.of(workspace.path).drop()
    shutil.rmtree(workspace.path / "manifest.1")
    rebuild(workspace.path)
    again = Workspace(type(workspace.store).open(workspace.path))
    assert again.version("d:v0").digest == digest
    assert again.version("d:v0").read_bytes("a") == b"one"
    assert again.fsck(data=True).clean


def test_sizes_that_no_version_can_hold(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused by name where they are added up, and later puts succeed."""
    files = [(b"%d" % number, ReferenceRecord(f"http://h/{number}", 1 << 53, etag='"a"')) for number in range(33)]
    monkeypatch.setattr("artstore.references.pinning.pin", lambda uri, **options: Pinned(b"x", files))
    with raises(RefusedError, names=["297,237,575,406,452,736"]):
        workspace.refer("http://h/", "x")
    (tmp_path / "f").write_bytes(b"own")
    workspace.put(tmp_path / "f", "y")
    assert workspace.fsck().clean
    for size in (-1, (1 << 53) + 1, 4611686018427387903):
        record = ReferenceRecord("http://h/f", size, etag='"a"')
        pinned = Pinned(b"x", [(b"", record)])
        monkeypatch.setattr("artstore.references.pinning.pin", lambda uri, pinned=pinned, **_: pinned)
        with raises(InvalidInputError, names=["http://h/f"]):
            workspace.refer("http://h/f", "x")
