"""The daemon's second process: it answers on the control socket while the workers serve the kernel.

It listens before any worker serves, so that an invalidation can reach the mount whenever something is cached.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import trio

from artfs.mount.counters import Counters, Field, WorkerCounts
from artstore.daemon_requests import Change, PurgedEntry, peer, peer_groups
from artstore.errors import ArtfsError
from artstore.mount_leases import DeletedVersion

__all__ = ["Following", "Forgetting", "Reaping", "Releasing", "Relief", "Retaining", "Supervisor", "memory_of"]

_LONGEST_LINE = 4 << 20
_PATIENCE_SECONDS = 5.0
_ASKING_SECONDS, _ANSWER_SECONDS = 0.8, 1.1
"""Time to query the kernel for versions in use, and time until a partial answer is sent; clients wait 1.5 s."""
_OWN = frozenset({"unmount"})
_LOOK_SECONDS, _SECOND_LOOK_SECONDS = 1.0, 0.2


class Forgetting(Protocol):
    """Make the kernel drop cached entries; all methods are called in threads."""

    def apply(self, changes: list[Change]) -> None:
        """Drop entries that a change above versions has made stale."""

    def settle(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        """Add to ``free`` the serials of deleted versions that are in use nowhere under the mount."""

    def purge(self, entries: Sequence[PurgedEntry]) -> None:
        """Drop purged bytes and names."""


class Relief(Protocol):
    """Keep requests from waiting for a worker that is stuck."""

    def look(self) -> bool:
        """Relieve if needed; return whether requests wait, so that the next check should be soon."""


class Reaping(Protocol):
    """Reap in the background."""

    async def run(self) -> None:
        """Reap until cancelled."""

    def wake(self) -> None:
        """Look at the deadlist soon."""

    def status(self) -> dict[str, Any]:
        """Return the state and the counts, ready for JSON."""


def memory_of(pid: int) -> int | None:
    """Return a process's anonymous memory in bytes (Pss_Anon), or None if the system does not report it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    match = re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


class Retaining(Protocol):
    """Delete expired versions in the background."""

    async def run(self) -> None:
        """Apply the rules at regular intervals until cancelled."""


class Following(Protocol):
    """Read the logs of remotes on in the background."""

    async def run(self) -> None:
        """Read at regular intervals until cancelled."""

    def status(self) -> list[dict[str, Any]]:
        """Return when each remote was last read, and what failed, ready for JSON."""


class Releasing(Protocol):
    """Release leases of deleted versions in the background."""

    async def run(self) -> None:
        """Release at regular intervals until cancelled."""


