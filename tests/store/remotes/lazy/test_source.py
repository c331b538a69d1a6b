"""Versions that only a remote has, read through the API of the workspace: as if they were local, or an error."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore import store as store_module
from artstore.errors import ArtfsError, DamageError, RefusedError
from artstore.queries.versions import Version
from artstore.rows.views import is_lazy
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound, model_of
from store.remotes.lazy.conftest import NewClone


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def pushed(workspace: Workspace, tmp_path: Path, place: Path) -> Workspace:
    """Return a workspace with two pushed versions of every kind of entry."""
    noise = random.Random(1)
    files = {f"many/{n:04}.bin": noise.randbytes(200 + n) for n in range(700)}
    files |= {"large": noise.randbytes(9_000_000), "zeros": bytes(3_000_000), "empty": b"", "a/b/c/d": b"deep"}
    files |= {"text": b"words and words " * 40_000, "four": noise.randbytes(900_000)}
    source = folder_of(tmp_path / "source", files)
    (source / "link").symlink_to("a/b")
    (source / "text").chmod(0o755)
    os.utime(source / "empty", ns=(1, 1_234_567_890_123_456_789))
    workspace.put(source, "team/data", aliases=["clean"], description="first", metadata={"n": [1, {"x": None}]})
    (source / "more").write_bytes(b"more")
    workspace.put(source, "team/data", aliases=["new"])
    workspace.tags.add("team/data:v0", "good")
    workspace.remotes.add("origin", place.as_uri())
    workspace.remotes.push("team/data")
    return workspace


def about(version: Version) -> object:
    record = version.record
    return (
        (version.name, version.digest, version.description, version.metadata, version.tags, version.aliases),
        (version.size, version.file_count, version.created_at, record.mtime_ns, record.mode),
        [version.stat(path) for path in ("", "text", "empty", "many/0003.bin", "link", "a/b", "large")],
        version.listdir(""),
    )


def test_a_clone_shows_and_reads_all_without_a_pull(pushed: Workspace, new_clone: NewClone) -> None:
    """Names, records, times, modes and every byte are those of the workspace that pushed; nothing becomes local."""
    clone = new_clone()
    assert [(each.name, each.latest, each.versions) for each in clone.artifacts()] == [("team/data", 1, 2)]
    for ref in ("team/data:v0", "team/data:v1", "team/data", "team/data:clean", "team/data:new"):
        here, there = clone.version(ref), pushed.version(ref)
        assert is_lazy(here.record) and not is_lazy(there.record)
        assert about(here) == about(there)
        assert model_of(clone.store, here.record.root) == model_of(pushed.store, there.record.root)
    assert clone.aliases.of("team/data") == pushed.aliases.of("team/data")
    assert clone.usage().versions == 0
    assert_sound(clone)


def test_any_range_is_right(pushed: Workspace, new_clone: NewClone) -> None:
    """Reads at random offsets and lengths, across chunks and past the end, on one open file and on several."""
    clone = new_clone()
    order = random.Random(3)
    for name in ("large", "zeros", "text", "four", "many/0699.bin"):
        whole = pushed.version("team/data").read_bytes(name)
        with clone.version("team/data").open(name) as file:
            for _ in range(60):
                start = order.randrange(len(whole) + 10)
                length = order.choice((1, 100, 65_536, 1_000_000, len(whole)))
                file.seek(start)
                assert file.read(length) == whole[start : start + length], (name, start, length)


def test_batches_copies_and_differences(pushed: Workspace, new_clone: NewClone, tmp_path: Path) -> None:
    """`read_many`, `get`, `diff`, `walk` and a pickled version work on what is remote."""
    clone = new_clone()
    here, there = clone.version("team/data:v1"), pushed.version("team/data:v1")
    paths = [f"many/{n:04}.bin" for n in range(0, 700, 7)]
    assert list(here.read_many(paths)) == list(there.read_many(paths))
    assert list(here.walk()) == list(there.walk())
    clone.get("team/data:v1", tmp_path / "copy")
    assert (tmp_path / "copy" / "large").read_bytes() == there.read_bytes("large")
    assert clone.diff("team/data:v0", "team/data:v1") == pushed.diff("team/data:v0", "team/data:v1")
    assert pickle.loads(pickle.dumps(here)).read_bytes("more") == b"more"


def test_local_versions_come_first(pushed: Workspace, new_clone: NewClone) -> None:
    """A pulled version is read from the workspace, the other one stays; numbers, `latest` and aliases agree."""
    clone = new_clone()
    clone.remotes.pull("team/data:v0")
    assert [is_lazy(version.record) for version in clone.versions("team/data")] == [False, True]
    assert clone.version("team/data:latest").number == 1
    assert clone.aliases.of("team/data") == pushed.aliases.of("team/data")
    assert clone.version("team/data:v1").read_bytes("more") == b"more"
    assert [each.name for each in clone.artifacts()] == ["team/data"]
    clone.remotes.pull("team/data:v1")
    assert [is_lazy(version.record) for version in clone.versions("team/data")] == [False, False]
    assert_sound(clone)


def test_what_is_local_is_not_fetched(pushed: Workspace, new_clone: NewClone, place: Path) -> None:
    """Chunks that another version brought are read from the workspace, also when the remote is gone."""
    clone = new_clone()
    clone.remotes.pull("team/data:v0")
    version = clone.version("team/data:v1")
    assert version.listdir("many")
    shutil.rmtree(place / "d")
    assert version.read_bytes("large") == pushed.version("team/data").read_bytes("large")


WRITES: dict[str, Callable[[Workspace, Path], object]] = {
    "alias": lambda clone, _: clone.aliases.set("team/data:v0", "mine"),
    "tag": lambda clone, _: clone.tags.add("team/data:v0", "mine"),
    "metadata": lambda clone, _: clone.metadata.set("team/data:v0", {"a": 1}),
    "ttl": lambda clone, _: clone.retention.set_ttl("team/data:v0", 3600),
    "base": lambda clone, folder: clone.put(folder, "mine", base="team/data:v0"),
    "refer": lambda clone, _: clone.refer("artfs://team/data:v0/a", "mine"),
    "draft": lambda clone, _: clone.drafts.new("mine", base="team/data:v0"),
}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_of_the_workspace_names_what_is_remote(
    pushed: Workspace, new_clone: NewClone, write: str, tmp_path: Path
) -> None:
    """Each is refused, with the way out."""
    clone = new_clone()
    folder = folder_of(tmp_path / "folder", {"x": b"x"})
    with raises(RefusedError, names=["team/data:v0"]):
        WRITES[write](clone, folder)
    assert_sound(clone)


def forget_in_process() -> None:
    """Read as a process that begins now."""
    store_module._lazy.clear()
    store_module.process_chunks.after_fork()


def objects(place: Path, kind: str) -> list[Path]:
    return sorted(path for path in (place / kind).rglob("*") if path.is_file())


def flip(path: Path, random_bytes: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(max(4, len(data) // 2000)):
        data[random_bytes.randrange(len(data))] ^= 1 << random_bytes.randrange(8)
    replace(path, bytes(data))


def cut(path: Path, random_bytes: random.Random) -> None:
    replace(path, path.read_bytes()[: random_bytes.randrange(path.stat().st_size)])


def swap(path: Path, random_bytes: random.Random) -> None:
    others = [each for kind in "dt" for each in objects(path.parents[2], kind) if each != path]
    replace(path, random_bytes.choice(others).read_bytes())


def replace(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["d", "t"])
@pytest.mark.parametrize("harm", [flip, cut, swap], ids=lambda harm: harm.__name__)
def test_a_store_that_lies_is_found_out(
    pushed: Workspace, new_clone: NewClone, place: Path, harm: Callable[[Path, random.Random], None], kind: str
) -> None:
    """Each file has its exact bytes, or an error that names the object, the version and, of content, the file."""
    clone = new_clone()
    there = pushed.version("team/data:v1")
    paths = ["large", "text", "four", "zeros", "more", "a/b/c/d", *(f"many/{n:04}.bin" for n in range(0, 700, 50))]
    for path in objects(place, kind):
        harm(path, random.Random(5))
    failed = 0
    for path in paths:
        try:
            assert clone.version("team/data:v1").read_bytes(path) == there.read_bytes(path)
        except DamageError as error:
            failed += 1
            assert "team/data:v" in error.message and f"object {kind}/" in error.message, error.message
            assert kind == "t" or repr(path.rpartition("/")[2]) in error.message
        except ArtfsError as error:
            raise AssertionError(f"{path}: {error}") from error
    assert failed


def test_what_was_read_is_there_without_the_remote(
    pushed: Workspace, new_clone: NewClone, place: Path, tmp_path: Path
) -> None:
    """Names, what is cached, and errors that name the place for all else; another process and clone use the cache."""
    clone, other = new_clone(), new_clone()
    large = clone.version("team/data").read_bytes("large")
    place.rename(tmp_path / "away")
    forget_in_process()
    assert clone.version("team/data").read_bytes("large") == large
    assert other.version("team/data").read_bytes("large") == large
    assert [version.number for version in clone.versions("team/data")] == [0, 1]
    with pytest.raises(ArtfsError, match="bucket") as caught:
        clone.version("team/data").read_bytes("four")
    assert "team/data:v1" in str(caught.value)
    (tmp_path / "away").rename(place)
    assert clone.version("team/data").read_bytes("four") == pushed.version("team/data").read_bytes("four")


@pytest.mark.parametrize("harm", ["garbage", "removed"])
def test_a_harmed_cache_is_no_harm(pushed: Workspace, new_clone: NewClone, own_cache: Path, harm: str) -> None:
    """Wrong bytes in it are fetched again, and a removed folder is made again by the next process."""
    large = new_clone().version("team/data").read_bytes("large")
    segment = own_cache / "1"
    assert segment.stat().st_size > len(large)
    if harm == "garbage":
        segment.write_bytes(os.urandom(segment.stat().st_size))
    else:
        shutil.rmtree(own_cache)
    clone = new_clone()
    forget_in_process()
    assert clone.version("team/data").read_bytes("large") == large
