"""Reading content: ranges against bytes, damage, and the cache of chunks."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import content
from artstore.content import ChunkCache
from artstore.errors import DamageError
from artstore.packs import pack_path
from artstore.versions import Version
from artstore.workspace import Workspace

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]
TEXT = b"".join(b"row %d of the table, and some more of it\n" % number for number in range(60_000))
NOISE = random.Random(2).randbytes(3_000_000)
FILES = {"text": TEXT, "noise": NOISE, "mixed": TEXT[:900_000] + NOISE[:900_000], "small": b"small", "empty": b""}


@pytest.fixture
def version(workspace: Workspace, tmp_path: Path) -> Version:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return workspace.put(tmp_path, "files")


def test_random_ranges(workspace: Workspace, version: Version) -> None:
    """Any range of any file is what slicing its bytes gives, also over its end, cached or not."""

    @settings(max_examples=60)
    @given(name=st.sampled_from(sorted(FILES)), start=st.integers(0, 3_000_100), size=st.integers(0, 400_000))
    def check(name: str, start: int, size: int) -> None:
        with workspace.store.snapshot() as snapshot:
            entry = snapshot.resolve(version.record.root, name.encode())
            assert entry is not None
            assert snapshot.read(entry.node, start, size) == FILES[name][start : start + size]

    check()


def test_what_is_known_of_content(workspace: Workspace, version: Version) -> None:
    """Id, size and stored bytes; those of all files and directory records are the workspace's."""
    with workspace.store.snapshot() as snapshot:
        nodes = [entry.node for _, entry in snapshot.walk(version.record.root)]
        infos = [snapshot.content(node) for node in nodes]
        stored = sum(snapshot.stored_bytes(node) for node in nodes)
        root = snapshot.tree(version.record.root)
        total = snapshot.usage_totals().stored_bytes
    assert stored + root.extent.stored >= total  # shared chunks count in each file
    assert [info.size for info in infos] == [len(FILES[name]) for name in sorted(FILES)]
    assert [info.id.hex() for info in infos] == [version.stat(name).digest for name in sorted(FILES)]


@pytest.mark.parametrize("name", ["text", "noise", "small"])
def test_damage_is_never_other_bytes(workspace: Workspace, version: Version, name: str) -> None:
    """With any byte of a pack changed, each read gives the right bytes or `DamageError` that names chunk and pack."""
    path = pack_path(workspace.path, 1)
    sound = path.read_bytes()
    with workspace.store.snapshot() as snapshot:
        entry = snapshot.resolve(version.record.root, name.encode())
        assert entry is not None
        chunks = list(content.chunks_between(snapshot.transaction, entry.node, 0, entry.size))
    chance = random.Random(4)
    for chunk, _, _ in chunks[:12]:
        at = chunk.extent.offset + chance.randrange(chunk.extent.stored)
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x80]) + sound[at + 1 :])
        for other, data in FILES.items():
            content_cache().after_fork()
            try:
                assert version.read_bytes(other) == data
                assert other != name
            except DamageError as error:
                assert chunk.id.hex() in str(error) and "pack 1" in str(error)
    path.write_bytes(sound)
    assert version.read_bytes(name) == FILES[name]


def test_a_missing_pack_is_damage(workspace: Workspace, version: Version) -> None:
    """A pack that is gone fails the reads that need it, and nothing else."""
    content_cache().after_fork()
    workspace.store.reader.close()
    pack_path(workspace.path, 1).unlink()
    with pytest.raises(DamageError, match="missing"):
        version.read_bytes("text")
    assert version.read_bytes("empty") == b""
    assert len(version.listdir()) == len(FILES)


def content_cache() -> ChunkCache:
    from artstore import snapshot

    return snapshot._cache


def test_workspaces_do_not_share_what_they_read(new_workspace: NewWorkspace, tmp_path: Path) -> None:
    """Two workspaces of one process have the same node numbers for other content: each reads its own."""
    found = []
    with new_workspace() as one, new_workspace() as two:
        for workspace, word in ((one, b"one "), (two, b"two ")):
            (tmp_path / "file").write_bytes(word * 50_000)
            found.append((workspace.put(tmp_path, "a"), word * 50_000))
        for version, data in found * 2:
            with version.open("file") as file:
                assert file.read(1000) == data[:1000]
            assert version.read_bytes("file") == data


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds at most its limit, lets the oldest go, keeps what is used, and takes nothing larger than itself."""
    cache = ChunkCache(100)
    for number in range(4):
        cache.put(b"%d" % number, bytes(30))
        cache.get(b"0")
    assert [cache.get(b"%d" % number) is not None for number in range(4)] == [True, False, True, True]
    cache.put(b"large", bytes(101))
    assert cache.get(b"large") is None
    cache.put(b"0", b"another")
    assert cache.get(b"0") == bytes(30)
    cache.after_fork()
    assert cache.get(b"0") is None


def test_the_cache_among_threads() -> None:
    """Threads that fill and ask at once never get another's bytes, and the bound holds."""
    cache = ChunkCache(1000)
    wrong = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            number = chance.randrange(50)
            found = cache.get(b"%d" % number)
            if found is not None and found != bytes([number]) * 40:
                wrong.append(number)
            cache.put(b"%d" % number, bytes([number]) * 40)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache._held == sum(map(len, cache._chunks.values())) <= 1000
    assert content.CACHE_BYTES >= 1 << 20
