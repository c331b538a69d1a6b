"""Long work of a page: it runs in a thread, and a page that comes again shows how far it is."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from artstore.errors import BusyError, NotFoundError

if TYPE_CHECKING:
    from artstore.progress import Progress

__all__ = ["Job", "Jobs", "Unfinished"]

_KEPT: Final = 8
_AT_ONCE: Final = 2


class Unfinished(Exception):
    """The work of a page goes on; ``address`` is that of a page which shows how far it is, and then the result."""

    def __init__(self, job: Job, address: str) -> None:
        super().__init__(job.title)
        self.job = job
        self.address = address


class Job:
    """One piece of work: ``result`` or ``error`` when it has ended, ``progress`` before.

    ``unit`` is what `Progress.files_done` counts.
    """

    def __init__(self, title: str, target: str, unit: str = "files") -> None:
        self.title = title
        self.target = target
        """The address of the page of its result."""
        self.unit = unit
        self._ended = threading.Event()
        self.begun = time.monotonic()
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, or ends within some seconds."""
        return self._ended.wait(seconds)

    def run(self, work: Callable[[Job], Any]) -> None:
        """Do the work, and keep what it returns or raises."""
        try:
            self.result = work(self)
        except Exception as error:  # shown on the page
            self.error = error
        self._ended.set()

    def tell(self, progress: Progress) -> None:
        """Note how far the work is."""
        self.progress = progress


class Jobs:
    """The jobs of one server, the last few of them."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, title: str, page: str, work: Callable[[Job], Any], unit: str = "files") -> str:
        """Start work in a thread; return its id.  Raises `BusyError` while two others run."""
        key = secrets.token_hex(8)
        job = Job(title, page, unit)
        with self._lock:
            if sum(not each.is_done for each in self._jobs.values()) >= _AT_ONCE:
                raise BusyError(f"{_AT_ONCE} such pages are being made already", hint="try again when one is there")
            self._jobs[key] = job
            for old in [each for each, ended in self._jobs.items() if ended.is_done][: len(self._jobs) - _KEPT]:
                del self._jobs[old]
        threading.Thread(target=job.run, args=(work,), daemon=True).start()
        return key

    def get(self, key: str) -> Job:
        """Return a job; raise `NotFoundError` if it is unknown or was dropped."""
        with self._lock:
            if key not in self._jobs:
                raise NotFoundError("there is no such work any more", hint="start it again")
            return self._jobs[key]
