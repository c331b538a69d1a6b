"""Whatever a store answers, a reader gets the version's bytes, or an error that names object, version and path."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Mapping
from typing import Any

import pytest

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.objects.failures import WrongAnswerError
from artstore.records.trees import Kind
from artstore.remotes.packs.containers import CHUNK, LIST, SPAN, parse_pack
from artstore.remotes.packs.located import Below, LocatedEntry
from artstore.remotes.packs.places import Fetch, Pack, parse_object_name
from artstore.remotes.packs.reading import RemoteTree
from artstore.remotes.packs.writing import WrittenVersion
from artstore.store import Store
from store.conftest import CommitTree
from store.remotes.packs.memory_remote import MemoryRemote

NOISE = random.Random(5).randbytes(15_000)
TREE: Mapping[bytes, Any] = {
    b"a": b"hello",
    b"big": NOISE,
    b"d": {b"b": NOISE[:3000], b"e": {b"f": b"f" * 900, b"empty": b""}, b"link": (Kind.LINK, b"../a")},
    b"empty folder": {},
    b"x": (Kind.EXECUTABLE, NOISE[100:800]),
}
Found = dict[bytes, tuple[tuple[Any, ...], bytes]]


def everything(tree: RemoteTree) -> Found:
    """Return each entry by its path, with its content, proved."""
    found: Found = {}
    for path, entry in tree.walk():
        content = b"" if isinstance(entry.content, Below) else b"".join(tree.pieces(entry, path))
        found[path] = (entry[:6], content)
    return found


@pytest.fixture
def pushed(store: Store, commit_tree: CommitTree) -> tuple[MemoryRemote, WrittenVersion]:
    """Return a version whose chunks, spans and list are in several objects."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(TREE), data_target=5000, trees_target=300, span_target=40)
    assert len(remote.objects) >= 5
    return remote, written


