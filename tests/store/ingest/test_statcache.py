"""The stat cache: it knows exactly what it may, forgets on any doubt, and never fails a put."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.ingest import statcache
from artstore.ingest.source import (
    DirectoryHandle,
    EnterDirectory,
    FileEntry,
    FileStamp,
    LeaveDirectory,
    LinkEntry,
    open_source,
)
from artstore.ingest.statcache import MARGIN_NS, DirectoryCache, StatCache
from artstore.locate import MountPoint

NOW = 1_800_000_000_000_000_000
OLD = NOW - 10 * MARGIN_NS
ROOT = b"/data/source"
IDENTITY = (7, 11)
_NOWHERE = DirectoryHandle(-1, b"")

Tree = dict[bytes, "FileStamp | bytes | Tree"]
"""A folder: files by their stamps, links by their texts, folders."""


def stamp(serial: int, *, age_ns: int = 10 * MARGIN_NS, device: int = 7) -> FileStamp:
    """A file's stamp; the content is a function of it, as it is of a real one."""
    return FileStamp(serial, NOW - age_ns, NOW - age_ns, serial + 1000, device)


def content(of: FileStamp) -> bytes:
    return hashlib.blake2b(repr(of).encode(), digest_size=32).digest()


def digest_of(tree: Tree) -> bytes:
    described = repr([(name, digest_of(v) if isinstance(v, dict) else v) for name, v in sorted(tree.items())])
    return hashlib.blake2b(described.encode(), digest_size=32).digest()


@dataclass
class Outcome:
    """What one put had to read, and which folders it could take whole."""

    read: set[bytes] = field(default_factory=set)
    unchanged: set[bytes] = field(default_factory=set)


def put(
    folder: Path,
    tree: Tree,
    *,
    root: bytes = ROOT,
    identity: tuple[int, int] = IDENTITY,
    late: bool = False,
    now: int = NOW,
) -> Outcome:
    """Do with a cache what a put does, checking all that it tells; *late*: read and leave long after the walk."""
    outcome = Outcome()
    todo: list[Callable[[], None]] = []

    def record(cache: DirectoryCache, entry: FileEntry) -> Callable[[], None]:
        return lambda: cache.record(entry, content(entry.stamp), now)

    def leave(cache: DirectoryCache, tree: Tree, path: bytes) -> Callable[[], None]:
        def run() -> None:
            known = cache.unchanged_digest()
            if known is not None:
                assert known == digest_of(tree), "a digest that is not that of the folder"
                outcome.unchanged.add(path)
            cache.leave(digest_of(tree))

        return run

    def walk(cache: DirectoryCache, tree: Tree, path: bytes) -> None:
        records: list[Callable[[], None]] = []
        for name, value in sorted(tree.items()):
            inside = path + b"/" + name
            if isinstance(value, FileStamp):
                entry = FileEntry(name, _NOWHERE, value, False)
                known = cache.lookup(entry)
                if known is None:
                    outcome.read.add(inside)
                    records.append(record(cache, entry))
                else:
                    assert known == content(value), "another file's content"
            elif isinstance(value, bytes):
                cache.link(name, value)
            else:
                walk(cache.enter(name), value, inside)
            if not late:
                while records:
                    records.pop()()
        random.Random(len(records)).shuffle(records)
        todo.extend([*records, leave(cache, tree, path)])
        if not late:
            while todo:
                todo.pop(0)()

    with StatCache.open(folder, root, identity) as cache:
        walk(cache.enter_root(), tree, b"")
        while todo:
            todo.pop(0)()
        cache.commit()
    return outcome


def files(tree: Tree, path: bytes = b"") -> dict[bytes, FileStamp]:
    found: dict[bytes, FileStamp] = {}
    for name, value in tree.items():
        if isinstance(value, FileStamp):
            found[path + b"/" + name] = value
        elif isinstance(value, dict):
            found |= files(value, path + b"/" + name)
    return found


def folders(tree: Tree, path: bytes = b"") -> dict[bytes, Tree]:
    found = {path: tree}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= folders(value, path + b"/" + name)
    return found


_names = st.sampled_from([b"a", b"a\x01", b"a b", b"a-b", b"a.b", b"ab", b"b", b"\xff", b"z\n"])
_files = st.builds(stamp, st.integers(0, 3), age_ns=st.sampled_from([0, -5, MARGIN_NS, 10 * MARGIN_NS, 11 * MARGIN_NS]))
_trees = st.recursive(
    st.dictionaries(_names, st.one_of(_files, st.sampled_from([b"x", b"y/z"])), max_size=6),
    lambda inner: st.dictionaries(_names, st.one_of(_files, st.just(b"x"), inner), max_size=6),
    max_leaves=25,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(_trees, min_size=2, max_size=5), late=st.booleans(), data=st.data())
