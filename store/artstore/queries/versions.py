"""`Version`: the Python object of a version.  A plain value over the store: it pickles, forks and spawns."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from artstore.arguments import check_codec, listed_paths, shown_value, whole_number
from artstore.clock import utc
from artstore.errors import (
    DamageError,
    InvalidInputError,
    IsFolderError,
    MountError,
    NotFolderError,
    NotFoundError,
    RefusedError,
)
from artstore.interrupts import deferring
from artstore.names import is_pending, version_label
from artstore.queries.batches import FileBatches, StoredFile, stored_files
from artstore.queries.content_file import ContentFile
from artstore.queries.descriptions import description_of, metadata_of, tags_of
from artstore.queries.memory_file import MemoryFile
from artstore.queries.paths import clean, find
from artstore.queries.receipts import PutReceipt
from artstore.reclaim.leases import Lease
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import ChunkRecord, decode_chunk
from artstore.records.trees import Kind, TreeEntry
from artstore.rows.directories import LivingVersion
from artstore.rows.snapshot import Snapshot
from artstore.rows.trees import check_directory, entries_from
from artstore.store import Store
from artstore.values import value_class

if TYPE_CHECKING:
    from artstore.queries.difference import Difference

__all__ = ["FileInfo", "PutReceipt", "Version", "kind_name"]


_BUFFER_BYTES = 128 * 1024


@value_class
class FileInfo:
    """One entry of a directory; ``kind`` is file, directory or link, ``digest`` the hex BLAKE3 of content or tree.

    ``mode`` has the permission bits that it was put with.
    """

    name: str
    kind: str
    size: int
    digest: str
    executable: bool
    link_target: str | None
    mtime: datetime
    mode: int
    is_reference: bool = False
    """Whether it is a file whose bytes stay outside; ``digest`` is then that of the reference record."""


def kind_name(kind: Kind) -> str:
    """Return file, directory or link."""
    return {Kind.DIRECTORY: "directory", Kind.LINK: "link"}.get(kind, "file")


@deferring("tags", "aliases", "path")
class Version:
    """One version of an artifact: its record, and reading below it.

    Paths inside are ``str`` (surrogateescape for names that are not UTF-8) or ``bytes``, relative, with ``/``.
    """

    __slots__ = ("_artifact", "_record", "_store", "_type", "receipt")

    def __init__(
        self,
        store: Store,
        artifact: str,
        record: VersionRecord,
        type_name: str | None,
        receipt: PutReceipt | None = None,
    ) -> None:
        self._store = store
        self._artifact = artifact
        self._record = record
        self._type = type_name
        self.receipt = receipt

    def __repr__(self) -> str:
        return f"<Version {self.name} {self.digest[:12]}>"

    def __eq__(self, other: object) -> bool:
        # Copies of a workspace have one uuid, and give the same serials to other versions.
        return (
            isinstance(other, Version)
            and self._store.uuid == other._store.uuid
            and self._record.serial == other._record.serial
            and self._record.created_ns == other._record.created_ns
            and self._record.form == other._record.form
        )

    def __hash__(self) -> int:
        return hash((self._store.uuid, self._record.serial))

    def __getstate__(self) -> tuple[Any, ...]:
        return (self._store, self._artifact, self._record, self._type, self.receipt)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._store, self._artifact, self._record, self._type, self.receipt = state

    @property
    def record(self) -> VersionRecord:
        """The record as it was when this object was made."""
        return self._record

    @property
    def artifact(self) -> str:
        """The artifact's full name."""
        return self._artifact

    @property
    def number(self) -> int:
        """3 for v3, and 2**30 + 1 for p1: see `is_pending`."""
        return self._record.number

    @property
    def name(self) -> str:
        """``NAME:v3``."""
        return f"{self._artifact}:{version_label(self._record.number)}"

    @property
    def is_pending(self) -> bool:
        """Whether it belongs to a remote that has not given it a number yet, as when it was put offline."""
        return is_pending(self._record.number)

    @property
    def digest(self) -> str:
        """The digest of the content, hex: the same for the same content on any machine."""
        return self._record.digest.hex()

    def compare(self, other: Version) -> Difference:
        """Return the changes that lead from this version to another one of the workspace, sorted by path.

        Takes time proportional to the difference.  Raises `InvalidInputError` for a version of another workspace, and
        `NotFoundError` if one of the two is gone.
        """
        from artstore.queries.difference import compare
        from artstore.queries.resolving import tree_of

        if not isinstance(other, Version):
            raise InvalidInputError(f"a version is compared with a version, not with {type(other).__name__}")
        if other._store.uuid != self._store.uuid:
            raise InvalidInputError(f"{self.name} and {other.name} belong to two workspaces")
        names = self.name, other.name
        return self._store.confirmed(lambda store: compare(store, *(tree_of(store, name) for name in names)))

    def is_proved(self) -> bool:
        """Return whether the records of the version hash to its digest, as `artstore.queries.proof` describes."""
        from artstore.queries.proof import hashes_to

        return hashes_to(self._store, self._record.root, self._record.digest)

    @property
    def type(self) -> str | None:
        """The artifact's type, None until one was given."""
        return self._type

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of the metadata; those of a version that only a remote has are fetched by the first use."""
        return deepcopy(metadata_of(self._store, self._record))

    @property
    def description(self) -> str:
        """The version's description."""
        return description_of(self._store, self._record)

    @property
    def tags(self) -> list[str]:
        """The tags at this moment, sorted."""
        return tags_of(self._store, self._record)

    @property
    def aliases(self) -> list[str]:
        """The current aliases, sorted; they include ``latest`` if it applies."""
        with self._store.snapshot() as snapshot:
            names = [
                alias.name
                for alias in snapshot.aliases_of(self._record.artifact)
                if alias.version == self._record.number
            ]
            latest = snapshot.latest(self._record.artifact)
        if latest is not None and latest.serial == self._record.serial:
            names.append("latest")
        return sorted(names)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._record.bytes

    @property
    def file_count(self) -> int:
        """Number of files and links."""
        return self._record.files

    @property
    def new_bytes(self) -> int:
        """Stored bytes that the put of this version added."""
        return self._record.new_bytes

    @property
    def origin(self) -> dict[str, Any]:
        """Where it comes from: ``user``, ``host``, ``command`` and ``folder`` of the process that made it.

        Of a folder in a git repository also ``commit`` and ``dirty``, None if unknown.  {} if nothing was recorded.
        """
        return dict(self._record.origin)

    @property
    def base(self) -> str | None:
        """The version that this one was laid over, as ``NAME:vN``."""
        return self._record.base

    @property
    def state(self) -> str:
        """``live`` or ``deleted``."""
        return self._record.state

    @property
    def created_at(self) -> datetime:
        """When it was committed, UTC."""
        return utc(self._record.created_ns)

    @property
    def undeletable_until(self) -> datetime | None:
        """Until when at least a deleted version can be undeleted; None for a living one."""
        return utc(self._record.due_ns) if self._record.due_ns else None

    @property
    def purged(self) -> list[dict[str, Any]]:
        """The contents that were purged from the version, with time and reason."""
        return deepcopy(self._record.purged)

    def _living(self, snapshot: Snapshot) -> LivingVersion:
        """Return the version's root and mount serial as of a snapshot: a purge gives it others."""
        found = snapshot.living_version(self._record.serial)
        if found is None:
            raise NotFoundError(f"{self.name} has been deleted")
        return found

    def _find(self, snapshot: Snapshot, path: str | bytes, *, follow: bool = True) -> tuple[bytes, TreeEntry | None]:
        """Return (path, entry) behind links; the entry is None for the root.

        Without ``follow``, a link at the end of the path is what is found.
        """
        return find(snapshot, self.name, self._living(snapshot).root, clean(path), follow=follow)

    @property
    def path(self) -> Path:
        """The version's folder on a mount that this process can reach; it is good as long as the mount is.

        ``os.fspath(version)`` is the same.  Raises `MountError` if no mount shows the version.
        """
        from artstore.queries.mounted import mounted_folder

        folder = mounted_folder(self._store, self._artifact, self._record.number)
        if folder is None:
            raise MountError(
                f"no mount that this process can reach shows {self.name}",
                hint="mount the workspace: artfs mount DIR; without a mount, open() reads a file and get() copies all",
            )
        return folder

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @overload
    def open(
        self, path: str | bytes, mode: Literal["rb"] = "rb", *, encoding: None = None, errors: None = None
    ) -> io.BufferedReader: ...
    @overload
    def open(
        self, path: str | bytes, mode: Literal["r", "rt"], *, encoding: str | None = None, errors: str | None = None
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self, path: str | bytes, mode: str = "rb", *, encoding: str | None = None, errors: str | None = None
    ) -> IO[Any]: ...
    def open(
        self, path: str | bytes, mode: str = "rb", *, encoding: str | None = None, errors: str | None = None
    ) -> IO[Any]:
        """Open a file for reading, verified and seekable: its bytes, or with ``r``, ``rt`` or an encoding its text.

        Text is UTF-8 unless ``encoding`` names another one.  Raises `NotFoundError`, `IsFolderError` for a
        directory, and `RefusedError` for a mode that writes.
        """
        is_text = mode in ("r", "rt") or encoding is not None or errors is not None
        if mode not in ("r", "rt", "rb", "br", "tr"):
            if isinstance(mode, str) and set(mode) & set("wax+"):
                raise RefusedError(
                    f"{self.name} is a version and cannot be written",
                    hint="put a changed folder, or change a draft: drafts.new(name, base='latest')",
                )
            raise InvalidInputError(f"the mode must be 'rb' for bytes or 'r' for text, not {shown_value(mode)}")
        if is_text:
            check_codec(encoding or "utf-8", errors or "strict")
        file = self._opened(path)
        return io.TextIOWrapper(file, encoding or "utf-8", errors) if is_text else file

    def _opened(self, path: str | bytes) -> io.BufferedReader:
        lease = Lease(self._store, self._record.serial)  # first: nodes found afterwards cannot be reaped
        with self._store.snapshot() as snapshot:
            chunk, name = self._chunk(snapshot, path)
            if chunk is not None and chunk.size <= _BUFFER_BYTES:
                with suppress(DamageError):  # raised when it is read
                    file = MemoryFile(snapshot.read_chunk(chunk), name, lease)
                    return io.BufferedReader(file, max(chunk.size, 1))
            entry = self._file(snapshot, path)[1]
            mount = self._living(snapshot).mount
            reference = None
            if entry.kind is Kind.REFERENCE:
                reference = snapshot.identity(entry.node), snapshot.reference(entry.node)
        content = ContentFile(self._store, entry.node, entry.size, name, lease, mount, reference)
        return io.BufferedReader(content, min(max(entry.size, 1), _BUFFER_BYTES))

    def _chunk(self, snapshot: Snapshot, path: str | bytes) -> tuple[ChunkRecord | None, str]:
        """Return (chunk, path behind links) of a file, None if it is not one stored chunk; raise what `_file` raises.

        The chunk of a path that was looked up before is known until something is committed.
        """
        known = snapshot.directories
        serial = self._record.serial
        if isinstance(path, str):
            payload = known.file(serial, path)
            if payload is not None:
                return decode_chunk(payload), path
        found, entry = self._file(snapshot, path)
        where = os.fsdecode(found)
        if entry.kind is Kind.REFERENCE:
            return None, where
        try:
            chunk, record = snapshot.chunk(entry.node)
        except DamageError:  # raised when it is read
            return None, where
        if chunk is None or chunk.size != entry.size:
            return None, where
        if where == path:
            known.keep_file(serial, where, record)
        return chunk, where

    def _file(self, snapshot: Snapshot, path: str | bytes) -> tuple[bytes, TreeEntry]:
        """Return (path, entry) of a file; raise `IsFolderError` for a directory."""
        where, entry = self._find(snapshot, path)
        if entry is None or entry.kind is Kind.DIRECTORY:
            place = f"{self.name}/{os.fsdecode(where)}".rstrip("/")
            raise IsFolderError(f"{place} is a folder", hint=f"name a file in it; list them: artfs ls {place}")
        return where, entry

    def read_bytes(self, path: str | bytes) -> bytes:
        """Return the content of a file, verified; raises what `open` raises."""
        with self._store.snapshot() as snapshot:
            chunk = self._chunk(snapshot, path)[0]
            if chunk is not None:
                return snapshot.read_chunk(chunk)
            entry = self._file(snapshot, path)[1]
            if entry.kind is not Kind.REFERENCE:
                return snapshot.read(entry.node, 0, entry.size)
        with self._opened(path) as file:  # what lies outside is not fetched in a snapshot
            return file.read()

    def read_many(self, paths: Iterable[str | bytes] | str | bytes) -> Iterator[tuple[str | bytes, bytes]]:
        """Yield (path, content) of each of ``paths``, in their order; it reads them in the order of the packs.

        That is quicker than `read_bytes` for each, most of all from a disk.  Up to 256 files or 16 MiB are read at a
        time and held in memory; ``paths`` may be any iterable, and is consumed up to two such batches ahead.  Each
        content is verified.  Raises at a path what `read_bytes` raises for it, after the paths before it; a path may
        come several times.
        """
        node = lambda snapshot, path: self._file(snapshot, path)[1].node  # noqa: E731
        batches = FileBatches(self._store, self._chunk, node, self.read_bytes)
        yield from batches.contents(listed_paths(paths, "paths"))

    def read_text(self, path: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the content of a file as text."""
        check_codec(encoding, errors)
        return self.read_bytes(path).decode(encoding, errors)

    def stat(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> FileInfo:
        """Describe the file or directory at a path; a link at its end is followed, or described itself."""
        with self._store.snapshot() as snapshot:
            _, entry = self._find(snapshot, path, follow=follow_symlinks)
            if entry is None:
                return FileInfo(
                    "", "directory", self.size, self.digest, False, None, utc(self._record.mtime_ns), self._record.mode
                )
            return self._info(snapshot, entry)

    def listdir(self, path: str | bytes = "", *, start: int = 0, limit: int | None = None) -> list[FileInfo]:
        """Describe the entries of a directory, in name order; links are not followed.

        With ``start`` the first entries are left out, and with ``limit`` at most so many are described, in time
        proportional to these.
        """
        start = whole_number(start, "start")
        limit = None if limit is None else whole_number(limit, "limit")
        with self._store.snapshot() as snapshot:
            where, entry = self._find(snapshot, path)
            if entry is not None and entry.kind != Kind.DIRECTORY:
                raise NotFolderError(f"{self.name}/{os.fsdecode(where)} is a file, not a folder")
            node = self._living(snapshot).root if entry is None else entry.node
            entries = islice(entries_from(snapshot.tree, node, start), limit)
            return [self._info(snapshot, child) for child, _ in entries]

    def _info(self, snapshot: Snapshot, entry: TreeEntry) -> FileInfo:
        kind = kind_name(entry.kind)
        target = os.fsdecode(snapshot.read(entry.node, 0, entry.size)) if entry.kind == Kind.LINK else None
        when = utc(entry.mtime_ns)
        digest = snapshot.identity(entry.node).hex()
        executable, is_reference = entry.kind == Kind.EXECUTABLE, entry.kind == Kind.REFERENCE
        return FileInfo(
            os.fsdecode(entry.name), kind, entry.size, digest, executable, target, when, entry.mode, is_reference
        )

    def stored_files(self, path: str | bytes = "") -> Iterator[StoredFile]:
        """Yield every file below a directory, folder by folder in name order, with where it is stored.

        Sorted by ``pack`` and ``offset`` they are in the order in which a disk reads them fastest.  A link that leads
        to a file is one; a link to a directory is not followed.
        """
        for where, _, names in self.walk(path):
            with self._store.snapshot() as snapshot:
                files = stored_files(snapshot, where, names, self._file)
            yield from files

    def read_ahead(self, files: Iterable[StoredFile]) -> None:
        """Ask the disk for files from `stored_files` that are read soon, without waiting; only a hint."""
        places = []
        for file in files:
            if not isinstance(file, StoredFile):
                raise InvalidInputError(f"the files must be those of stored_files(), not {shown_value(file)}")
            places.append((file.pack, file.offset, file.size))
        self._store.reader.ask_for(place for place in places if place[0])

    def walk(self, path: str | bytes = "") -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield (directory, its subdirectories, its files and links) from a directory down, like `os.walk`.

        Directories are relative to the version, "" for its root.  The list of subdirectories may be pruned.
        """
        with self._store.snapshot() as snapshot:
            where, entry = self._find(snapshot, path)
            if entry is not None and entry.kind != Kind.DIRECTORY:
                return
            root = self._living(snapshot).root
            node = root if entry is None else entry.node
        stack = [(where, node, 0 if entry is None else entry.inodes)]
        while stack:
            where, node, count = stack.pop()
            with self._store.snapshot() as snapshot:
                if self._living(snapshot).root != root:  # it was purged meanwhile, and its directories are others
                    try:
                        place = self._find(snapshot, where)[1]
                    except NotFoundError:
                        continue
                    node, count = (self._living(snapshot).root, 0) if place is None else (place.node, place.inodes)
                if count:
                    check_directory(snapshot.tree(node), count)
                children = [child for child, _ in entries_from(snapshot.tree, node)]
            below = {os.fsdecode(child.name): child for child in children if child.kind == Kind.DIRECTORY}
            directories = list(below)
            yield os.fsdecode(where), directories, [os.fsdecode(c.name) for c in children if c.kind != Kind.DIRECTORY]
            stack += [
                (
                    where + b"/" + os.fsencode(name) if where else os.fsencode(name),
                    below[name].node,
                    below[name].inodes,
                )
                for name in reversed(directories)
                if name in below
            ]
