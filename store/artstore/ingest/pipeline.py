"""The main loop of a put: a thread walks and reads ahead, workers compress, and this one stages nodes in tree order."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Final

from artstore.errors import SourceError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.ingest.earlier import Earlier, EarlierDirectory
from artstore.ingest.feeding import Feed, Parcel
from artstore.ingest.large_files import LargeFile, looks_known
from artstore.ingest.overlay import Overlay
from artstore.ingest.reading import (
    SMALL,
    Encoder,
    FileDraft,
    Room,
    Window,
    changed,
    encode_small,
    read_small,
    read_windows,
)
from artstore.ingest.source import EnterDirectory, FileEntry, FileStamp, LeaveDirectory, LinkEntry, Source, display
from artstore.ingest.staging import Stager
from artstore.ingest.statcache import DirectoryCache, StatCache
from artstore.interrupts import checkpoint
from artstore.limits import raise_machine_error
from artstore.records.trees import LINK_MODE, MODE_BITS, Kind, clamped_ns
from artstore.rows.nodes import has_lost, is_whole
from artstore.storage.codec import encode, encode_all
from artstore.store import Store

__all__ = ["Ingest"]

_IN_FLIGHT: Final = 64 * 1024 * 1024
"""Bytes that may be read and not staged yet."""
_STEP_COST: Final = 2048
_BATCH_FILES: Final = 64
_BATCH_BYTES: Final = 2 * 1024 * 1024
_BATCH_STEPS: Final = 512
_ATTEMPTS: Final = 3
_MAX_PROBLEMS: Final = 100


class _Reading:
    """Small files that are read together and compressed by one task."""

    __slots__ = ("_drafts", "bytes", "entries", "future")

    def __init__(self) -> None:
        self.entries: list[FileEntry] = []
        self.bytes = 0
        self.future: Future[list[FileDraft]] | None = None
        self._drafts: list[FileDraft] = []

    def draft(self, index: int) -> FileDraft:
        """Return the result for a file, which has been read."""
        if not self._drafts:
            assert self.future is not None
            self._drafts = self.future.result()
        return self._drafts[index]


class _Batch:
    """A parcel that is being filled: steps in tree order, and the small files that they need."""

    __slots__ = ("cost", "reading", "steps")

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []
        self.cost = 0
        self.reading = _Reading()  # apart from the steps, which refer to it: no cycle keeps directories open

    def add(self, step: Callable[[], None]) -> None:
        """Add the next step."""
        self.steps.append(step)
        self.cost += _STEP_COST

    @property
    def is_full(self) -> bool:
        """Whether the parcel is full enough to hand over."""
        reading = self.reading
        return len(reading.entries) >= _BATCH_FILES or reading.bytes >= _BATCH_BYTES or len(self.steps) >= _BATCH_STEPS


class _Directory:
    """A directory that is being built, the version's below it, and its part of the stat cache."""

    __slots__ = ("below", "builder", "cache", "earlier", "entered", "position")

    def __init__(
        self,
        entered: EnterDirectory,
        builder: DirectoryBuilder,
        cache: DirectoryCache | None,
        earlier: EarlierDirectory | None,
        below: list[tuple[EntryDraft, int]],
    ) -> None:
        self.entered = entered
        self.builder = builder
        self.cache = cache
        self.earlier = earlier
        self.below = below
        self.position = 0

    @property
    def path(self) -> bytes:
        """The path relative to the source folder."""
        return self.entered.path

    @property
    def mode(self) -> int:
        """The permission bits."""
        return self.entered.mode & MODE_BITS