def test_it_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, trees: list[Tree], late: bool, data: st.DataObject
) -> None:
    """Over any sequence of folders, what is read is exactly what a dict of remembered files does not hold.

    And the folders taken whole are exactly those that equal the previous put's and whose own files were remembered.
    """
    folder = tmp_path_factory.mktemp("cache")
    for index in range(1, len(trees)):
        if data.draw(st.booleans()):
            trees[index] = trees[index - 1]
    remembered: dict[bytes, FileStamp] = {}
    before: Tree | None = None
    for tree in trees:
        outcome = put(folder, tree, late=late)
        here = files(tree)
        assert outcome.read == {path for path, value in here.items() if remembered.get(path) != value}
        assert outcome.unchanged == {
            path
            for path, value in folders(tree).items()
            if before is not None
            and folders(before).get(path) == value
            and all(remembered.get(path + b"/" + name) == of for name, of in value.items() if isinstance(of, FileStamp))
        }
        remembered = {
            path: value
            for path, value in here.items()
            if max(value.mtime_ns, value.ctime_ns) < NOW - MARGIN_NS or remembered.get(path) == value
        }
        before = tree
    assert len(list(folder.iterdir())) == 1


def _sample() -> Tree:
    return {
        b"a": {b"f%03d" % index: stamp(index) for index in range(50)},
        b"b": stamp(1),
        b"link": b"b",
        b"z": {b"deep": {b"file": stamp(2)}, b"empty": {}},
    }


def test_a_second_put_reads_nothing(tmp_path: Path) -> None:
    """Unchanged, every folder is taken whole; after one change, only the file and the folders above it are not."""
    tree = _sample()
    assert len(put(tmp_path, tree).read) == 52
    assert put(tmp_path, tree) == Outcome(set(), {b"", b"/a", b"/z", b"/z/deep", b"/z/empty"})
    tree[b"z"][b"deep"][b"file"] = stamp(3)
    assert put(tmp_path, tree) == Outcome({b"/z/deep/file"}, {b"/a", b"/z/empty"})
    assert put(tmp_path, tree).read == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(link=b"a"),
        lambda tree: tree.pop(b"link"),
        lambda tree: tree.update({b"new": b"x"}),
        lambda tree: tree.update({b"0": {}}),
        lambda tree: tree[b"z"].pop(b"empty"),
        lambda tree: tree.update({b"link": {}}),
        lambda tree: tree.update({b"b": b"link"}),
        lambda tree: tree.update({b"a": stamp(9)}),
    ],
)
def test_any_change_makes_a_folder_another(tmp_path: Path, change: Callable[[dict[bytes, object]], object]) -> None:
    """Added, removed, retargeted and replaced entries are all seen, whatever kind they are of."""
    tree = _sample()
    put(tmp_path, tree)
    change(tree)
    tree = {os.fsencode(name): value for name, value in tree.items()}
    assert b"" not in put(tmp_path, tree).unchanged
    assert b"" in put(tmp_path, tree).unchanged


@pytest.mark.parametrize("age_ns", [MARGIN_NS, MARGIN_NS - 1, 0, -1, -(10**18)])
def test_young_files_are_not_remembered(tmp_path: Path, age_ns: int) -> None:
    """A file that changed within the margin before it was read, or "later", is read again, until it is old enough."""
    for young in (
        stamp(1, age_ns=age_ns),
        stamp(1)._replace(ctime_ns=NOW - age_ns),
        stamp(1)._replace(mtime_ns=NOW - age_ns),
    ):
        tree: Tree = {b"file": young, b"other": stamp(2)}
        put(tmp_path, tree)
        again = put(tmp_path, tree)
        assert again == Outcome({b"/file"}, set())
        put(tmp_path, tree, now=NOW + 10**19)
        assert put(tmp_path, tree).unchanged == {b""}
        put(tmp_path, {})


def test_times_beyond_all_reason_are_no_failure(tmp_path: Path) -> None:
    """A file of the year 1, which some file systems can hold, is read every time."""
    tree: Tree = {b"file": stamp(1)._replace(mtime_ns=-62_135_596_800 * 10**9)}
    put(tmp_path, tree)
    assert put(tmp_path, tree).read == {b"/file"}


