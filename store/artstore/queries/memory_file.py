"""A small file of a version, opened for reading through the Python API: all of it is in memory."""

from __future__ import annotations

import io
from typing import Any, NoReturn

from artstore.interrupts import deferring
from artstore.reclaim.leases import Lease

__all__ = ["MemoryFile"]


@deferring(without=("readall", "truncate", "writable", "write", "writelines"))
class MemoryFile(io.BytesIO):
    """The verified content of a file of a version, read-only; it keeps the version's lease until it is closed."""

    __slots__ = ("_lease", "name", "size")

    def __init__(self, content: bytes, name: str, lease: Lease) -> None:
        super().__init__(content)
        self._lease = lease
        self.name = name
        self.size = len(content)
        """The number of bytes."""

    def close(self) -> None:
        """Close the file; a version that was deleted meanwhile can be reaped then."""
        self._lease.close()
        super().close()

    def readall(self) -> bytes:
        """Return everything from the position to the end."""
        return self.read()

    def writable(self) -> bool:
        """Return False."""
        return False

    def write(self, _data: Any) -> NoReturn:
        """Raise `io.UnsupportedOperation`, as every method that would change the content does."""
        raise io.UnsupportedOperation("write")

    def writelines(self, _lines: Any) -> NoReturn:
        """Raise `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("write")

    def truncate(self, _size: int | None = None) -> NoReturn:
        """Raise `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("truncate")
