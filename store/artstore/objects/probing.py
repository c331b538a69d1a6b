"""The probe of an object store: whether it keeps the promises of `artstore.objects.protocol`, tried on the real place.

Threads race creates of one name, create it once more, read and list it at once, delete it and create it again.  A probe
can refute a promise and never prove one; most stores that break one do so at once when they are asked in parallel.
Its objects lie below ``probe/`` and are removed at the end, and by a later probe if this one is killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from artstore.errors import InvalidInputError, OutsideError, RefusedError, UnsupportedError
from artstore.objects.failures import (
    BrokenPromiseError,
    NoRightError,
    ObjectMissingError,
    UnknownOutcomeError,
    UnreachableError,
    WrongAnswerError,
)
from artstore.objects.protocol import PROBES, ObjectInfo, ObjectStore

__all__ = ["PROMISES", "READING", "Probe", "Verdict", "probe"]

Verdict = Literal["writable", "read-only", "refused"]
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

PROMISES: Final = {
    "lists": "a list has the names in order, each once, and none from outside the prefix",
    "missing": "a missing object is distinguished from a missing right",
    "one winner": "of creates of one name that race, one succeeds",
    "immutable": "a create never replaces an object",
    "reads": "an object that was created is read by every later request",
    "listed": "an object that was created is in every later list",
    "ranges": "a range has exactly its bytes",
    "deletes": "an object that was deleted is missing afterwards",
    "names": "a name whose object was deleted can be created again",
}
"""What each promise says; a document of a probe names those that are broken."""
READING: Final = frozenset({"lists", "missing", "ranges"})
"""Promises without which a store is of no use for reading either."""
_OLD_SECONDS: Final = 3600.0
_THREADS: Final = 16
_ROUNDS: Final = 20
_SECONDS: Final = 120.0
_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found.

    ``date`` is in seconds since 1970; ``broken`` has a sentence for each promise that is broken; ``tried`` has the
    names of those that were tried.  ``reason`` says why the verdict is not "writable".
    """

    date: float
    verdict: Verdict
    reason: str
    tried: tuple[str, ...]
    broken: dict[str, str]
    remarks: tuple[str, ...]
    threads: int
    rounds: int

    def document(self) -> dict[str, Any]:
        """Return the result as a document of JSON."""
        return {
            "date": datetime.fromtimestamp(int(self.date), UTC).isoformat().replace("+00:00", "Z"),
            "verdict": self.verdict,
            "reason": self.reason,
            "promises": {
                name: self.broken.get(name, "kept" if name in self.tried else "not tried") for name in PROMISES
            },
            "remarks": list(self.remarks),
            "threads": self.threads,
            "rounds": self.rounds,
        }

    def require(self, *, writing: bool) -> None:
        """Raise `BrokenPromiseError` unless the store may be read, or with ``writing`` also written."""
        if self.verdict == "refused" or (writing and self.verdict != "writable"):
            ways = "" if self.verdict == "refused" else "add it with --read-only, or "
            raise BrokenPromiseError(self.reason, hint=f"{ways}use another store: docs/remotes.md names some")


def probe(
    store: ObjectStore,
    *,
    writing: bool = True,
    threads: int = _THREADS,
    rounds: int = _ROUNDS,
    seconds: float = _SECONDS,
) -> Probe:
    """Try the promises of a store, those about writing only with ``writing``.

    No round begins after ``seconds``.  Raises `NoRightError` if these credentials may not list or read, and what the
    store raises if it cannot be reached, has no bucket or is full.  A store that may not be written is "read-only".
    """
    with ThreadPoolExecutor(threads, "probe") as pool:
        trial = _Trial(store, threads, pool)
        trial.look()
        if not writing:
            trial.reason = "it was tried for reading only"
        elif not trial.broken:
            trial.write(rounds, time.monotonic() + seconds)
        return trial.result()


