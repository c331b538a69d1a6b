"""`Version` against the folder that it was made of: paths, links, walking, and what survives a fork and a pickle."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from artstore.clock import utc
from artstore.errors import InvalidInputError, MountError, NotFoundError, RefusedError
from artstore.queries.versions import Version
from artstore.rows import catalogue
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from messages import raises
from store.oracle import Model, write_folder

BIG_NS = -86_400_000_000_000
A_NS = 1_600_000_000_123_456_000
"""Times of a file and of a folder, in ns since 1970."""
DATA = b"".join(b"line %d\n" % number for number in range(200_000))
MODEL: Model = {
    b"a/deep/er/file": ("file", b"deep"),
    b"a/run": ("exec", b"#!"),
    b"big": ("file", DATA),
    b"empty": ("dir", b""),
    b"a/\xff\xfe": ("file", b"bytes"),
    b"z": ("file", b""),
    b"to-run": ("link", b"a/run"),
    b"to-a": ("link", b"a"),
    b"a/deep/up": ("link", b"../../to-a/run"),
    b"dangling": ("link", b"a/nothing"),
    b"sub": ("link", b"a/deep"),
    b"through": ("link", b"sub/../run"),  # sub leads to a/deep, so this is a/run, and not run
    b"dots": ("link", b"./a/./deep/.."),
}


@pytest.fixture
def version(workspace: Workspace, tmp_path: Path) -> Version:
    folder = write_folder(tmp_path / "data", MODEL)
    (folder / "big").chmod(0o640)
    (folder / "a").chmod(0o750)
    for name, mtime_ns in (("big", BIG_NS), ("a", A_NS)):
        os.utime(folder / name, ns=(mtime_ns, mtime_ns))
    return workspace.put(folder, "team/x", metadata={"k": [1]}, description="d")


def test_the_record(version: Version, tmp_path: Path) -> None:
    """What a version says of itself."""
    assert (version.artifact, version.number, version.name) == ("team/x", 0, "team/x:v0")
    assert (version.type, version.metadata, version.description, version.base) == (None, {"k": [1]}, "d", None)
    assert (version.tags, version.aliases, version.state) == ([], ["latest"], "live")
    assert version.file_count == sum(kind != "dir" for kind, _ in MODEL.values())
    assert version.created_at.tzinfo is UTC
    assert version.new_bytes > 0 and len(version.digest) == 64
    assert repr(version).startswith("<Version team/x:v0 ")
    assert utc(1_700_000_000_123_456_789).isoformat() == "2023-11-14T22:13:20.123456+00:00"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/deep/er/file", b"deep"),
        ("./a//deep/./er/file", b"deep"),
        (b"a/\xff\xfe", b"bytes"),
        (os.fsdecode(b"a/\xff\xfe"), b"bytes"),
        ("to-run", b"#!"),
        ("to-a/run", b"#!"),
        ("a/deep/up", b"#!"),
        ("to-a/deep/up", b"#!"),
        ("through", b"#!"),
        ("dots/run", b"#!"),
        ("sub/er/file", b"deep"),
        ("z", b""),
    ],
)
def test_paths_lead_where_the_kernel_leads(
    version: Version, path: str | bytes, expected: bytes, tmp_path: Path
) -> None:
    """Links are followed at every step, as the folder itself has it."""
    assert version.read_bytes(path) == expected
    with open(os.path.join(os.fsencode(tmp_path / "data"), os.fsencode(path)), "rb") as file:
        assert file.read() == expected


@pytest.mark.parametrize(
    "path", ["nothing", "a/nothing", "dangling", "z/below", "a/deep/er/file/below", "to-run/below"]
)
def test_paths_that_lead_nowhere(version: Version, path: str) -> None:
    """They are `NotFoundError`, which names version and path."""
    for call in (version.open, version.read_bytes, version.stat, version.listdir):
        with raises(NotFoundError, names=["team/x:v0"], reason="no such path"):
            call(path)


@pytest.mark.parametrize("path", ["/a", "..", "a/../b", "a\0b"])
def test_paths_that_are_none(version: Version, path: str) -> None:
    """Absolute paths, `..` and zero bytes are the caller's mistake."""
    for call in (version.open, version.stat, version.listdir):
        with pytest.raises(InvalidInputError):
            call(path)


