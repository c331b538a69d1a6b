"""The daemon's following of remotes: once a minute, what other machines have pushed appears under the mount."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import trio

from artstore.errors import ArtfsError
from artstore.rows.remotes import all_remotes
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.remotes.polling import Poller

__all__ = ["Following"]

_EVERY_SECONDS: Final = 60.0
_FIRST_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Following:
    """Read the logs of the remotes of one workspace on until cancelled, and continue after errors."""

    def __init__(
        self, store: Store, *, every_seconds: float = _EVERY_SECONDS, first_seconds: float = _FIRST_SECONDS
    ) -> None:
        self._store = store
        self._every = every_seconds
        self._first = first_seconds
        self._pollers: dict[bytes, Poller] = {}
        self._status: dict[bytes, dict[str, Any]] = {}

    async def run(self) -> None:
        """Read the logs shortly after the mount, and then at regular intervals."""
        await trio.sleep(self._first)
        while True:
            await trio.to_thread.run_sync(self._follow_all)
            await trio.sleep(self._every)

    def status(self) -> list[dict[str, Any]]:
        """Return, for each remote, when its log was last read, and why it could not be read since."""
        return [dict(each) for each in list(self._status.values())]

    def _follow_all(self) -> None:
        """Read each log on once; an error is logged only when it differs from the last one."""
        if self._store.is_read_only:
            return
        try:
            with self._store.snapshot() as snapshot:
                remotes = all_remotes(snapshot.transaction)
        except (ArtfsError, OSError) as error:
            _log.warning("remotes: %s", error)
            return
        for uuid in self._status.keys() - remotes.keys():
            self._status.pop(uuid, None)
            self._pollers.pop(uuid, None)
        for uuid, record in remotes.items():
            status = self._status.setdefault(uuid, {"name": record.name, "read_at": None, "error": ""})
            try:
                self._follow(uuid)
            except (ArtfsError, OSError) as error:
                if str(error) != status["error"]:
                    _log.warning("the remote %s: %s", record.name, error)
                status["error"] = str(error)
                self._pollers.pop(uuid, None)
            except Exception:
                _log.exception("following the remote %s failed", record.name)
            else:
                status["read_at"], status["error"] = time.time_ns(), ""

    def _follow(self, uuid: bytes) -> None:
        poller = self._pollers.get(uuid)
        if poller is None:
            from artstore.remotes.polling import Poller  # only where there is a remote

            poller = self._pollers[uuid] = Poller(self._store, uuid)
        changed = poller.poll()
        if changed:
            _log.info("remotes: %s changed", ", ".join(f"{each.directory}/{','.join(each.names)}" for each in changed))