@dataclass
class _Trial:
    """One probe at work."""

    store: ObjectStore
    threads: int
    pool: ThreadPoolExecutor
    broken: dict[str, str] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    reason: str = ""
    rounds: int = 0

    def __post_init__(self) -> None:
        self.folder = f"{PROBES}{os.urandom(8).hex()}/"

    def result(self) -> Probe:
        verdict: Verdict = "read-only" if self.reason else "writable"
        if self.broken:
            name = min(self.broken, key=lambda each: (each not in READING, [*PROMISES].index(each)))
            verdict = "refused" if name in READING else "read-only"
            self.reason = f"{self.store.url} breaks a promise that remotes need: {self.broken[name]}"
        found = self.store.date()
        date = time.time() if found is None else found
        tried = tuple(name for name in PROMISES if name in self.tried)
        remarks = tuple(self.remarks)
        return Probe(date, verdict, self.reason, tried, self.broken, remarks, self.threads, self.rounds)

    def breaks(self, promise: str, sentence: str) -> None:
        self.broken.setdefault(promise, sentence)

    # -- reading -------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Try what a reader needs, and remove what earlier probes left."""
        self.tried |= {"lists", "missing"}
        left = []
        try:
            self.read_any(next(iter(self.store.list("")), None))
            now = self.store.date() or time.time()
            left = [info.name for info in self.store.list(PROBES) if info.modified < now - _OLD_SECONDS]
        except WrongAnswerError as error:
            self.breaks("lists", error.message)
        with suppress(ObjectMissingError):
            self.store.read(f"{self.folder}missing", fresh=True)
            self.breaks("missing", "an object that was never made can be read")
        if left and not self.broken:
            with suppress(OutsideError, RefusedError, UnsupportedError):
                self.store.delete(left)

    def read_any(self, info: ObjectInfo | None) -> None:
        """Read a part of an object that is there: some stores say only of those that they may not be read."""
        if info is None or not info.size:
            return
        try:
            self.store.read(info.name, 0, min(2, info.size), fresh=True)
        except (InvalidInputError, ObjectMissingError):
            pass  # an object of others, or one that is removed meanwhile
        except WrongAnswerError as error:
            self.breaks("ranges", error.message)

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, rounds: int, deadline: float) -> None:
        made: list[str] = []
        try:
            if not self.begin(made):
                return
            self.read_any(self.store.head(made[0]))
            self.tried |= {"one winner", "immutable", "reads", "listed", "ranges"}
            self.remarks += self.store.remarks(made[0])
            while self.rounds < rounds and time.monotonic() < deadline and not self.broken:
                made.append(f"{self.folder}{self.rounds:04}")
                self.rounds += 1
                self.race(made[-1])
            if not self.broken:
                self.keep(made)
        finally:
            self.clear(made)

    def begin(self, made: list[str]) -> bool:
        """Create the first object; return whether that succeeded.  What may exist afterwards is in ``made``."""
        made.append(f"{self.folder}first")
        try:
            if self.store.create(made[0], b"first"):
                return True
            self.breaks("one winner", "the first create of a name failed as if the name existed")
        except NoRightError as error:
            self.reason = error.message
            made.clear()  # a delete in a bucket that keeps versions would leave a mark of it
        except (RefusedError, UnsupportedError) as error:
            self.reason = error.message
        return False

    def race(self, name: str) -> None:
        """Have all threads create a name at once, and then read and list it at once."""
        with suppress(ObjectMissingError):  # whatever keeps answers on the way keeps this one
            self.store.read(name, fresh=True)
        barrier = threading.Barrier(self.threads)
        bodies = [f"{name} by {racer} ".encode() + os.urandom(16) for racer in range(self.threads)]

        def create(body: bytes) -> bool:
            barrier.wait(_WAIT_SECONDS)
            return self.store.create(name, body)

        try:
            answers = self.all(create, bodies)
        except UnknownOutcomeError as error:
            return self.breaks("reads", error.message)
        winners = [body for body, is_winner in zip(bodies, answers, strict=True) if is_winner]
        if len(winners) != 1:
            return self.breaks(
                "one winner",
                f"of {self.threads} creates of one name at the same time {len(winners)} succeeded, not one",
            )
        self.read_and_list(name, winners[0])
        return None

    def read_and_list(self, name: str, body: bytes) -> None:
        """Read an object with most threads, and list it and read a part of it with two."""

        def read() -> bytes | None:
            with suppress(ObjectMissingError):
                return self.store.read(name, fresh=True)
            return None

        def listed() -> int:
            sizes = [info.size for info in self.store.list(self.folder, after=name[:-1]) if info.name == name]
            return sizes[0] if sizes else -1

        def part() -> bytes:
            return self.store.read(name, 2, 3, fresh=True)

        asked: list[Callable[[], Any]] = [*[read] * (self.threads - 2), listed, part]
        *found, size, piece = self.all(_call, asked, promise={-2: "lists", -1: "ranges"})
        for each in found:
            if each is None:
                self.breaks("reads", "an object that was just created is missing for those who read it")
            elif each != body:
                self.breaks("reads", "an object that was just created is read with other bytes")
        if size == -1:
            self.breaks("listed", "an object that was just created is not in a list")
        elif size not in (len(body), None):
            self.breaks("listed", f"a list has an object of {len(body)} bytes with {size:,}")
        if piece not in (body[2:5], None):
            self.breaks("ranges", "a range of an object has other bytes")

    def keep(self, made: Sequence[str]) -> None:
        """List all names, create them again while they exist, then delete them, and create them once more."""
        try:
            names = [info.name for info in self.store.list(self.folder)]
            if not self.broken and names != sorted(made):
                self.breaks("listed", f"of {len(made)} objects that were created {len(names)} are in a list")
        except WrongAnswerError as error:
            self.breaks("lists", error.message)
        if self.broken:
            return
        again = self.all(lambda name: self.store.create(name, b"again " + os.urandom(16)), made)
        if any(again):
            self.breaks("immutable", "a create of a name that exists replaces its object")
            return
        try:
            self.store.delete(made)
        except UnreachableError:
            raise
        except OutsideError as error:  # no right, or a store that knows no such request
            self.remarks.append(f"{error.message}; writers need not delete, but collecting what is unused does")
            return
        self.tried |= {"deletes", "names"}
        if any(self.all(self.exists, made)):
            self.breaks("deletes", "an object that was just deleted is still read")
            return
        try:
            is_made = all(self.all(lambda name: self.store.create(name, b"once more " + os.urandom(16)), made))
        except UnknownOutcomeError:
            is_made = False
        if not is_made or not all(self.all(self.exists, made)):
            self.breaks("names", "a name whose object was deleted cannot be created again")

    def exists(self, name: str) -> bool:
        with suppress(ObjectMissingError):
            self.store.read(name, fresh=True)
            return True
        return False

    def clear(self, made: Sequence[str]) -> None:
        """Remove what this probe made, as far as that is possible."""
        with suppress(OutsideError, RefusedError, UnsupportedError):
            self.store.delete(made)

    def all(
        self, function: Callable[[_Asked], _Answer], each: Iterable[_Asked], promise: dict[int, str] | None = None
    ) -> list[Any]:
        """Call a function for each in threads; return the results.

        Wrong answers break the ``promise`` of their place, counted from the end, and are None.
        """
        futures = [self.pool.submit(function, one) for one in each]
        wait(futures)  # also if one fails: what the others create is removed afterwards
        results: list[Any] = []
        for place, future in enumerate(futures, -len(futures)):
            try:
                results.append(future.result())
            except WrongAnswerError as error:
                self.breaks((promise or {}).get(place, "reads"), error.message)
                results.append(None)
        return results


def _call(function: Callable[[], Any]) -> Any:
    return function()
