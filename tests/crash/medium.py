"""The possible contents of a disk after a power failure: a model of files and folders, and of durable changes.

A change is *pending* from the call that makes it until the file (or for names: the folder) is synced.  After a
power failure all durable changes are there, and any of the pending ones: all, none, some without earlier ones, or a
part of one.  A write may be torn at sectors of 512 bytes, a hole at blocks; a name changes or does not; a rename is one
change.  This allows more than any journaling file system: a sync of a file does not make its name durable here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from blake3 import blake3

from crash.syscalls import Call

SECTOR: Final = 512
BLOCK: Final = 4096
_ZEROS: Final = bytes(BLOCK)
UNWRITTEN: Final = b"/lock.mdb"
"""The end of the path of the file that LMDB shares through a map, and makes again after a crash."""


class Image:
    """The bytes of a file, by blocks; blocks that are absent are holes."""

    __slots__ = ("blocks", "size")

    def __init__(self) -> None:
        self.size = 0
        self.blocks: dict[int, bytes] = {}

    def copy(self) -> Image:
        """Return an independent copy of the image."""
        other = Image()
        other.size, other.blocks = self.size, dict(self.blocks)
        return other

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset; the file grows as needed."""
        self.size = max(self.size, offset + len(data))
        done = 0
        while done < len(data):
            number, start = divmod(offset + done, BLOCK)
            piece = data[done : done + BLOCK - start]
            if len(piece) < BLOCK:
                old = self.blocks.get(number, _ZEROS)
                piece = old[:start] + piece + old[start + len(piece) :]
            self.blocks[number] = piece
            done += BLOCK - start

    def punch(self, offset: int, length: int) -> None:
        """Turn bytes into zeros and whole blocks into holes; the size stays."""
        end = min(offset + length, self.size)
        for number in [number for number in self.blocks if offset < (number + 1) * BLOCK and number * BLOCK < end]:
            low, high = max(offset - number * BLOCK, 0), min(end - number * BLOCK, BLOCK)
            if high - low == BLOCK:
                del self.blocks[number]
            else:
                block = self.blocks[number]
                self.blocks[number] = block[:low] + bytes(high - low) + block[high:]

    def resize(self, size: int) -> None:
        """Cut the file, or extend it with zeros."""
        if size < self.size:
            self.punch(size, self.size - size)
            for number in [number for number in self.blocks if number * BLOCK >= size]:
                del self.blocks[number]
        self.size = size

    def data(self) -> bytes:
        """Return all bytes."""
        whole = bytearray(self.size)
        for number, block in self.blocks.items():
            whole[number * BLOCK : (number + 1) * BLOCK] = block
        return bytes(whole[: self.size])


Kept = Callable[[int], bool]
"""Whether a part of a change, by number, reached the disk."""


@dataclass(eq=False, slots=True)
class Change:
    """A pending change of some files or folders; each of its ``parts`` reaches the disk or not, independently."""

    end: int
    targets: tuple[int, ...]
    apply: Callable[[State, Kept], None]
    parts: int = 1
    span: tuple[int, int] = (0, 0)
    """The bytes [start, end) that a write touches."""


@dataclass(slots=True)
class State:
    """Files by number, and folders as their names' numbers; folder 0 is the root."""

    files: dict[int, Image] = field(default_factory=dict)
    folders: dict[int, dict[bytes, int]] = field(default_factory=lambda: {0: {}})

    def copy(self) -> State:
        """Return a state with the same images, for the caller to copy before they change."""
        return State(dict(self.files), {number: dict(names) for number, names in self.folders.items()})

    def tree(self, folder: int = 0, above: bytes = b"") -> Iterator[tuple[bytes, Image | None]]:
        """Yield every path that can be reached, folders (with None) before what they hold."""
        for name, number in sorted(self.folders[folder].items()):
            if number in self.folders:
                yield above + name, None
                yield from self.tree(number, above + name + b"/")
            else:
                yield above + name, self.files[number]

    def digest(self) -> bytes:
        """Return a digest that is equal for equal states."""
        whole = blake3()
        for path, image in self.tree():
            whole.update(path + b"\0")
            if image is not None:
                whole.update(b"%d\0" % image.size)
                for number in sorted(image.blocks):
                    whole.update(b"%d\0" % number)
                    whole.update(image.blocks[number])
        return whole.digest()

    def write_to(self, folder: Path) -> None:
        """Write the files into an empty folder."""
        for path, image in self.tree():
            at = os.fsencode(folder) + b"/" + path
            if image is None:
                os.mkdir(at, 0o700)
                continue
            fd = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for number, block in image.blocks.items():
                    os.pwrite(fd, block[: max(0, image.size - number * BLOCK)], number * BLOCK)
                os.truncate(fd, image.size)
            finally:
                os.close(fd)


