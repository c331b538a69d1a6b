"""The daemon's retention: every ten minutes, versions that expire are deleted, as by ``artfs rm``."""

from __future__ import annotations

import logging
from typing import Final

import trio

from artstore.errors import ArtfsError
from artstore.remotes.everywhere import retire
from artstore.store import Store

__all__ = ["Retaining"]

_EVERY_SECONDS: Final = 600.0
_FIRST_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Retaining:
    """Apply the retention rules of one workspace until cancelled, and continue after errors."""

    def __init__(
        self, store: Store, *, every_seconds: float = _EVERY_SECONDS, first_seconds: float = _FIRST_SECONDS
    ) -> None:
        self._store = store
        self._every = every_seconds
        self._first = first_seconds
        self._last_error = ""

    async def run(self) -> None:
        """Apply the rules shortly after the mount, and then at regular intervals."""
        await trio.sleep(self._first)
        while True:
            await trio.to_thread.run_sync(self._apply)
            await trio.sleep(self._every)

    def _apply(self) -> None:
        """Apply the rules once; an error is logged only when it differs from the last one."""
        if self._store.is_read_only:
            return  # the reaper reports it
        try:
            retired = retire(self._store)
        except (ArtfsError, OSError) as error:
            if str(error) != self._last_error:
                _log.warning("retention: %s", error)
            self._last_error = str(error)
            return
        except Exception:
            _log.exception("retention failed")
            return
        self._last_error = ""
        if retired.versions:
            _log.info("retention: deleted %s", ", ".join(retired.versions))