def test_links_in_a_circle(workspace: Workspace, tmp_path: Path) -> None:
    """They end with an error.  A put refuses them, so they are made behind its back."""
    from artstore.changes.committing import Commit, commit
    from artstore.ids import content_id
    from artstore.ingest.batch import EntryDraft
    from artstore.ingest.building import DirectoryBuilder
    from artstore.ingest.staging import Stager
    from artstore.records.trees import Kind
    from artstore.storage.codec import encode

    stager = Stager(workspace.store, "loop", "test")
    builder = DirectoryBuilder(stager)
    for name, text in ((b"a", b"b"), (b"b", b"a/x")):
        ref = stager.chunk(content_id(text), len(text), encode(text))
        builder.add(EntryDraft(name, Kind.LINK, len(text), ref.id, ref, 0, 0o644))
    asked = Commit("loop")
    stager.commit(builder.finish(), lambda tx, root, added: commit(workspace.store, tx, root, asked, added))
    stager.close()
    with raises(NotFoundError, names=["'a'"], reason="links in a circle"):
        workspace.version("loop").read_bytes("a")


def test_listing_and_describing(version: Version) -> None:
    """Entries come in the order of their bytes; links are described, not followed."""
    listed = version.listdir()
    assert [os.fsencode(info.name) for info in listed] == sorted({path.split(b"/")[0] for path in MODEL})
    by_name = {info.name: info for info in listed}
    assert (by_name["to-run"].kind, by_name["to-run"].link_target) == ("link", "a/run")
    assert (by_name["a"].kind, by_name["a"].mtime) == ("directory", utc(A_NS))
    assert by_name["big"].mtime == utc(BIG_NS)
    assert (by_name["a"].mode, by_name["big"].mode) == (0o750, 0o640)
    assert (by_name["big"].kind, by_name["big"].size, by_name["big"].executable) == ("file", len(DATA), False)
    assert version.stat("to-run").executable and version.stat("to-run").kind == "file"
    assert version.stat("to-run").digest == version.stat("a/run").digest
    assert (version.stat().kind, version.stat().digest, version.stat().size) == (
        "directory",
        version.digest,
        version.size,
    )
    assert version.listdir("empty") == []
    assert [info.name for info in version.listdir("to-a/deep")] == ["er", "up"]
    with pytest.raises(NotADirectoryError):
        version.listdir("big")
    with pytest.raises(IsADirectoryError):
        version.open("a")
    with pytest.raises(IsADirectoryError):
        version.read_bytes("")


def test_walking_is_that_of_os_walk(version: Version, tmp_path: Path) -> None:
    """Folder by folder, from any folder, links among the files, and a pruned list is not entered."""
    top = str(tmp_path / "data")

    def expected(start: str) -> list[tuple[str, list[str], list[str]]]:
        found = []
        for where, folders, files in os.walk(os.path.join(top, start)):
            links = [name for name in folders if os.path.islink(os.path.join(where, name))]
            folders[:] = sorted((name for name in folders if name not in links), key=os.fsencode)
            relative = os.path.relpath(where, top)
            found.append(("" if relative == "." else relative, list(folders), sorted(files + links, key=os.fsencode)))
        return found

    assert list(version.walk()) == expected("")
    assert list(version.walk("a")) == expected("a")
    assert list(version.walk("to-a")) == expected("a")
    assert list(version.walk("z")) == []
    pruned = []
    for where, folders, _ in version.walk():
        pruned.append(where)
        folders[:] = [name for name in folders if name != "deep"]
    assert pruned == ["", "a", "empty"]