def test_a_version_reads_as_it_is(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    remote, written = pushed
    found = everything(remote.tree(written))
    assert list(found) == [b"a", b"big", b"d", b"d/b", b"d/e", b"d/e/empty", b"d/e/f", b"d/link", b"empty folder", b"x"]
    assert found[b"big"][1] == NOISE and found[b"d/b"][1] == NOISE[:3000] and found[b"d/link"][1] == b"../a"
    assert found[b"x"][0][1] is Kind.EXECUTABLE and found[b"d"][0][1] is Kind.DIRECTORY


def test_parts_of_files(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Any range, of a file of one chunk, of some, and of a list: only the chunks that it touches are fetched."""
    remote, written = pushed
    tree = remote.tree(written)
    for path, data in ((b"a", b"hello"), (b"d/b", NOISE[:3000]), (b"big", NOISE), (b"d/e/empty", b"")):
        entry = tree.resolve(path)
        assert entry is not None
        for offset in (0, 1, 1999, 2000, 4100, len(data), len(data) + 5):
            for size in (0, 1, 3, 2001, 10**9):
                assert tree.read(entry, path, offset, size) == data[offset : offset + size]
        assert tree.read(entry, path) == data
    remote.requests.clear()
    entry = tree.resolve(b"big")
    assert entry is not None and tree.read(entry, b"big", 4100, 10) == NOISE[4100:4110]
    assert sum(length for name, _, length in remote.requests if name[0] == "d") == 2000


def test_paths_that_are_not_there(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    remote, written = pushed
    tree = remote.tree(written)
    for path in (b"", b"b", b"zzz", b"a/b", b"d/zz", b"d/e/f/g", b"d//b", b"../a"):
        assert tree.resolve(path) is None


def of_forms(
    remote: MemoryRemote, classes: Container[int] = (CHUNK, SPAN, LIST), codecs: Container[int] = (0, 1)
) -> Mapping[str, set[int]]:
    """Return the bytes of each object that reading a version looks at, or those of some classes and codecs."""
    looked_at = {}
    for name, data in remote.objects.items():
        entries = parse_pack(data, parse_object_name(name))
        kept = [entry for entry in entries if entry.klass in classes and entry.codec in codecs]
        looked_at[name] = {at for entry in kept for at in range(entry.offset, entry.offset + entry.stored)}
    return looked_at


def refused(remote: MemoryRemote, written: WrittenVersion, names: tuple[str, ...]) -> bool:
    """Return whether reading everything is refused, by a message that names one of the objects and the version."""
    try:
        everything(remote.tree(written))
    except DamageError as error:
        assert error.message.startswith(("a:v1/", "a:v1 ")) and any(name in error.message for name in names)
        return True
    return False


def test_every_changed_byte_is_refused(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Each ninth byte of every object with one bit flipped: refused if reading looks at it, and else without effect.

    Some bits of a zstd frame have no effect on what it decompresses to; of spans and lists every byte is hashed.
    """
    remote, written = pushed
    sound, looked_at = everything(remote.tree(written)), of_forms(remote)
    loose = of_forms(remote, {CHUNK}, {1})
    for name, data in list(remote.objects.items()):
        for at in range(0, len(data), 9):
            remote.objects[name] = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            was_refused = refused(remote, written, (name,))
            assert was_refused == (at in looked_at[name]) or (at in loose[name] and not was_refused), (name, at)
            assert was_refused or everything(remote.tree(written)) == sound
        remote.objects[name] = data


def test_every_cut_object_is_refused(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    remote, written = pushed
    looked_at = of_forms(remote)
    for name, data in list(remote.objects.items()):
        for end in range(0, len(data), 31):
            remote.objects[name] = data[:end]
            assert refused(remote, written, (name,)) == (max(looked_at[name], default=-1) >= end)
        remote.objects[name] = data


def test_swapped_objects_are_refused(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Each object under the name of each other one."""
    remote, written = pushed
    names = sorted(name for name, looked_at in of_forms(remote).items() if looked_at)
    for one in names:
        for other in names:
            before = remote.objects[one], remote.objects[other]
            remote.objects[one], remote.objects[other] = reversed(before)
            assert refused(remote, written, (one, other)) == (one != other)
            remote.objects[one], remote.objects[other] = before


Answer = Callable[[bytes, int, int], bytes]


@pytest.mark.parametrize(
    "answer",
    [
        lambda data, offset, length: b"",
        lambda data, offset, length: data[offset : offset + length - 1],
        lambda data, offset, length: data[offset + 1 : offset + length + 1],
        lambda data, offset, length: data[:length],
        lambda data, offset, length: bytes(length),
        lambda data, offset, length: data[offset : offset + length][::-1],
    ],
    ids=["empty", "short", "shifted", "from the start", "zeros", "reversed"],
)
def test_wrong_ranges_are_refused(pushed: tuple[MemoryRemote, WrittenVersion], answer: Answer) -> None:
    """What a store or a cache answers in place of the range that was asked for; each request in turn, and all."""
    remote, written = pushed
    sound = everything(remote.tree(written))
    for wrong in range(-1, len(remote.requests)):
        try:
            assert everything(RemoteTree(_wrong(remote, answer, wrong), written.root, "a:v1")) == sound
        except DamageError as error:
            assert "a:v1" in error.message and any(name in error.message for name in remote.objects)
        else:
            assert wrong >= 0, "one wrong answer is asked for again; if all are wrong, none is taken"


def _wrong(remote: MemoryRemote, answer: Answer, wrong: int) -> Fetch:
    """Return what answers a request wrongly, by its number, or all of them for -1."""
    count = [-1]

    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        count[0] += not fresh
        data = remote.objects[pack.object_name]
        return answer(data, offset, length) if wrong in (-1, count[0]) else data[offset : offset + length]

    return fetch


def test_a_cache_that_is_wrong_is_passed(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Everything that comes from a cache is wrong; each range is asked for once more, fresh."""
    remote, written = pushed

    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        return remote.fetch(pack, offset, length) if fresh else bytes(length)

    assert everything(RemoteTree(fetch, written.root, "a:v1")) == everything(remote.tree(written))


def test_a_store_that_refuses_ranges_of_short_objects(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """A client that raises where an object ends too early: the message has the version all the same."""
    remote, written = pushed
    sound = everything(remote.tree(written))

    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        data = remote.fetch(pack, offset, length)
        if len(data) < length:
            raise WrongAnswerError("the object ends before")
        return data

    assert everything(RemoteTree(fetch, written.root, "a:v1")) == sound
    for name, data in list(remote.objects.items()):
        remote.objects[name] = data[:40]
        with pytest.raises(DamageError, match=f"^a:v1.*{name}"):
            everything(RemoteTree(fetch, written.root, "a:v1"))
        remote.objects[name] = data


def test_a_file_of_other_content_is_refused_at_its_end(store: Store, commit_tree: CommitTree) -> None:
    """Chunks that are right, of a file that has another id: the list is what its hash says, and proves nothing."""
    remote = MemoryRemote()
    tree = remote.tree(remote.push(store, commit_tree({b"big": NOISE})))
    entry = tree.resolve(b"big")
    assert entry is not None
    forged = entry._replace(id=content_id(b"another"))
    with pytest.raises(DamageError, match=r"a:v1/big .*other content"):
        list(tree.pieces(forged, b"big"))


def test_the_first_byte_of_a_large_version_takes_few_requests(store: Store, commit_tree: CommitTree) -> None:
    """The root's span, the span of the folder, and the chunk, one after another; the next file nearby one."""
    tree = {
        b"%03d" % folder: {b"%03d" % file: NOISE[folder + file :][:300] for file in range(60)} for folder in range(60)
    }
    remote = MemoryRemote()
    remote_tree = remote.tree(remote.push(store, commit_tree(tree), span_target=20_000))
    entry = remote_tree.resolve(b"030/007")
    assert isinstance(entry, LocatedEntry)
    assert remote_tree.read(entry, b"030/007") == NOISE[37:337]
    assert len(remote.requests) <= 3
    remote.requests.clear()
    entry = remote_tree.resolve(b"030/008")
    assert entry is not None and remote_tree.read(entry, b"030/008") == NOISE[38:338]
    assert len(remote.requests) == 1