class Ingest:
    """Bring one source into the store; `run` returns the root record, not yet owned by a version."""

    def __init__(
        self,
        store: Store,
        stager: Stager,
        source: Source,
        cache: StatCache | None,
        *,
        overlay: Overlay | None = None,
        earlier: Earlier | None = None,
        hints: bool = True,
        progress: Callable[[int, int, bytes], None] | None = None,
        on_read: Callable[[], None] | None = None,
        encode: Encoder = encode_all,
    ) -> None:
        """``on_read`` is called, in another thread, when the first file is read: there may be something new.

        ``encode`` makes the stored forms of chunks that the store does not have.
        """
        self._store = store
        self._stager = stager
        self._source = source
        self._cache = cache
        self._overlay = overlay
        self._earlier = earlier
        self._hints = hints
        self._progress = progress
        self._on_read = on_read
        self._encode = encode
        self._batch = _Batch()
        self._room = Room()  # of the feed's thread
        self._directories: list[_Directory] = []
        self._problems: list[SourceError] = []
        self._root: Ref | None = None
        self._loose: list[EntryDraft] | None = None
        with store.snapshot() as snapshot:
            self._has_lost = has_lost(snapshot.transaction)
        self.files = 0
        self.bytes = 0
        self.mtime_ns = 0
        """The modification time of the source folder itself."""
        self.mode = 0
        """The permission bits of the source folder itself."""
        self.private = 0
        """Files that others than their owner and group cannot read."""
        self.special = 0
        """Files and folders with a bit above the permissions: setuid, setgid or sticky."""

    def run(self) -> Ref:
        """Walk, read and stage everything.

        Raises `SourceError` naming every file that could not be taken (100 at most); staged nodes stay with
        the draft, so that the next run finds them.
        """
        self._run()
        assert self._root is not None
        return self._root

    def run_entries(self) -> list[EntryDraft]:
        """Do as `run`, but do not add the folder itself; return its entries, to be added to another folder."""
        self._loose = []
        self._run()
        return self._loose

    def _run(self) -> None:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="artfs-ingest") as pool:
            try:
                with Feed(self._parcels(pool), _IN_FLIGHT) as feed:
                    for parcel in feed:
                        checkpoint()
                        for step in parcel.steps:
                            step()
                            self._stager.flush_if_full()
            finally:
                pool.shutdown(cancel_futures=True)
                self._batch = _Batch()  # files left by an exception hold directories open
        if self._problems:
            raise _combined(self._problems)

    def _parcels(self, pool: Executor) -> Generator[Parcel, None, None]:
        """Walk and read; calls made here run in the feed's thread, the steps in the stager's."""
        caches: list[DirectoryCache | None] = []
        for event in self._source.walk():
            if isinstance(event, FileEntry):
                yield from self._take_file(pool, event, caches[-1])
            elif isinstance(event, EnterDirectory):
                caches.append(self._cache_of(event.path, caches))
                self._batch.add(partial(self._enter, event, caches[-1]))
            elif isinstance(event, LinkEntry):
                if caches[-1] is not None:
                    caches[-1].link(event.name, event.text)
                self._batch.add(partial(self._add_link, event))
            elif isinstance(event, LeaveDirectory):
                caches.pop()
                self._batch.add(self._leave)
            if self._batch.is_full:
                yield self._handed_over(pool)
        yield self._handed_over(pool)

    def _handed_over(self, pool: Executor) -> Parcel:
        batch, self._batch = self._batch, _Batch()
        reading = batch.reading
        if not reading.entries:
            return Parcel(batch.steps, [], batch.cost)
        reading.future = pool.submit(
            encode_small, self._store, read_small(reading.entries, self._room), self._hints, self._encode
        )
        return Parcel(batch.steps, [reading.future], batch.cost + reading.bytes)

    def _cache_of(self, path: bytes, above: list[DirectoryCache | None]) -> DirectoryCache | None:
        if self._cache is None:
            return None
        if not above:
            return self._cache.enter_root()
        parent = above[-1]
        return None if parent is None else parent.enter(path.rpartition(b"/")[2])

    def _take_file(
        self, pool: Executor, entry: FileEntry, cache: DirectoryCache | None
    ) -> Generator[Parcel, None, None]:
        ident = None if cache is None else cache.lookup(entry)
        if ident is not None and not (self._has_lost and self._is_lost(ident)):
            self._batch.add(partial(self._add_file, entry, entry.stamp, ident, None))
            return
        if self._on_read is not None:
            self._on_read()
            self._on_read = None
        if entry.size <= SMALL:
            self._take_small(entry)
        else:
            yield from self._take_large(pool, entry)

    def _is_lost(self, ident: bytes) -> bool:
        """Return whether the store needs some content again that it once had."""
        with self._store.snapshot() as snapshot:
            return not is_whole(snapshot.transaction, ident)

    def _take_small(self, entry: FileEntry) -> None:
        entry.directory.acquire()
        reading = self._batch.reading
        index = len(reading.entries)
        reading.entries.append(entry)
        reading.bytes += entry.size
        self._batch.add(lambda: self._add_small(entry, reading.draft(index)))

    def _take_large(self, pool: Executor, entry: FileEntry) -> Generator[Parcel, None, None]:
        """Read a large file window by window; its last step adds the entry, or tries again if the file changed."""
        entry.directory.acquire()
        large = LargeFile(self._stager)
        try:
            fd = entry.open()
        except SourceError as error:
            entry.directory.release()
            self._problem(error)
            return
        try:
            yield self._handed_over(pool)
            large.stamp = FileStamp.of_fd(fd)
            if self._hints:
                large.cut = not looks_known(self._store, self._earlier, entry.path, fd, large.stamp.size)
            windows = read_windows(
                self._store,
                pool,
                fd,
                large.stamp.size,
                self._hints,
                self._room,
                cut=large.cut,
                encode=self._encode,
            )
            for window in windows:
                step = partial(self._add_window, large, window, entry.name)
                yield Parcel([step], list(window.chunks), len(window.data) + _STEP_COST)
            large.still = FileStamp.of_fd(fd) == large.stamp
        except OSError as error:
            raise_machine_error(error, f"{display(entry.path)} cannot be read", but=errno.EIO)
            large.error = SourceError(f"{display(entry.path)} cannot be read: {error.strerror}", paths=[entry.path])
        finally:
            os.close(fd)
        self._batch.add(lambda: self._finish_large(pool, entry, large))

    def _finish_large(self, pool: Executor, entry: FileEntry, large: LargeFile) -> None:
        attempt = 1 if large.cut else 0
        try:
            while large.error is None and not large.is_taken(self._store):
                if attempt == _ATTEMPTS:
                    large.error = changed(entry)
                    break
                attempt += 1
                large = self._read_again(pool, entry)
        except SourceError as error:
            large.error = error
        finally:
            entry.directory.release()
        if large.error is not None:
            self._problem(large.error)
            return
        ident, ref = large.finish()
        self._record(entry, ident, large.stamp, large.read_ns)
        self._add(_file_entry(entry, large.stamp, ident, ref))
        self._note_mode(entry.mode)
        self._count(1, 0, entry.name)  # its bytes were counted window by window

    def _add_window(self, large: LargeFile, window: Window, name: bytes) -> None:
        large.add(window)
        self._count(0, len(window.data), name)

    def _read_again(self, pool: Executor, entry: FileEntry) -> LargeFile:
        large = LargeFile(self._stager)
        fd = entry.open()
        try:
            large.stamp = FileStamp.of_fd(fd)
            for window in read_windows(self._store, pool, fd, large.stamp.size, self._hints, encode=self._encode):
                large.add(window)
                self._stager.flush_if_full()
            large.still = FileStamp.of_fd(fd) == large.stamp
        finally:
            os.close(fd)
        return large

    def _problem(self, error: SourceError) -> None:
        self._problems.append(error)
        if len(self._problems) >= _MAX_PROBLEMS:
            raise _combined(self._problems)

    def _enter(self, entered: EnterDirectory, cache: DirectoryCache | None) -> None:
        path = entered.path
        below: list[tuple[EntryDraft, int]] = []
        if self._overlay is not None:
            below = self._overlay.entries(self._node_below(path), path)
        earlier = None
        if self._directories:
            above = self._directories[-1].earlier
            earlier = None if above is None else above.enter(path.rpartition(b"/")[2])
        elif self._earlier is not None:
            earlier = self._earlier.root()
        self.special += entered.mode & ~MODE_BITS != 0
        builder = DirectoryBuilder(self._stager, earlier=earlier)
        self._directories.append(_Directory(entered, builder, cache, earlier, below))

    def _node_below(self, path: bytes) -> int | None:
        """Return the version below's directory at the path that is being entered, if it has one."""
        assert self._overlay is not None
        if not self._directories:
            return self._overlay.root
        above = self._directories[-1]
        name = path.rpartition(b"/")[2]
        self._pass_below(above, name)
        if above.position < len(above.below):
            entry, node = above.below[above.position]
            if entry.name == name and entry.kind == Kind.DIRECTORY:
                return node
        return None

    def _pass_below(self, directory: _Directory, name: bytes | None) -> None:
        """Add the entries of the version below that come before ``name`` (for None, all remaining ones)."""
        below = directory.below
        while directory.position < len(below) and (name is None or below[directory.position][0].name < name):
            entry, node = below[directory.position]
            directory.position += 1
            assert self._overlay is not None
            settled = self._overlay.settle(entry, node, directory.path)
            if settled is not None:
                directory.builder.add(settled)

    def _add(self, entry: EntryDraft) -> None:
        if self._loose is not None and len(self._directories) == 1:
            self._loose.append(entry)
            return
        directory = self._directories[-1]
        if directory.below:
            self._pass_below(directory, entry.name)
            if directory.position < len(directory.below) and directory.below[directory.position][0].name == entry.name:
                directory.position += 1
        directory.builder.add(entry)

    def _add_file(self, entry: FileEntry, stamp: FileStamp, ident: bytes, ref: Ref | None) -> None:
        self._add(_file_entry(entry, stamp, ident, ref))
        self._note_mode(entry.mode)
        self._count(1, stamp.size, entry.name)

    def _note_mode(self, mode: int) -> None:
        if not mode & stat.S_IROTH:
            self.private += 1
        if mode > MODE_BITS:
            self.special += 1

    def _count(self, files: int, size: int, name: bytes) -> None:
        self.files += files
        self.bytes += size
        if self._progress is not None:
            self._progress(self.files, self.bytes, name)

    def _add_small(self, entry: FileEntry, draft: FileDraft) -> None:
        if draft.error is not None or draft.stamp is None:
            self._problem(draft.error or changed(entry))
            return
        if len(draft.chunks) == 1:
            chunk = draft.chunks[0]
            ref = self._stager.chunk(chunk.id, chunk.size, chunk.encoded)
        else:
            builder = ListBuilder(self._stager)
            for chunk in draft.chunks:
                builder.add(self._stager.chunk(chunk.id, chunk.size, chunk.encoded), chunk.size)
            ref = builder.finish(draft.id)
        self._record(entry, draft.id, draft.stamp, draft.read_ns)
        self._add_file(entry, draft.stamp, draft.id, ref)

    def _add_link(self, link: LinkEntry) -> None:
        ident = content_id(link.text)
        ref = self._stager.chunk(ident, len(link.text), encode(link.text))
        mtime_ns = clamped_ns(link.mtime_ns)
        self._add(EntryDraft(link.name, Kind.LINK, len(link.text), ident, ref, mtime_ns, LINK_MODE))
        self._count(1, 0, link.name)

    def _leave(self) -> None:
        directory = self._directories.pop()
        if self._loose is not None and not self._directories:
            return
        self._pass_below(directory, None)
        ref = self._unchanged(directory) or directory.builder.finish()
        if directory.cache is not None and self._overlay is None:
            directory.cache.leave(ref.digest)
        mtime_ns = clamped_ns(directory.entered.mtime_ns)
        if self._directories:
            self._add(directory_entry(directory.path.rpartition(b"/")[2], ref, mtime_ns, directory.mode))
        else:
            self._root, self.mtime_ns, self.mode = ref, mtime_ns, directory.mode

    def _unchanged(self, directory: _Directory) -> Ref | None:
        """Return a directory that is unchanged since the last put, if the version before has it at its path."""
        if directory.cache is None or directory.builder.split or directory.earlier is None or self._overlay is not None:
            return None
        digest = directory.cache.unchanged_digest()
        form = None if digest is None else directory.earlier.whole(digest)
        if digest is None or form is None:
            return None
        directory.earlier.count_differing(directory.builder.discard())
        return self._stager.known_tree(form, digest)

    def _record(self, entry: FileEntry, ident: bytes, stamp: FileStamp, read_ns: int) -> None:
        """Add a file to the stat cache if it was read as the walk saw it."""
        cache = self._directories[-1].cache
        if cache is not None and stamp == entry.stamp:
            cache.record(entry, ident, read_ns)


def _file_entry(entry: FileEntry, stamp: FileStamp, ident: bytes, ref: Ref | None) -> EntryDraft:
    kind = Kind.EXECUTABLE if entry.mode & stat.S_IXUSR else Kind.FILE
    return EntryDraft(entry.name, kind, stamp.size, ident, ref, clamped_ns(stamp.mtime_ns), entry.mode & MODE_BITS)


def _combined(problems: list[SourceError]) -> SourceError:
    """Return one error that names all files which could not be taken."""
    first = problems[0]
    if len(problems) == 1:
        return first
    message = f"{first.message}, and {len(problems) - 1} more files could not be put"
    return type(first)(message, hint=first.hint, paths=[path for problem in problems for path in problem.paths])