def read_folder(folder: Path) -> State:
    """Return the state of a folder as it lies on a disk."""
    state, numbers = State(), {os.fsencode(folder): 0}
    for above, below, files in os.walk(os.fsencode(folder)):
        names = state.folders[numbers[above]]
        for name in below + files:
            number = names[name] = numbers[above + b"/" + name] = len(numbers)
            if name in below:
                state.folders[number] = {}
            else:
                image = state.files[number] = Image()
                data = Path(os.fsdecode(above + b"/" + name)).read_bytes()
                image.size = len(data)
                pieces = ((at // BLOCK, data[at : at + BLOCK]) for at in range(0, len(data), BLOCK))
                image.blocks = {at: piece.ljust(BLOCK, b"\0") for at, piece in pieces if piece.strip(b"\0")}
    return state


class Medium:
    """Replay recorded calls: the state that processes see, the durable state, and the pending changes."""

    def __init__(self, folder: Path, start: State) -> None:
        self.seen = start
        """What a process would find now."""
        self.durable = start.copy()
        self.durable.files = {number: image.copy() for number, image in start.files.items()}
        self.pending: list[Change] = []
        self._folder = os.fsencode(folder)
        self._next = max([*start.files, *start.folders]) + 1
        self._durable_descriptors: dict[tuple[str, bytes], bool] = {}
        self._offsets: dict[tuple[str, bytes], int] = {}
        self._ending: list[Change] = []

    def possible(self, keep: Callable[[Change], Kept | None]) -> State:
        """Return a possible state of the disk; ``keep`` gives the parts of a pending change that are there, or None."""
        state = self.durable.copy()
        for change in self.pending:
            kept = keep(change)
            if kept is not None:
                for number in change.targets:
                    if number in state.files and state.files[number] is self.durable.files.get(number):
                        state.files[number] = state.files[number].copy()
                change.apply(state, kept)
        return state

    def begin(self, call: Call) -> bool:
        """Apply a call at its start: its changes are pending, and so are the changes that it syncs.

        Returns whether it changes or syncs anything.
        """
        before = len(self.pending)
        take = getattr(self, f"_{_SAME.get(call.name, call.name)}", None)
        if take is None:
            raise NotImplementedError(f"what does {call} leave on a disk?")
        take(call)
        return bool(self._ending) or len(self.pending) > before

    def end(self) -> None:
        """Apply the return of the last call: the changes that it syncs are durable."""
        for change in self._ending:
            change.apply(self.durable, lambda part: True)
        self.pending = [change for change in self.pending if change not in self._ending]
        self._ending = []

    # -- names ---------------------------------------------------------------------------------------------------------

    def _openat(self, call: Call) -> None:
        path = call.opened or self._path(call, 0)
        place = self._place(path)
        if place is None:
            return
        flags = call.arguments.rsplit('"', 1)[1]
        folder, name = place
        if "O_CREAT" in flags and name not in self.seen.folders[folder]:
            self._link(call, folder, name, self._new_file())
        elif "O_TRUNC" in flags:
            self._change(call, self.seen.folders[folder][name], lambda image, kept: image.resize(0))
        key = str(call.result), path
        self._durable_descriptors[key] = "O_DSYNC" in flags or "O_SYNC" in flags
        self._offsets[key] = 0

    def _mkdir(self, call: Call) -> None:
        place = self._place(self._path(call, 0))
        if place is not None:
            number = self._new_number()
            for state in (self.seen, self.durable):
                state.folders[number] = {}
            self._link(call, *place, number)

    def _unlink(self, call: Call) -> None:
        place = self._place(self._path(call, 0))
        if place is not None:
            folder, name = place

            def apply(state: State, kept: Kept) -> None:
                state.folders[folder].pop(name, None)

            self._add(Change(call.end, (folder,), apply))

    def _rename(self, call: Call) -> None:
        old, new = self._place(self._path(call, 0)), self._place(self._path(call, 1))
        if old is None or new is None:
            raise NotImplementedError(f"a rename into or out of the folder: {call}")
        number = self.seen.folders[old[0]][old[1]]

        def apply(state: State, kept: Kept) -> None:
            if state.folders[old[0]].get(old[1]) == number:
                del state.folders[old[0]][old[1]]
            state.folders[new[0]][new[1]] = number

        self._add(Change(call.end, tuple({old[0], new[0]}), apply))

    def _link(self, call: Call, folder: int, name: bytes, number: int) -> None:
        def apply(state: State, kept: Kept) -> None:
            state.folders[folder][name] = number

        self._add(Change(call.end, (folder,), apply))

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _pwrite64(self, call: Call) -> None:
        self._write_at(call, call.number(-1))

    def _pwritev2(self, call: Call) -> None:
        self._write_at(call, call.number(-2))

    def _pwritev(self, call: Call) -> None:
        self._write_at(call, call.number(-1))

    def _write(self, call: Call) -> None:
        number, path, _ = call.descriptor()
        if self._inside(path):
            offset = self._offsets[number, path]
            self._write_at(call, offset)
            self._offsets[number, path] = offset + call.result

    def _lseek(self, call: Call) -> None:
        number, path, _ = call.descriptor()
        if self._inside(path):
            self._offsets[number, path] = call.result

    def _write_at(self, call: Call, offset: int) -> None:
        number, path, deleted = call.descriptor()
        data = b"".join(call.strings())[: call.result]
        if deleted or not data:
            return
        first, sectors = offset // SECTOR, -(-(offset + len(data)) // SECTOR) - offset // SECTOR

        def apply(image: Image, kept: Kept) -> None:
            if all(map(kept, range(sectors))):
                image.write(offset, data)
                return
            for sector in filter(kept, range(sectors)):
                low, high = max((first + sector) * SECTOR, offset), (first + sector + 1) * SECTOR
                image.write(low, data[low - offset : high - offset])

        target = self._number(path)
        change = self._change(call, target, apply, sectors, (offset, offset + len(data)))
        if self._durable_descriptors.get((number, path)):
            start, end = change.span
            self._ending = [other for other in self._of(target) if other.span[0] < end and start < other.span[1]]

    def _ftruncate(self, call: Call) -> None:
        size = call.number(-1)
        path = self._path(call, 0) if call.name == "truncate" else call.descriptor()[1]
        self._change(call, self._number(path), lambda image, kept: image.resize(size))

    def _fallocate(self, call: Call) -> None:
        _, path, deleted = call.descriptor()
        offset, length = call.number(-2), call.number(-1)
        if deleted:
            return
        if "PUNCH_HOLE" not in call.arguments:
            self._change(call, self._number(path), lambda image, kept: image.resize(max(image.size, offset + length)))
            return
        first, blocks = offset // BLOCK, -(-(offset + length) // BLOCK) - offset // BLOCK

        def apply(image: Image, kept: Kept) -> None:
            for block in filter(kept, range(blocks)):
                low = max((first + block) * BLOCK, offset)
                image.punch(low, min((first + block + 1) * BLOCK, offset + length) - low)

        self._change(call, self._number(path), apply, blocks)

    def _mmap(self, call: Call) -> None:
        if "PROT_WRITE" in call.arguments and "MAP_SHARED" in call.arguments:
            path = call.descriptor()[1]
            if self._inside(path) and not path.endswith(UNWRITTEN):
                raise NotImplementedError(f"writes through a map cannot be followed: {call}")

    # -- durability ----------------------------------------------------------------------------------------------------

    def _fsync(self, call: Call) -> None:
        _, path, deleted = call.descriptor()
        if self._inside(path) and not deleted:
            self._ending = [change for change in self._of(self._number(path)) if change.end < call.begin]

    def _of(self, number: int) -> list[Change]:
        return [change for change in self.pending if number in change.targets]

    def _add(self, change: Change) -> None:
        change.apply(self.seen, lambda part: True)
        self.pending.append(change)

    def _change(
        self,
        call: Call,
        number: int,
        apply: Callable[[Image, Kept], None],
        parts: int = 1,
        span: tuple[int, int] = (0, 0),
    ) -> Change:
        change = Change(
            call.end, (number,), lambda state, kept: apply(state.files[number], kept), parts=parts, span=span
        )
        self._add(change)
        return change

    # -- paths ---------------------------------------------------------------------------------------------------------

    def _path(self, call: Call, which: int) -> bytes:
        """Return the path that a quoted argument leads to."""
        path = call.strings()[which]
        at = call.descriptor(which)[1] if "<" in call.arguments.split('"')[0] else b"/"
        return os.path.normpath(os.path.join(at, path))

    def _inside(self, path: bytes) -> bool:
        return path == self._folder or path.startswith(self._folder + b"/")

    def _number(self, path: bytes) -> int:
        number = 0
        for name in path[len(self._folder) + 1 :].split(b"/") if path != self._folder else ():
            number = self.seen.folders[number][name]
        return number

    def _place(self, path: bytes) -> tuple[int, bytes] | None:
        """Return (folder, name) of a path, None if it is outside the folder."""
        if not self._inside(path) or path == self._folder:
            return None
        above, name = os.path.split(path)
        return self._number(above), name

    def _new_number(self) -> int:
        self._next += 1
        return self._next - 1

    def _new_file(self) -> int:
        number = self._new_number()
        self.seen.files[number], self.durable.files[number] = Image(), Image()
        return number


_SAME: Final = {
    **dict.fromkeys(("open", "openat2", "creat"), "openat"),
    **dict.fromkeys(("mkdirat",), "mkdir"),
    **dict.fromkeys(("renameat", "renameat2"), "rename"),
    **dict.fromkeys(("unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("writev",), "write"),
    **dict.fromkeys(("truncate",), "ftruncate"),
    **dict.fromkeys(("fdatasync",), "fsync"),
}