def test_what_changed_while_it_was_read_is_remembered_as_it_was_read(tmp_path: Path) -> None:
    """The stamp that counts is the one given with the record, not the one that the walk saw."""
    with StatCache.open(tmp_path, ROOT, IDENTITY) as cache:
        root = cache.enter_root()
        entry = FileEntry(b"file", _NOWHERE, stamp(1), False)
        assert root.lookup(entry) is None
        root.record(entry._replace(stamp=stamp(2)), content(stamp(2)), NOW)
        root.leave(bytes(32))
        cache.commit()
    assert put(tmp_path, {b"file": stamp(1)}).read == {b"/file"}


def test_a_known_file_that_reads_differently_voids_its_folder(tmp_path: Path) -> None:
    """If a content that the cache named turns out to be another, nothing of that folder is believed any more."""
    tree: Tree = {b"a": stamp(1), b"b": stamp(2), b"sub": {b"c": stamp(3)}}
    put(tmp_path, tree)
    for said, still_known in ((content(stamp(1)), True), (bytes(32), False)):
        with StatCache.open(tmp_path, ROOT, IDENTITY) as cache:
            root = cache.enter_root()
            entries = [
                FileEntry(name, _NOWHERE, value, False) for name, value in sorted(files({**tree, b"sub": {}}).items())
            ]
            entries = [entry._replace(name=entry.name[1:]) for entry in entries]
            assert [root.lookup(entry) is not None for entry in entries] == [True, True]
            root.record(entries[0], said, NOW)
            below = root.enter(b"sub")
            below.lookup(FileEntry(b"c", _NOWHERE, stamp(3), False))
            below.leave(digest_of({b"c": stamp(3)}))
            assert (root.unchanged_digest() is not None) is still_known
            root.leave(digest_of(tree))
            cache.commit()
    assert put(tmp_path, tree).read == {b"/a", b"/b", b"/sub/c"}


def test_an_interrupted_put_leaves_the_old_cache(tmp_path: Path) -> None:
    """Without commit, or without having left the root, nothing is replaced, and nothing is left lying about."""
    tree = _sample()
    put(tmp_path, tree)
    with StatCache.open(tmp_path, ROOT, IDENTITY) as cache:
        cache.enter_root()
        cache.commit()
    with StatCache.open(tmp_path, ROOT, IDENTITY) as cache:
        cache.enter_root().leave(bytes(32))
    assert len(list(tmp_path.iterdir())) == 1
    assert put(tmp_path, tree).read == set()


def test_what_killed_puts_leave_is_removed(tmp_path: Path) -> None:
    """A new cache whose writer is gone is removed by the next put; one whose writer lives is not."""
    (tmp_path / "0123.abc.new").write_bytes(b"left")
    with StatCache.open(tmp_path, b"/other", IDENTITY):
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("0123")] == []
        put(tmp_path, {})
        assert len(list(tmp_path.glob("*.new"))) == 1


def test_sources_do_not_share_what_is_known(tmp_path: Path) -> None:
    """Another path has another cache; another folder at the same path knows nothing of the first."""
    tree = _sample()
    put(tmp_path, tree)
    assert len(put(tmp_path, tree, root=b"/data/other").read) == 52
    assert len(put(tmp_path, tree, identity=(7, 12)).read) == 52
    assert len(put(tmp_path, tree, identity=(8, 12)).read) == 52
    assert put(tmp_path, tree, root=b"/data/other").read == set()
    one, two = sorted(path for path in tmp_path.iterdir())
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert len(put(tmp_path, tree, identity=(8, 12)).read) == 52
    assert len(put(tmp_path, tree, root=b"/data/other").read) == 52


def test_damage_is_only_forgetting(tmp_path: Path) -> None:
    """Whichever byte is flipped, and wherever the file is cut, no wrong content is named and nothing is raised."""
    tree: Tree = {b"a": stamp(1), b"l": b"a", b"s": {b"b": stamp(2)}}
    put(tmp_path, tree)
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    for index in range(len(good)):
        file.write_bytes(good[:index] + bytes([good[index] ^ 0x41]) + good[index + 1 :])
        assert put(tmp_path, tree).read, "the damage went unseen"
    for length in range(0, len(good), 7):
        file.write_bytes(good[:length])
        assert put(tmp_path, tree).read == {b"/a", b"/s/b"}
        assert put(tmp_path, tree).read == set()
    assert file.read_bytes() == good


