"""Notes of external objects that changed after they were pinned, for later queries of a version."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

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
        self._mode = mode

    def note(self, ident: bytes, message: str) -> None:
        """Store the failure of a reference; a full disk is no error."""
        beside = self._folder / f".{ident.hex()}.{os.getpid()}.{threading.get_ident()}"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(message, "utf-8", "surrogateescape")
            beside.chmod(self._mode)
            beside.rename(self._folder / ident.hex())

    def forget(self, ident: bytes) -> None:
        """Remove the note of a reference that was found unchanged."""
        with suppress(OSError):
            os.unlink(self._folder / ident.hex())

    def all(self) -> list[Failure]:
        """Return the notes, the oldest first."""
        failures = []
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError, ValueError):
                    message = path.read_text("utf-8", "surrogateescape")
                    failures.append(Failure(bytes.fromhex(path.name), message, path.stat().st_mtime))
        return sorted(failures, key=lambda failure: failure.at)
