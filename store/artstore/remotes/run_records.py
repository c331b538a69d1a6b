"""Records of runs in a remote: what a run reported, where its rows of metrics lie, and by which names it used versions.

A record is JSON in an object, which the operation of the log names.  It has the fields of the journal's event for a run
(those of one workspace or process are 0), the places of its blocks of metrics, and names of versions.  Blocks are forms
of their own, in the order of logging, so that a run that goes on sends only those that are new.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any, Final, NamedTuple

from artstore.errors import DamageError, InvalidInputError
from artstore.ids import content_id
from artstore.names import check_run
from artstore.records.catalogue import RunRecord, dump_json, load_json
from artstore.remotes.connection import Connection, form_of
from artstore.remotes.log.fields import LONGEST_SPAN, Span
from artstore.remotes.log.state import REAPED, RunRow, State
from artstore.remotes.packs.reading import RemoteRoot, RemoteTree

__all__ = ["RemoteRun", "decode_run", "encode_run", "is_left", "read_form", "read_run", "run_key", "run_uuid"]

_STATES: Final = frozenset(("running", "finished", "failed"))
_UUID: Final = 16
_HASH: Final = 32


class RemoteRun(NamedTuple):
    """A run as a remote has it: number and pid of its record are 0, ``names`` is by the uuids of used versions."""

    record: RunRecord
    blocks: tuple[Span, ...]
    names: dict[bytes, str]


def run_uuid(record: RunRecord) -> bytes:
    """Return what identifies a run in all remotes: its project and id, and when its first process started."""
    parts = (record.project, record.id, str(record.created_ns))
    return content_id("\0".join(("run", *parts)).encode())[:_UUID]


def _shared(record: RunRecord, names: dict[bytes, str]) -> dict[str, Any]:
    values: dict[str, Any] = load_json(replace(record, number=0, pid=0).encode())
    return {**values, "uses": {uuid.hex(): name for uuid, name in sorted(names.items())}}


def run_key(record: RunRecord, names: dict[bytes, str]) -> bytes:
    """Return an id of what a record says; equal ids mean equal records with equal blocks."""
    return content_id(dump_json(_shared(record, names)))


def encode_run(run: RemoteRun) -> bytes:
    """Return the record's bytes."""
    blocks = [[span.pack.hex(), span.offset, span.length, span.hash.hex()] for span in run.blocks]
    return dump_json({**_shared(run.record, run.names), "metrics": blocks})


def decode_run(data: bytes) -> RemoteRun:
    """Return what `encode_run` was given; raise `DamageError` for anything else.  Fields of later releases are left."""
    try:
        values = load_json(data)
        record = RunRecord.decode(data)
        check_run(record.id)
        blocks = tuple(_span(*row) for row in values["metrics"])
        names = {_bytes(uuid, _UUID): name for uuid, name in values["uses"].items()}
        is_sound = record.state in _STATES and record.blocks == len(blocks) and record.steps >= len(blocks)
        if not is_sound or not all(type(name) is str for name in names.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInputError) as error:
        raise DamageError("the record of a run in a remote is malformed") from error
    return RemoteRun(replace(record, number=0, pid=0), blocks, names)


def read_run(remote: Connection, name: str, span: Span) -> RemoteRun:
    """Return the record of a run; raise `DamageError` if it is not what the log names, and the errors of the store."""
    return decode_run(read_form(remote, name, span))


def read_form(remote: Connection, name: str, span: Span) -> bytes:
    """Return a record or a block of a run, verified; raise `DamageError` and the errors of the store."""
    form = form_of(span)
    tree = RemoteTree(remote.fetch, RemoteRoot(b"", form.place, form.hash, 0, 0, 0), f"the run {name}")
    return tree.form(form)


def _span(pack: str, offset: int, length: int, digest: str) -> Span:
    for number, least, most in ((offset, 0, 1 << 62), (length, 1, LONGEST_SPAN)):
        if type(number) is not int or not least <= number <= most:
            raise ValueError
    return Span(_bytes(pack, _UUID), offset, length, _bytes(digest, _HASH))


def _bytes(text: str, length: int) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != length or found.hex() != text:
        raise ValueError
    return found


def is_left(state: State, run: RunRow, without: Container[bytes] = ()) -> bool:
    """Return whether a version of a run is left, and with it the run's record; those ``without`` do not count."""
    versions = [state.version_of(edge.version) for edge in run.edges]
    return any(row is not None and row.state != REAPED and row.uuid not in without for row in versions)
