"""Reading on to the log's end: the hint, then checkpoint and list together, then all new entries at once.

A log that is not the one that was read before (an entry is missing, differs, or follows another) is `Log.trouble`:
nothing is written any more, while the last state stays readable.  So is an entry that only a later release can read,
`Log.newer`, until this release is replaced.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import Final, NamedTuple, TypeVar

from artstore.errors import DamageError, UnsupportedError
from artstore.objects.failures import ObjectMissingError, WrongAnswerError
from artstore.objects.protocol import ObjectInfo, ObjectStore
from artstore.remotes.log.checkpoints import (
    HINT,
    Hint,
    checkpoint_name,
    decode_checkpoint,
    decode_hint,
    decode_state,
    encode_state,
)
from artstore.remotes.log.entries import (
    READ_BYTES,
    WRITER,
    Entry,
    chain_hash,
    decode_entry,
    entry_name,
    entry_number,
    is_envelope,
)
from artstore.remotes.log.fold import BrokenLogError, Folded, fold
from artstore.remotes.log.state import SAVED_EVERY, State

__all__ = ["TURNS", "Log"]

TURNS: Final = 3
"""How often an object is asked for that a store lists, or says to exist, and does not give."""
_T = TypeVar("_T")
_BATCH: Final = 256
_LOOKED_BACK: Final = 64
"""Entries before the last one that a list shows at no cost, and that must still be there."""
_DIGEST: Final = 32
_AT_ONCE: Final = 16
_FOLDER: Final = "log/"


class _Listed(NamedTuple):
    """A list of the log, from the entry ``first`` on."""

    first: int
    infos: Iterator[ObjectInfo]


class Log:
    """A remote's log as one process knows it.

    ``state`` is the fold up to the last entry that was read.  ``is_proved`` says whether every entry was folded here,
    so that no checkpoint was believed.  ``base`` is the number and digest of the last checkpoint that is known to stand
    in the store, 0 for none, ``recent`` the last entries, and ``digests`` those of the states at multiples of 64 that
    were folded here.
    """

    def __init__(
        self, store: ObjectStore, uuid: bytes, state: State | None = None, *, every: int = SAVED_EVERY, at_once: int = 0
    ) -> None:
        """Begin at ``state`` (kept from an earlier fold), else at the remote's hint.

        ``every`` is another interval of checkpoints, for tests; ``at_once`` the threads that read.
        """
        self.store = store
        self.state = State(uuid) if state is None else state
        self.every = every
        self.trouble: BrokenLogError | None = None
        self.newer: UnsupportedError | None = None
        self.is_proved = False
        self.base = (0, bytes(_DIGEST))
        self.digests: dict[int, bytes] = {}
        self.recent: deque[bytes] = deque(maxlen=2 * every)
        self._at_once = at_once or _AT_ONCE
        self._begun = state is not None
        self._read_at = float("-inf")
        self._hinted = 0
        self._missing: int | None = None
        self._last_size: int | None = None
        self._other_state: BrokenLogError | None = None

    # -- questions -----------------------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Ask whether there is an entry that has not been read: one request, also where there is none."""
        try:
            self.store.head(entry_name(self.state.number + 1))
        except ObjectMissingError:
            return False
        return True

    def check_writable(self) -> None:
        """Raise the error that forbids to write: a broken log, or entries or rules of a later release."""
        if self.trouble is not None:
            raise self.trouble
        if self.newer is not None:
            raise self.newer
        if self.state.least > WRITER:
            raise UnsupportedError(
                f"the remote {self.store.url} takes entries of later releases of artfs only", hint="update artfs"
            )

    def entry(self, number: int) -> Entry | None:
        """Return an entry that has been folded, None if its number is void."""
        before = self.state.number - number
        is_recent = 0 <= before < len(self.recent)
        try:
            return decode_entry(self.recent[-1 - before] if is_recent else self._read(entry_name(number)))
        except DamageError:
            return None

    # -- reading -------------------------------------------------------------------------------------------------------

    def read_on(self, *, to_write: bool = False) -> list[Folded]:
        """Fold all entries that follow; return what became of them.

        ``to_write`` also compares the last folded entry with the one in the store if none follows it.  Sets `trouble`
        or `newer` where the log cannot be followed further.  Raises the errors of the store.
        """
        begun = None if self._begun else self._begin()
        self._read_at = time.monotonic()
        self.trouble = self._other_state  # what was missing may have been restored
        start = self.state.number
        folded: list[Folded] = []
        try:
            listed = self._following(begun)
            while batch := list(islice(listed, _BATCH)):
                folded += self._fold_batch(batch)
            if self._missing is None and self.state.number < self._hinted:
                self._missing = self.state.number + 1
            if self._missing is not None:
                raise BrokenLogError(
                    f"entry {self._missing} of the log of {self.store.url} is missing: it was removed", self._missing
                )
            if to_write and start == self.state.number > 0:
                self._compare_last()
        except BrokenLogError as error:
            self.trouble = error
        except UnsupportedError as error:
            number = self.state.number + 1
            self.newer = UnsupportedError(
                f"entry {number} of the log of {self.store.url} is of a later release of artfs: {error.message}",
                hint="update artfs; until then the state before that entry is shown",
            )
        else:
            self.newer = None
        return folded

    def freshen(self, seconds: float = 1.0) -> None:
        """Read on, unless that was done within some seconds: for what an append will compare again."""
        if time.monotonic() - self._read_at > seconds:
            self.read_on()

    def prove(self) -> None:
        """Fold the log from its start and compare, so that no checkpoint is believed; sets `trouble` if it differs.

        Raises the errors of the store.
        """
        if self.is_proved or self.trouble is not None:
            return
        other = Log(self.store, self.state.uuid, State(self.state.uuid), every=self.every, at_once=self._at_once)
        listed = other._following()
        while other.state.number < self.state.number and other.trouble is None:
            batch = list(islice(listed, min(_BATCH, self.state.number - other.state.number)))
            if not batch:
                break
            try:
                other._fold_batch(batch)
            except (BrokenLogError, UnsupportedError):
                break
        if other.state.number != self.state.number or encode_state(other.state) != encode_state(self.state):
            number = other.state.number
            self.trouble = self._other_state = BrokenLogError(
                f"the log of {self.store.url} up to entry {number} does not lead to its checkpoint", number
            )
        self.is_proved = self.trouble is None
        self.digests = other.digests | self.digests

    def fold(self, data: bytes) -> Folded:
        """Fold the next entry; raise `BrokenLogError` and `UnsupportedError` as `artstore.remotes.log.fold.fold`."""
        folded = fold(self.state, data, every=self.every)
        self.recent.append(data)
        if folded.number % self.every == 0:
            self.digests[folded.number] = self.state.digest
        if folded.has_other_state and self._other_state is None:
            number = folded.number
            self.trouble = self._other_state = BrokenLogError(
                f"the writer of entry {number} of the log of {self.store.url} knew another state than this machine",
                number,
            )
        return folded

    def _begin(self) -> _Listed | None:
        """Begin at the hint; what is wrong with it is passed over, for it is only a hint.

        Return the list that was asked for together with the checkpoint, which saves a round trip; None if there is
        none.
        """
        self._begun = True
        self.is_proved = True
        hint = self._hint()
        if hint is None:
            return None
        self._hinted = hint.number + len(hint.entries)
        listed = None
        if hint.number:
            state, listed = self._checkpoint_and_list(hint)
            if state is None:
                return None
            self.state, self.base, self.is_proved = state, (hint.number, hint.digest), False
        with suppress(BrokenLogError, UnsupportedError):  # the log itself says it too
            for data in hint.entries:
                self.fold(data)
        return listed

    def _checkpoint_and_list(self, hint: Hint) -> tuple[State | None, _Listed | None]:
        """Return the state of a hint's checkpoint, and the list of the log from there on, if it was asked for."""
        if self._at_once == 1:
            return self._checkpoint(hint.number, hint.digest), None
        with ThreadPoolExecutor(1, thread_name_prefix="artfs-log") as thread:
            asked = thread.submit(self._list_from, self._hinted)
            state = self._checkpoint(hint.number, hint.digest)
            return state, asked.result()

    def _list_from(self, last: int) -> _Listed:
        """List the log from a little before the last entry that is known; the first answer is waited for."""
        wanted = max(last - _LOOKED_BACK, 1)
        infos = iter(self.store.list(_FOLDER, after=entry_name(wanted - 1) if wanted > 1 else ""))
        first = list(islice(infos, 1))
        return _Listed(wanted, chain(first, infos))

    def _hint(self) -> Hint | None:
        try:
            return decode_hint(self.store.read(HINT, fresh=True))
        except (ObjectMissingError, DamageError):
            return None

    def _checkpoint(self, number: int, digest: bytes) -> State | None:
        try:
            state = decode_state(decode_checkpoint(self.store.read(checkpoint_name(number, digest)), digest))
        except (ObjectMissingError, DamageError, UnsupportedError):
            return None
        is_right = state.uuid == self.state.uuid and state.number == number and number % self.every == 0
        return state if is_right else None

    def _following(self, listed: _Listed | None = None) -> Iterator[ObjectInfo]:
        """Yield the entries that follow, each the next, up to one that is missing.

        The first that is missing, also one that was folded, is `_missing`.  ``listed`` is a list that is at hand; one
        that begins after the last entry that was folded is of no use.
        """
        self._missing = None
        last = self.state.number
        if listed is None or listed.first > last + 1:
            listed = self._list_from(last)
        wanted = listed.first
        for info in listed.infos:
            number = entry_number(info.name)
            if number is None:
                continue
            if number != wanted:
                self._missing = self._missing or wanted
                if number > last + 1:
                    return
            if number > last:
                yield info
            elif number == last:
                self._last_size = info.size
            wanted = number + 1
        if wanted <= last:
            self._missing = self._missing or wanted

    def _fold_batch(self, batch: Sequence[ObjectInfo]) -> list[Folded]:
        return [self.fold(data) for data in self._all(lambda info: self._read(info.name, info.size), batch)]

    def _all(self, read: Callable[[ObjectInfo], bytes], batch: Sequence[ObjectInfo]) -> Iterator[bytes]:
        if len(batch) == 1 or self._at_once == 1:
            yield from map(read, batch)
            return
        with ThreadPoolExecutor(min(self._at_once, len(batch)), thread_name_prefix="artfs-log") as threads:
            yield from threads.map(read, batch)

    def _compare_last(self) -> None:
        number = self.state.number
        if chain_hash(self._read(entry_name(number), self._last_size)) != self.state.last:
            raise BrokenLogError(
                f"entry {number} of the log of {self.store.url} is not the one that was read before", number
            )

    def _read(self, name: str, size: int | None = None) -> bytes:
        """Return the bytes of an entry, of one that is too long its beginning.

        What is no entry is read twice, the second time past caches.
        """
        if size is None:
            size = self._given(lambda: self.store.head(name)).size
        length = min(size, READ_BYTES)
        if not length:
            return b""
        data = self._given(lambda: self.store.read(name, 0, length, fresh=True))
        return data if is_envelope(data) else self._given(lambda: self.store.read(name, 0, length, fresh=True))

    def _given(self, ask: Callable[[], _T]) -> _T:
        for _ in range(TURNS - 1):
            try:
                return ask()
            except ObjectMissingError:
                pass
        try:
            return ask()
        except ObjectMissingError as error:
            raise WrongAnswerError(
                f"{self.store.url} lists an entry of its log and does not give it: {error.message}",
                hint="a caching proxy may answer for the store; let it pass log/ by",
            ) from error
