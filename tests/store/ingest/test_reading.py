"""Reading files into chunks: windows against the whole, and files that do not hold still."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from artstore.errors import SourceChangedError, SourceError
from artstore.ids import Buffer, content_id
from artstore.ingest import reading
from artstore.ingest.chunker import MAXIMUM, boundaries, sizes_for
from artstore.ingest.reading import SMALL, FileDraft, Room, Window, encode_small, read_small, read_windows
from artstore.ingest.source import FileEntry, open_source
from artstore.storage.codec import decode
from artstore.workspace import Workspace
from messages import missing
from reasons import has_reason
from store.oracle import assert_sound

T = TypeVar("T")

MIB = 1024 * 1024
NOISE = random.Random(5).randbytes(20 * MIB + 12345)


def read_all(workspace: Workspace, folder: Path, hints: bool = False) -> list[FileDraft]:
    drafts = []
    with open_source(folder) as source:
        for event in source.walk():
            if isinstance(event, FileEntry):
                event.directory.acquire()
                drafts += encode_small(workspace.store, read_small([event]), hints)
    return drafts


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000, SMALL])
def test_small_files(workspace: Workspace, tmp_path: Path, size: int) -> None:
    """Ids, sizes and stored forms of the chunks are those of the content."""
    data = NOISE[:size]
    (tmp_path / "file").write_bytes(data)
    (draft,) = read_all(workspace, tmp_path)
    assert (draft.error, draft.id, draft.stamp and draft.stamp.size) == (None, content_id(data), size)
    position = 0
    for chunk in draft.chunks:
        piece = data[position : position + chunk.size]
        assert chunk.encoded is not None and chunk.id == content_id(piece)
        assert decode(chunk.encoded.codec, bytes(chunk.encoded.data), chunk.size) == piece
        position += chunk.size
    assert position == size and draft.chunks


def test_hints_leave_out_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    """Chunks that the store has, and repetitions among the files, come without a stored form."""
    (tmp_path / "a").write_bytes(NOISE[:300_000])
    workspace.put(tmp_path, "x")
    (tmp_path / "b").write_bytes(b"new")
    with open_source(tmp_path) as source:
        batch = []
        for event in source.walk():
            if isinstance(event, FileEntry):
                event.directory.acquire()
                event.directory.acquire()
                batch += [event, event]
        drafts = encode_small(workspace.store, read_small(batch), hints=True)
    encoded = [[chunk.encoded is not None for chunk in draft.chunks] for draft in drafts]
    assert not any(encoded[0]) and not any(encoded[1])
    assert encoded[2:] == [[True], [False]]


def test_a_file_that_the_store_has_is_not_cut(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is enough, up to a window's length; without hints it is cut, for nothing may be assumed then."""
    sizes = [300_000, 3 * MIB]
    for size in sizes:
        (tmp_path / str(size)).write_bytes(NOISE[:size])
    workspace.put(tmp_path, "x")

    def read_window(hints: bool) -> Window:
        with (tmp_path / str(sizes[1])).open("rb") as file, ThreadPoolExecutor(1) as pool:
            (window,) = read_windows(workspace.store, pool, file.fileno(), sizes[1], hints)
            return window

    assert len(read_all(workspace, tmp_path)[0].chunks) > 1 and read_window(False).chunks
    with monkeypatch.context() as patch:
        patch.setattr(reading, "boundaries", None)
        small = read_all(workspace, tmp_path / str(sizes[0]), hints=True)
        assert small[0].chunks == [(content_id(NOISE[: sizes[0]]), sizes[0], None)]
        window = read_window(True)
    assert (window.chunks, window.id, window.is_known) == ([], content_id(NOISE[: sizes[1]]), True)
    os.link(tmp_path / str(sizes[1]), tmp_path / "again")
    version = workspace.put(tmp_path, "y")
    assert version.receipt is not None and version.receipt.new_bytes < 10_000
    assert version.read_bytes("again") == NOISE[: sizes[1]]
    assert_sound(workspace)


def test_few_raw_bytes_do_not_keep_what_was_read(workspace: Workspace, tmp_path: Path) -> None:
    """A stored form keeps the memory that its file was read into only if that is mostly stored as it is."""
    for number in range(9):
        (tmp_path / f"{number}.txt").write_bytes(b"%d " % number * 5000)
    (tmp_path / "noise").write_bytes(NOISE[:1000])

    def forms() -> dict[int, Buffer]:
        with open_source(tmp_path) as source:
            files = [event for event in source.walk() if isinstance(event, FileEntry) and event.directory.acquire()]
            drafts = encode_small(workspace.store, read_small(files), hints=False)
        return {draft.chunks[0].size: draft.chunks[0].encoded.data for draft in drafts if draft.chunks[0].encoded}

    assert isinstance(forms()[1000], bytes)
    (tmp_path / "noise").write_bytes(NOISE[:200_001])
    (tmp_path / "more").write_bytes(NOISE[:60_001])
    assert isinstance(forms()[60_001], memoryview)


