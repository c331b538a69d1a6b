"""Notes of external objects that changed after they were pinned, for later queries of a version."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from artstore import beneath

__all__ = ["Failure", "Failures"]


class Failure(NamedTuple):
    """A reference that was found changed or gone: the id of its record, a sentence, and the Unix time."""

    ident: bytes
    message: str
    at: float


class Failures:
    """The notes of a workspace: one small file for each reference, which any process may write or remove."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._root = folder.parents[1]  # the workspace, for the folder lies in its `cache`
        self._mode = mode

    def note(self, ident: bytes, message: str) -> None:
        """Store the failure of a reference; a full disk is no error."""
        beside = self._folder / f".{ident.hex()}.{os.getpid()}.{threading.get_ident()}"
        with suppress(OSError):
            beneath.make_folders(self._root, self._folder)
            with open(beneath.open_file(self._root, beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(message.encode("utf-8", "surrogateescape"))
            beneath.rename(self._root, beside, self._folder / ident.hex())

    def forget(self, ident: bytes) -> None:
        """Remove the note of a reference that was found unchanged."""
        with suppress(OSError):
            beneath.remove(self._root, self._folder / ident.hex())

    def all(self) -> list[Failure]:
        """Return the notes, the oldest first."""
        failures = []
        with suppress(OSError):
            for name in beneath.names(self._root, self._folder):
                with (
                    suppress(OSError, ValueError),
                    open(beneath.open_file(self._root, self._folder / name), "rb") as file,
                ):
                    message = file.read().decode("utf-8", "surrogateescape")
                    failures.append(Failure(bytes.fromhex(name), message, os.fstat(file.fileno()).st_mtime))
        return sorted(failures, key=lambda failure: failure.at)
