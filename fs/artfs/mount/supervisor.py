"""The daemon's second process: it answers on the control socket while the workers serve the kernel.

It listens before any worker serves, so that there is never something cached that nobody can be told to forget.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import trio

from artfs.mount import inodes
from artfs.mount.counters import Counters, Field
from artfs.mount.notifications import invalidate_entry, invalidate_inode
from artstore.errors import ArtfsError
from artstore.live import Change, peer
from artstore.snapshot import Snapshot

__all__ = ["Invalidator", "Supervisor", "memory_of"]

_LONGEST_LINE = 4 << 20
_PATIENCE_SECONDS = 5.0
_LATEST = "latest"


class SnapshotSource(Protocol):
    """Be what is needed of a store to find the numbers of names."""

    def snapshot(self) -> Any:
        """Return a context manager of a Snapshot."""


class Invalidator:
    """Make the kernel forget what a change of the catalogue has made stale."""

    def __init__(self, source: SnapshotSource, device: int) -> None:
        self._source = source
        self._device = device

    def apply(self, changes: list[Change]) -> None:
        """Invalidate, for each changed name, its entry and the data of the directory inode that lists it.

        Runs in a thread of its own, for it may wait for a look-up under way; the names are looked up first, and no
        transaction is open while it waits.
        """
        with self._source.snapshot() as snapshot:
            parents = [(_parent_of(snapshot, change.directory), change) for change in changes]
        for parent, change in parents:
            if parent is None:
                continue
            for name in dict.fromkeys([*change.names, _LATEST] if change.directory else change.names):
                invalidate_entry(self._device, parent, name.encode("utf-8", "surrogateescape"))
            invalidate_inode(self._device, parent)


def _parent_of(snapshot: Snapshot, directory: str) -> int | None:
    """Return the inode of a full name; None if the name is gone, whose own entry is then among the changes."""
    if not directory:
        return inodes.ROOT
    found = snapshot.name_number(directory)
    if found is None:
        return None
    number, is_artifact = found
    return inodes.artifact(number) if is_artifact else inodes.project(number)


def memory_of(pid: int) -> int | None:
    """Return a process's anonymous memory in bytes (Pss_Anon), or None if the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class Supervisor:
    """Answer requests on the control socket.

    ``unmount`` asks the zygote to unmount and returns 0 or the kernel's number; it is called from a thread.
    """

    def __init__(
        self,
        *,
        description: dict[str, Any],
        counters: Counters,
        invalidate: Callable[[list[Change]], None],
        unmount: Callable[[bool], int],
        uid: int,
    ) -> None:
        self._description = description
        self._counters = counters
        self._invalidate = invalidate
        self._unmount = unmount
        self._uid = uid
        self._zygote = trio.Lock()

    async def serve(self, listener: socket.socket) -> None:
        """Answer on a bound and listening Unix socket until cancelled."""
        listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        await trio.serve_listeners(self._converse, [listening])

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Answer one request; one that breaks off, or comes from another user, is let go without a word."""
        line = None
        try:
            if peer(cast(socket.socket, stream.socket)).uid not in (self._uid, 0):
                return
            with trio.move_on_after(_PATIENCE_SECONDS):
                line = await self._read_line(stream)
            if line is None:
                return
            answer = await self._answer(line)
            with trio.move_on_after(_PATIENCE_SECONDS):
                await stream.send_all(json.dumps(answer).encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _read_line(self, stream: trio.SocketStream) -> bytes | None:
        received = b""
        while not received.endswith(b"\n"):
            data = await stream.receive_some(65536)
            if not data or len(received) > _LONGEST_LINE:
                return None
            received += data
        return received

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
            operation = message["op"]
            if operation == "invalidate":
                changes = [
                    Change(str(directory), [str(name) for name in names]) for directory, names in message["changes"]
                ]
                await trio.to_thread.run_sync(self._invalidate, changes)
                return {"ok": True}
            if operation == "status":
                return {"ok": True, "status": await trio.to_thread.run_sync(self.status)}
            if operation == "unmount":
                return await self._answer_unmount(bool(message.get("lazy")))
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "errno": errno.EINVAL, "error": "the request is malformed"}
        except (ArtfsError, OSError) as error:
            return {"ok": False, "errno": errno.EIO, "error": str(error)}
        return {"ok": False, "errno": errno.ENOSYS, "error": f"there is no operation {operation!r}"}

    async def _answer_unmount(self, lazy: bool) -> dict[str, Any]:
        async with self._zygote:
            number = await trio.to_thread.run_sync(partial(self._unmount, lazy))
        if number:
            return {"ok": False, "errno": number, "error": os.strerror(number)}
        return {"ok": True}

    def status(self) -> dict[str, Any]:
        """Return the daemon's description and, for each worker slot, its counts and memory, ready for JSON."""
        return {**self._description, "workers": [self._worker(slot) for slot in range(self._counters.slots)]}

    def _worker(self, slot: int) -> dict[str, Any]:
        counts = self._counters.slot(slot)
        pid = counts.get(Field.PID)
        return {
            "pid": pid,
            "started_at": counts.get(Field.STARTED_NS),
            "restarts": counts.get(Field.RESTARTS),
            "requests": counts.get(Field.REQUESTS),
            "lookups": counts.get(Field.LOOKUPS),
            "reads": counts.get(Field.READS),
            "bytes": counts.get(Field.BYTES),
            "errors": counts.get(Field.ERRORS),
            "memory_bytes": memory_of(pid),
        }