def test_room_is_given_once() -> None:
    """Parts in use do not overlap, whatever their sizes, and memory that is not in use is given again."""
    room = Room()
    sizes = [0, 1, 5 * MIB, 4 * MIB, 20 * MIB, 3]
    parts = [room.take(size) for size in sizes]
    for number, part in enumerate(parts):
        part[:] = bytes([number]) * len(part)
    assert [len(part) for part in parts] == sizes
    assert all(part[0] == part[-1] == number for number, part in enumerate(parts) if part)
    kept = parts[2][10:20]
    blocks = len(room._blocks)
    parts = []
    for number in range(100):
        part = room.take(3 * MIB)
        part[:] = bytes([number]) * len(part)
    assert len(room._blocks) <= blocks + 1
    assert bytes(kept) == bytes([2]) * 10


class Changing:
    """Change a file right after each of a reader's first reads of it."""

    def __init__(self, patch: pytest.MonkeyPatch, change: Callable[[], None], times: int) -> None:
        self.calls = 0
        self._change = change
        self._times = times
        patch.setattr(os, "read", self._changing(os.read))
        patch.setattr(os, "readv", self._changing(os.readv))
        patch.setattr(reading, "_PAUSE", 0)

    def _changing(self, read: Callable[..., T]) -> Callable[..., T]:
        def read_and_change(*arguments: object) -> T:
            data = read(*arguments)
            self.calls += 1
            if self.calls <= self._times:
                self._change()
            return data

        return read_and_change


@pytest.mark.parametrize("how", ["append", "rewrite", "truncate"])
def test_a_small_file_that_changes_is_read_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What was read while it changed is thrown away; in the end its content is one that it had."""
    path = tmp_path / "file"
    path.write_bytes(b"first content")

    def change() -> None:
        if how == "append":
            with path.open("ab") as file:
                file.write(b"!")
        elif how == "rewrite":
            path.write_bytes(b"other content")
            os.utime(path, ns=(1, 1))
        else:
            os.truncate(path, 3)

    changing = Changing(monkeypatch, change, 1)
    (draft,) = read_all(workspace, tmp_path)
    assert draft.error is None and draft.id == content_id(path.read_bytes())
    assert changing.calls >= 2


def test_a_small_file_that_never_holds_still_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three tries; one that vanished, and one that became a folder, are named as well."""
    for name in ("busy", "gone", "turned"):
        (tmp_path / name).write_bytes(b"x")

    def change() -> None:
        with (tmp_path / "busy").open("ab") as file:
            file.write(b"!")

    Changing(monkeypatch, change, 10**9)
    with open_source(tmp_path) as source:
        batch = [event for event in source.walk() if isinstance(event, FileEntry) and event.directory.acquire()]
        (tmp_path / "gone").unlink()
        (tmp_path / "turned").unlink()
        (tmp_path / "turned").mkdir()
        drafts = encode_small(workspace.store, read_small(batch), hints=True)
    errors = [draft.error for draft in drafts]
    assert all(isinstance(error, SourceChangedError) for error in errors)
    assert [error.paths for error in errors if error] == [[b"busy"], [b"gone"], [b"turned"]]
    assert has_reason(str(errors[0]), "kept changing") and has_reason(str(errors[1]), "vanished")


def test_an_error_while_reading_names_the_file(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle is one sentence."""
    (tmp_path / "file").write_bytes(b"x")

    def fail(fd: int, _: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        patch.setattr(os, "readv", fail)
        patch.setattr(reading, "_PAUSE", 0)
        (draft,) = read_all(workspace, tmp_path)
    assert isinstance(draft.error, SourceError) and not missing(str(draft.error), ["file", os.strerror(5)])


@pytest.mark.parametrize("size", [0, 1, MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 12345])
@pytest.mark.parametrize("most", [None, 100_001])
def test_windows_give_the_chunks_of_the_whole(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: int | None
) -> None:
    """Read in windows, also in short reads, a file has the boundaries that its whole has, and every byte once."""
    data = NOISE[:size]
    (tmp_path / "file").write_bytes(data)
    if most is not None:
        real = os.readv
        monkeypatch.setattr(os, "readv", lambda fd, buffers: real(fd, [memoryview(buffers[0])[:most]]))
    with ThreadPoolExecutor(2) as pool, (tmp_path / "file").open("rb") as file:
        windows = list(read_windows(workspace.store, pool, file.fileno(), os.fstat(file.fileno()).st_size, hints=False))
        chunks = [chunk for window in windows for future in window.chunks for chunk in future.result()]
    assert b"".join(bytes(window.data) for window in windows) == data
    ends = boundaries(data, sizes_for(data[: 8 * MIB]))
    assert [chunk.size for chunk in chunks] == [end - start for start, end in zip([0, *ends], ends, strict=False)]
    position = 0
    for chunk in chunks:
        assert chunk.id == content_id(data[position : position + chunk.size])
        assert chunk.encoded is not None and bytes(chunk.encoded.data) == data[position : position + chunk.size]
        position += chunk.size
    assert all(chunk.size <= MAXIMUM for chunk in chunks)


def test_a_file_that_grows_is_not_followed_for_ever(workspace: Workspace, tmp_path: Path) -> None:
    """One byte past the size that it had tells, and is enough."""
    (tmp_path / "file").write_bytes(NOISE[: 3 * MIB])
    with ThreadPoolExecutor(2) as pool, (tmp_path / "file").open("rb") as file:
        windows = list(read_windows(workspace.store, pool, file.fileno(), 2 * MIB, hints=False))
        sizes = [chunk.size for window in windows for future in window.chunks for chunk in future.result()]
    assert sum(len(window.data) for window in windows) == sum(sizes) == 2 * MIB + 1