def held_readers(workspace: Workspace) -> list[str]:
    """Return the reader slots of LMDB that hold a snapshot."""
    rows = Environment.of(workspace.path).env.readers().splitlines()[1:]
    return [row for row in rows if row.split()[-1] != "-"]


def test_no_snapshot_outlives_a_call(workspace: Workspace, version: Version) -> None:
    """Neither a file that is open, nor a walk that is half done, nor a call that failed."""
    assert held_readers(workspace) == []
    with workspace.store.snapshot():
        assert len(held_readers(workspace)) == 1
    walk = version.walk()
    next(walk)
    assert held_readers(workspace) == []
    with version.open("big") as file:
        file.read(10)
        assert held_readers(workspace) == []
    for call in (version.stat, version.listdir, version.open, version.read_bytes):
        with pytest.raises(NotFoundError):
            call("nothing")
        assert held_readers(workspace) == []
    looks = (workspace.artifacts, workspace.drafts.states, lambda: workspace.log("team/x"), lambda: version.aliases)
    for look in looks:
        look()
        assert held_readers(workspace) == []
    walk.close()


def test_versions_are_values(workspace: Workspace, version: Version) -> None:
    """Equal and hashable by what they are; a pickle of one reads the same."""
    same = workspace.version("team/x")
    assert same == version and hash(same) == hash(version) and same != "team/x:v0"
    for again in (pickle.loads(pickle.dumps(version)), copy.deepcopy(version), copy.copy(version)):
        assert again == version and again.receipt == version.receipt
        assert again.record == version.record
        assert again.read_bytes("to-run") == b"#!"


def test_a_deleted_version_says_so(workspace: Workspace, version: Version) -> None:
    """Looking below it is `NotFoundError`, also in the middle of a walk; a file that is open goes on."""
    walk = version.walk()
    next(walk)
    with version.open("big") as file:
        assert file.read(7) == DATA[:7]
        with workspace.store.write() as transaction:
            catalogue.put_version(transaction, replace(version.record, state="deleted"))
        for call in (lambda: next(walk), lambda: version.open("z"), version.stat, version.listdir):
            with raises(NotFoundError, reason="deleted"):
                call()
        assert file.read() == DATA[7:]
    assert version.aliases == []
    with workspace.store.write() as transaction:
        catalogue.put_version(transaction, version.record)


def test_text_and_bytes(workspace: Workspace, tmp_path: Path) -> None:
    """A mode or an encoding gives text; without one a file is read as bytes, and no mode writes."""
    (tmp_path / "a.txt").write_bytes("äß\r\nx".encode())
    (tmp_path / "l.txt").write_bytes("äß".encode("latin-1"))
    version = workspace.put(tmp_path, "t")
    with version.open("a.txt") as binary, version.open("a.txt", "r") as text:
        assert binary.read() == "äß\r\nx".encode()
        assert list(text) == ["äß\n", "x"]
    with version.open("l.txt", encoding="latin-1") as text, version.open("l.txt", "rt", errors="replace") as unclean:
        assert (text.read(), unclean.read()) == ("äß", "\ufffd\ufffd")
    assert version.read_text("l.txt", "latin-1") == "äß"
    for mode in ("w", "a", "r+", "xb"):
        with raises(RefusedError, names=["t:v0"]):
            version.open("a.txt", mode)
    for wrong in ("", "q", None, 3):
        with raises(InvalidInputError, names=["mode"]):
            version.open("a.txt", wrong)  # type: ignore[call-overload]


def test_a_version_that_no_mount_shows(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    version = workspace.put(tmp_path / "a", "t")
    for use in (lambda: version.path, lambda: os.fspath(version), lambda: Path(version)):
        with raises(MountError, names=["t:v0"]) as caught:
            use()
        assert "artfs mount" in caught.value.hint
