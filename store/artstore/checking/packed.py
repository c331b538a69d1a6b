"""What the packs say by themselves: every stored form that their indexes name, found by id and read with its checksums.

An id may have several stored forms: packs are compacted by copying, two puts may bring the same content at once, and
what was reaped may have been put again.  Some of them may be holes by now.  So a form is taken only if it is verified.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.checking.report import Report, message_of
from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.records.nodes import Extent
from artstore.records.packed_trees import parse_packed_tree
from artstore.records.packing import (
    CLASS_ROOT_LIST,
    CLASS_TREE,
    HEAD_LENGTH,
    HEADER_LENGTH,
    PackedEntry,
    parse_header,
    parse_index,
    parse_segment_head,
)
from artstore.storage import disk
from artstore.storage.codec import decode, verify_stored
from artstore.storage.packs import pack_numbers, pack_path

__all__ = ["Frame", "Packed", "PackedForm", "holes_between"]

_SEGMENT_MAGIC: Final = b"ARTFSEG1"
_WINDOW: Final = 1 << 22
_INDEXES: Final = 64
"""Parsed indexes of segments that are kept: nodes of one tree lie together."""


class Frame(NamedTuple):
    """A segment of a pack: its data, which its index follows, as offsets in the pack."""

    pack: int
    start: int
    data: int
    data_end: int
    end: int


class PackedForm(NamedTuple):
    """A stored form: which pack it lies in, and what the index of its segment says of it."""

    pack: int
    entry: PackedEntry

    @property
    def extent(self) -> Extent:
        """Where it lies."""
        return Extent(self.pack, self.entry.offset, self.entry.stored, self.entry.codec)


class Packed:
    """The packs of a workspace, read by their own indexes; for one thread.

    Takes about 200 bytes of memory for each stored form, once one is looked for by its id.  Damage goes to the report,
    and ``doubt`` says that there may be stored forms which no index that reads tells of.
    """

    def __init__(
        self, workspace: Path, uuid: bytes, report: Report, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.doubt = False
        self.ends: dict[int, int] = {}
        """By pack, the offset after its last whole segment."""
        self.frames: list[Frame] = []
        self._uuid = uuid
        self._report = report
        self._files: dict[int, int] = {}
        self._first: dict[bytes, int] | None = None
        self._others: dict[bytes, array[int]] = {}
        self._index_of = lru_cache(maxsize=_INDEXES)(self._read_index)
        paths = [pack_path(workspace, number) for number in pack_numbers(workspace)]
        total = sum(beneath.status(workspace, path).st_size for path in paths)
        done = 0
        try:
            for path in paths:
                self._scan(workspace, int(path.stem), path)
                done += beneath.status(workspace, path).st_size
                if progress is not None:
                    progress(done, total)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the packs."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def fd(self, pack: int) -> int:
        """Return the open file of a pack."""
        return self._files[pack]

    def _scan(self, workspace: Path, number: int, path: Path) -> None:
        if path != pack_path(workspace, number) or not beneath.status(workspace, path).st_size:
            return  # another workspace's pack, or an interrupted removal
        fd = beneath.open_file(workspace, path)
        self._files[number] = fd
        self.ends[number] = HEADER_LENGTH
        try:
            uuid, recorded, _ = parse_header(os.pread(fd, HEADER_LENGTH, 0))
        except DamageError as error:
            uuid, recorded = self._uuid, number  # the checksums of its segments show whether they are sound
            self._report.add("file", f"in the pack {path.name}: {error}")
        if (uuid, recorded) != (self._uuid, number):
            raise DamageError(
                f"the pack {path} belongs to another workspace or has the wrong number",
                hint="move it out of the folder of packs first",
            )
        for frame in self._segments(number, fd, path.name):
            self.frames.append(frame)
            self.ends[number] = frame.end

    def _segments(self, number: int, fd: int, name: str) -> Iterator[Frame]:
        """Yield the whole segments of a pack; after a damaged one, continue with the next that is found."""
        length = os.fstat(fd).st_size
        position = HEADER_LENGTH
        passed: list[str] = []
        while position < length:
            try:
                data, index = parse_segment_head(os.pread(fd, HEAD_LENGTH, position))
                frame = Frame(number, position, position + HEAD_LENGTH, position + HEAD_LENGTH + data, 0)
                frame = frame._replace(end=frame.data_end + index)
                parse_index(os.pread(fd, index, frame.data_end))
            except DamageError as error:
                passed.append(f"the segment at {position} of {name} cannot be used: {error}")
                position = self._next_segment(fd, position + 1, length)
                continue
            for sentence in passed:  # damage at the end is a torn tail, which was never acknowledged
                self.doubt = True
                self._report.add("packed", sentence)
            passed.clear()
            yield frame
            position = frame.end

    def _next_segment(self, fd: int, position: int, length: int) -> int:
        """Return where the next segment with a sound head begins, or the pack's length."""
        while position < length:
            window = os.pread(fd, _WINDOW, position)
            distance = window.find(_SEGMENT_MAGIC)
            if distance < 0:
                position += max(1, len(window) - len(_SEGMENT_MAGIC) + 1)
                continue
            position += distance
            try:
                parse_segment_head(os.pread(fd, HEAD_LENGTH, position))
                return position
            except DamageError:
                position += 1
        return length

    def _places(self) -> dict[bytes, int]:
        """Return by class and id the first stored form of each, as segment << 32 | rank; `_others` has the rest."""
        if self._first is None:
            self._first = {}
            for number in range(len(self.frames)):
                for rank, entry in enumerate(self._index_of(number)):
                    key = bytes((entry.klass,)) + entry.id
                    place = number << 32 | rank
                    if self._first.setdefault(key, place) != place:
                        self._others.setdefault(key, array("Q")).append(place)
        return self._first

    def _read_index(self, number: int) -> list[PackedEntry]:
        frame = self.frames[number]
        return parse_index(os.pread(self._files[frame.pack], frame.end - frame.data_end, frame.data_end))

    def holds(self, pack: int, offset: int, length: int) -> bool:
        """Return whether a range of a pack lies within one whole segment."""
        rank = bisect_right(self.frames, (pack, offset + 1)) - 1
        if rank < 0:
            return False
        frame = self.frames[rank]
        return frame.pack == pack and frame.data <= offset and offset + length <= frame.data_end

    def forms(self, klass: int, ident: bytes) -> list[PackedForm]:
        """Return the stored forms of an id in a class of the packs, the newest first."""
        key = bytes((klass,)) + ident
        first = self._places().get(key)
        if first is None:
            return []
        places = sorted([first, *self._others.get(key, ())], reverse=True)
        return [
            PackedForm(self.frames[place >> 32].pack, self._index_of(place >> 32)[place & 0xFFFFFFFF])
            for place in places
        ]

    def sound_form(self, klass: int, ident: bytes) -> PackedForm | None:
        """Return a sound stored form of an id, or None.

        A single form without holes is not verified: reading all content is left to a check of the data.
        """
        forms = self.forms(klass, ident)
        if len(forms) == 1 and not self._has_hole(forms[0]):
            return forms[0]
        return next((form for form in forms if self.read(form) is not None), None)

    def canonical(self, klass: int, ident: bytes) -> tuple[PackedForm, bytes] | None:
        """Return a stored form and the packed list or directory record in it, or None if no form is sound."""
        for form in self.forms(klass, ident):
            data = self.read(form)
            if data is not None and (klass == CLASS_ROOT_LIST or _packed_id(klass, data) == ident):
                return form, data
        return None

    def read(self, form: PackedForm) -> bytes | None:
        """Return the decompressed bytes of a stored form, or None if they fail their checksums."""
        entry = form.entry
        if not entry.stored:
            return b""
        if form.pack not in self._files:
            return None
        try:
            stored = disk.read_exactly(self._files[form.pack], entry.stored, entry.offset)
            verify_stored(stored, entry.checksums)
            return decode(entry.codec, stored, entry.size)
        except (DamageError, OSError) as error:
            if not self._has_hole(form):
                self._report.note(
                    f"a stored form at {entry.offset} of pack {form.pack} cannot be used: {message_of(error)}"
                )
            return None

    def _has_hole(self, form: PackedForm) -> bool:
        start, end = form.entry.offset, form.entry.offset + form.entry.stored
        return start < end and holes_between(self._files[form.pack], start, end) > 0


def _packed_id(klass: int, data: bytes) -> bytes | None:
    """Return the id of a packed list or directory record; None of a directory record that is malformed."""
    if klass != CLASS_TREE:
        return content_id(data)
    try:
        return parse_packed_tree(data).form
    except DamageError:
        return None


def holes_between(fd: int, start: int, end: int) -> int:
    """Return how many bytes of a file's range are holes; 0 if the file system does not report holes."""
    holes = 0
    while start < end:
        try:
            data = min(end, os.lseek(fd, start, os.SEEK_DATA))
        except OSError:  # ENXIO: nothing but a hole to the end of the file
            data = end
        holes += data - start
        start = min(end, os.lseek(fd, data, os.SEEK_HOLE)) if data < end else end
    return holes