def test_damage_below_leaves_the_rest_known(tmp_path: Path) -> None:
    """A damaged block is one folder's: what is above it and beside it is still known."""
    tree: Tree = {b"a": {b"f": stamp(1)}, b"b": {b"f": stamp(2)}}
    put(tmp_path, tree)
    (file,) = tmp_path.iterdir()
    raw = bytearray(file.read_bytes())
    raw[20] ^= 1
    file.write_bytes(raw)
    outcome = put(tmp_path, tree)
    assert outcome.read == {b"/a/f"}
    assert outcome.unchanged == {b"", b"/b"}, "what is read again is as it was, so the folder above is the same"


@pytest.mark.parametrize("fstype", ["squashfs", "fuse.sshfs", "vfat", "9p"])
def test_file_systems_without_a_true_ctime_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fstype: str
) -> None:
    """Files on images, FUSE and the like are read every time; those beside them are not."""
    mount = MountPoint(Path("/x"), "/", fstype, "source", "0:99", frozenset())
    monkeypatch.setattr(statcache, "mount_points", lambda: [mount])
    tree: Tree = {b"a": stamp(1), b"b": stamp(2, device=os.makedev(0, 99))}
    put(tmp_path, tree)
    assert put(tmp_path, tree) == Outcome({b"/b"}, set())


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder for it, or on a full disk, nothing is kept and the put goes on."""
    (tmp_path / "file").touch()
    assert len(put(tmp_path / "file", _sample()).read) == 52
    put(tmp_path / "cache", _sample())

    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    def full(fd: int, *_: object) -> Full:
        os.close(os.dup(fd))
        return Full()

    monkeypatch.setattr(statcache.os, "fdopen", full)
    assert put(tmp_path / "cache", _sample()).read == set()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_all_caches_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caches used longest ago go first, and the one just written stays, however large it is."""
    for index in range(4):
        put(tmp_path, _sample(), root=b"/%d" % index)
        (newest,) = set(tmp_path.iterdir()) - {path for path in tmp_path.iterdir() if path.stat().st_mtime < 10_000}
        os.utime(newest, (index, index))
    size = newest.stat().st_size
    monkeypatch.setattr(statcache, "CACHES_MAX_BYTES", 2 * size)
    put(tmp_path, _sample(), root=b"/3")
    assert sorted(round(path.stat().st_mtime) < 10_000 for path in tmp_path.iterdir()) == [False, True]
    assert put(tmp_path, _sample(), root=b"/2").read == set()
    monkeypatch.setattr(statcache, "CACHES_MAX_BYTES", 0)
    put(tmp_path, _sample(), root=b"/2")
    assert len(list(tmp_path.iterdir())) == 1


def test_with_a_real_folder(tmp_path: Path) -> None:
    """Walked for real, an unchanged folder needs no reading, and any way of changing a file is seen."""
    source, cache_folder = tmp_path / "source", tmp_path / "cache"
    (source / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/d"):
        (source / name).write_bytes(name.encode())
    (source / "sub/l").symlink_to("c")

    def walk() -> tuple[list[bytes], int]:
        read, whole = [], 0
        later = time.time_ns() + 10 * MARGIN_NS
        with open_source(source) as opened, StatCache.open(cache_folder, opened.real_path, opened.identity) as cache:
            stack: list[DirectoryCache] = []
            for event in opened.walk():
                match event:
                    case EnterDirectory(path, _):
                        stack.append(stack[-1].enter(os.path.basename(path)) if stack else cache.enter_root())
                    case FileEntry():
                        if stack[-1].lookup(event) is None:
                            read.append(event.path)
                            stack[-1].record(event, bytes(32), later)
                    case LinkEntry():
                        stack[-1].link(event.name, event.text)
                    case LeaveDirectory():
                        left = stack.pop()
                        whole += left.unchanged_digest() is not None
                        left.leave(bytes(32))
            cache.commit()
        return read, whole

    assert walk() == ([b"a", b"b", b"sub/c", b"sub/d"], 0)
    assert walk() == ([], 2)
    times = (source / "b").stat()
    (source / "b").write_bytes(b"B")
    os.utime(source / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    (source / "sub/d").chmod(0o755)
    assert walk() == ([b"b", b"sub/d"], 0)
    (source / "sub/c").rename(source / "sub/e")
    assert walk()[0] == [b"sub/e"]
    assert walk() == ([], 2)