class Supervisor:
    """Answer requests on the control socket, and run the reaper and retention concurrently.

    ``unmount`` asks the zygote to unmount and returns 0 or the kernel's number; it is called from a thread.
    ``uid`` and root may request everything, members of ``group`` everything but that.
    """

    def __init__(
        self,
        *,
        description: dict[str, Any],
        counters: Counters,
        forgetting: Forgetting,
        reaping: Reaping,
        retaining: Retaining,
        following: Following,
        releasing: Releasing,
        relief: Relief,
        unmount: Callable[[bool], int],
        uid: int,
        group: int | None = None,
    ) -> None:
        self._description = description
        self._counters = counters
        self._forgetting = forgetting
        self._reaping = reaping
        self._retaining = retaining
        self._following = following
        self._releasing = releasing
        self._relief = relief
        self._unmount = unmount
        self._uid = uid
        self._group = group
        self._zygote = trio.Lock()
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "invalidate": self._answer_invalidate,
            "in_use": self._answer_in_use,
            "purged": self._answer_purged,
            "status": self._answer_status,
            "unmount": self._answer_unmount,
        }

    async def serve(self, listener: socket.socket) -> None:
        """Answer on a bound and listening Unix socket, and reap, until cancelled."""
        listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reaping.run)
            nursery.start_soon(self._retaining.run)
            nursery.start_soon(self._following.run)
            nursery.start_soon(self._releasing.run)
            nursery.start_soon(self._relieve)
            await trio.serve_listeners(self._converse, [listening])

    async def _relieve(self) -> None:
        """Check whether requests wait and no worker takes them."""
        while True:
            waiting = self._relief.look()
            await trio.sleep(_SECOND_LOOK_SECONDS if waiting else _LOOK_SECONDS)

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Answer one request; an incomplete one, or one from another user, is closed without an answer."""
        line = None
        try:
            connection = cast(socket.socket, stream.socket)
            is_own = peer(connection).uid in (self._uid, 0)
            if not is_own and (self._group is None or self._group not in peer_groups(connection)):
                return
            with trio.move_on_after(_PATIENCE_SECONDS):
                line = await self._read_line(stream)
            if line is None:
                return
            answer = await self._answer(line, is_own)
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

    async def _answer(self, line: bytes, is_own: bool) -> dict[str, Any]:
        try:
            message = json.loads(line)
            operation = message["op"]
            if operation in _OWN and not is_own:
                return {"ok": False, "errno": errno.EPERM, "error": f"only the mount's user and root may {operation}"}
            if operation in self._operations:
                return {"ok": True, **await self._operations[operation](message)}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"ok": False, "errno": errno.EINVAL, "error": "the request is malformed"}
        except (ArtfsError, OSError) as error:
            return {"ok": False, "errno": errno.EIO, "error": str(error)}
        return {"ok": False, "errno": errno.ENOSYS, "error": f"there is no operation {operation!r}"}

    async def _answer_invalidate(self, message: dict[str, Any]) -> dict[str, Any]:
        changes = [Change(str(directory), [str(name) for name in names]) for directory, names in message["changes"]]
        await trio.to_thread.run_sync(self._forgetting.apply, changes)
        self._reaping.wake()
        return {}

    async def _answer_in_use(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return which of the given deleted versions are in use, or may be because the check ran out of time."""
        versions = [DeletedVersion(*map(int, version)) for version in message["versions"]]
        free: set[int] = set()
        settle = partial(self._forgetting.settle, versions, free, seconds=_ASKING_SECONDS)
        with trio.move_on_after(_ANSWER_SECONDS):
            await trio.to_thread.run_sync(settle, abandon_on_cancel=True)
        return {"in_use": [version.serial for version in versions if version.serial not in free]}

    async def _answer_purged(self, message: dict[str, Any]) -> dict[str, Any]:
        entries = [
            PurgedEntry(int(mount), int(directory), int(ordinal), name.encode("utf-8", "surrogateescape"))
            for mount, directory, ordinal, name in message["entries"]
        ]
        await trio.to_thread.run_sync(self._forgetting.purge, entries)
        return {}

    async def _answer_status(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"status": await trio.to_thread.run_sync(self.status)}

    async def _answer_unmount(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._zygote:
            number = await trio.to_thread.run_sync(self._unmount, bool(message.get("lazy")))
        return {"ok": False, "errno": number, "error": os.strerror(number)} if number else {}

    def status(self) -> dict[str, Any]:
        """Return the daemon's description, its reaper's state, and the counts and memory of each serving process."""
        slots = range(self._counters.slots)
        workers = [
            self._process(self._counters.slot(slot))
            for slot in slots
            if self._counters.slot(slot).get(Field.STARTED_NS)
        ]
        lane = self._counters.lane
        return {
            **self._description,
            "workers": workers,
            "lane": self._process(lane) if lane.get(Field.STARTED_NS) else None,
            "reaper": self._reaping.status(),
            "remotes": self._following.status(),
        }

    @staticmethod
    def _process(counts: WorkerCounts) -> dict[str, Any]:
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
            "cache_hits": counts.get(Field.CACHE_HITS),
            "cache_misses": counts.get(Field.CACHE_MISSES),
            "verification_failures": counts.get(Field.VERIFICATION_FAILURES),
            "memory_bytes": memory_of(pid),
        }
