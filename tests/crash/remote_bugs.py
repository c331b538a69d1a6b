"""Faults that the rig of remotes seeds in the engine, to prove that it detects them.

Each is a function that changes the engine in this process.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from artstore.changes import tracking
from artstore.objects import buckets, failures
from artstore.records.remotes import PENDING, PUSHED
from artstore.remotes import exchanging, pushing, sending
from artstore.remotes.packs.containers import CHUNK
from artstore.remotes.packs.located import Chunk
from artstore.remotes.packs.places import Place
from artstore.rows import remotes as rows

__all__ = ["BUGS"]

Bug = Callable[[], None]


def entry_before_objects() -> None:
    """The entry is appended while the last objects are still on their way."""
    leave, finish = sending.Sending.__exit__, pushing._Push._finish
    late: list[sending.Sending] = []

    def leave_later(self: Any, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            late.append(self)
        else:
            leave(self, kind, error, trace)

    def finish_late(self: Any, row: Any, written: Any) -> Any:
        while late:
            leave(late.pop(), None, None, None)
        return finish(self, row, written)

    def put_later(self: Any, item: Any) -> None:
        chunks = {
            entry.id: Chunk(entry.id, entry.size, entry.codec, Place(item.pack, entry.offset, entry.stored))
            for entry in item.entries
            if entry.klass == CHUNK
        }
        send = _Later(self._remote.store.create, item.pack.object_name, item.body)
        self._flights.append(sending._Flight(item, chunks, send))  # type: ignore[arg-type]

    sending.Sending.put = put_later  # type: ignore[method-assign]
    sending.Sending.__exit__ = leave_later  # type: ignore[method-assign,assignment]
    pushing._Push._finish = finish_late  # type: ignore[method-assign]


class _Later:
    """A call that is made when its result is asked for."""

    def __init__(self, call: Callable[..., bool], *arguments: Any) -> None:
        self._call = call
        self._arguments = arguments

    def result(self) -> bool:
        return self._call(*self._arguments)


def told_before_the_entry() -> None:
    """A version is printed as pushed before the log has it."""
    push = exchanging.push_version

    def tell(store: Any, remote: Any, artifact: Any, version: Any, **options: Any) -> Any:
        print(f"{artifact.name}:v{version.number}", flush=True)
        return push(store, remote, artifact, version, **options)

    exchanging.push_version = tell


def recorded_before_the_entry() -> None:
    """The workspace records a version as pushed when the push begins."""
    record = tracking.record_counterpart

    def claim(store: Any, transaction: Any, serial: int, remote: bytes, counterpart: Any) -> None:
        way = PUSHED if counterpart.way == PENDING else counterpart.way
        record(store, transaction, serial, remote, counterpart._replace(way=way))

    pushing.record_counterpart = claim


def a_new_id_each_time() -> None:
    """A push that is taken up gives the version another uuid."""
    counterparts = rows.counterparts_of

    def forgotten(transaction: Any, serial: int) -> dict[bytes, Any]:
        found = counterparts(transaction, serial)
        return {
            uuid: one._replace(uuid=secrets.token_bytes(16)) if one.way == PENDING else one
            for uuid, one in found.items()
        }

    rows.counterparts_of = forgotten


def unknown_is_stored() -> None:
    """A create without an answer counts as stored."""
    create = buckets.Bucket.create

    def believe(self: Any, name: str, body: bytes) -> bool:
        try:
            answer = self._try_to_create(self._key(name), body, buckets._kind_for(name, body))
        except failures.UnreachableError:
            return True
        return True if answer is not None else create(self, name, body)

    buckets.Bucket.create = believe  # type: ignore[method-assign]


def places_before_objects() -> None:
    """Chunks are recorded as sent when their object is noted, and nothing asks whether the object is there."""
    put = sending.Sending.put

    def record_first(self: Any, item: Any) -> None:
        put(self, item)
        flight = self._flights.pop()
        self._flights.append(flight._replace(done=_Done()))
        while self._flights:
            self._land()
        flight.done.result()

    sending.Sending.put = record_first  # type: ignore[method-assign]
    pushing._Push._exists = lambda self, pack: True  # type: ignore[method-assign]


class _Done:
    def result(self) -> bool:
        return True


def without_the_condition() -> None:
    """Entries are written whether there is one of their number or not."""
    stored = buckets.Bucket.create

    def overwrite(self: Any, name: str, body: bytes) -> bool:
        if not name.startswith("log/"):
            return stored(self, name, body)
        import obstore

        obstore.put(self._client("reading"), self._key(name), body)
        return True

    buckets.Bucket.create = overwrite  # type: ignore[method-assign]


BUGS: dict[str, Bug] = {
    function.__name__.replace("_", " "): function
    for function in (
        entry_before_objects,
        told_before_the_entry,
        recorded_before_the_entry,
        a_new_id_each_time,
        unknown_is_stored,
        places_before_objects,
        without_the_condition,
    )
}
