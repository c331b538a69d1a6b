"""A file of a version, opened for reading through the Python API."""

from __future__ import annotations

import errno
import io
from typing import Any

from artstore.errors import DamageError, NotFoundError
from artstore.interrupts import deferring
from artstore.reclaim.leases import Lease
from artstore.records.references import ReferenceRecord
from artstore.store import Store

__all__ = ["ContentFile"]


@deferring(without=("readable", "seekable", "seek", "tell"))
class ContentFile(io.RawIOBase):
    """A file of a version, opened for reading; seekable, verified as it is read, and good after a fork.

    It stays readable after its version is deleted, until it is closed.  With a ``reference`` (id, record) its bytes
    come from outside; reading raises `artstore.errors.OutsideError` if they are unavailable.
    """

    def __init__(
        self,
        store: Store,
        node: int,
        size: int,
        name: str,
        lease: Lease,
        mount: int,
        reference: tuple[bytes, ReferenceRecord] | None = None,
    ) -> None:
        """``mount`` is the version's mount serial: a purge gives the version another one."""
        super().__init__()
        self._mount = mount
        self._reference = reference
        self._lease = lease
        self._store = store
        self._node = node
        self._size = size
        self._position = 0
        self.name = name

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._size

    def close(self) -> None:
        """Close the file; a version that was deleted meanwhile can be reaped then."""
        if not self.closed:
            self._lease.close()
        super().close()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end; return the new position."""
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}.get(whence)
        if base is None or base + offset < 0:
            raise OSError(errno.EINVAL, "no such position in the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        self._check_open()
        return self._position

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the position; return how many bytes were read, 0 at the end."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        data = self._read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Return everything from the position to the end."""
        self._check_open()
        data = self._read_at(self._position, max(0, self._size - self._position))
        self._position += len(data)
        return data

    def parts(self, start: int, end: int) -> list[tuple[bytes, int, int]]:
        """Return (id, from, to) of the chunks of a range, in order: equal ids mean equal bytes.

        Empty if they are not known: what comes from outside, and what a clone has not yet read.
        """
        if self._reference is not None:
            return []
        try:
            with self._store.snapshot() as snapshot:
                return [(chunk.id, first, last) for chunk, first, last in snapshot.chunk_parts(self._node, start, end)]
        except DamageError:  # raised when it is read
            return []

    def _read_at(self, offset: int, size: int) -> bytes:
        if self._reference is not None:
            return b"".join(self._store.outside.read(*self._reference, offset, size))
        try:
            with self._store.snapshot() as snapshot:
                return snapshot.read(self._node, offset, size)
        except DamageError as error:
            with self._store.snapshot() as snapshot:
                is_purged = snapshot.version_of_mount(self._mount) is None
            if is_purged:  # the lease keeps a version from being reaped, but not its content from being purged
                raise NotFoundError(f"{self.name!r} was open while its version was purged") from error
            raise
