"""States as bytes: their digest, the checkpoints that save folding, and the hint that finds the newest one.

    state        "ARTFSTAT" · format u16 = 1 · uuid 16 · number u64 · last 32 · time · least u16 · condemns u64 ·
                 uses u64 · rules length u16 · rules · ruled mark · 9 x (count u32 · rows sorted by key)
    mark         number u64 · machine 16 · time
    checkpoint   "ARTFSCKP" · format u16 = 1 · length u32 of the state · one zstd frame of it
    hint         "ARTFSHNT" · format u16 = 1 · number u64 · digest 32 · count u16 · count x (length u32 · entry) · XXH3

The digest of a state is the BLAKE3 of its bytes.  A checkpoint is named ``state/<20 digits>/<digest>``.  The entries of
a hint are those that follow the checkpoint; a hint whose number is 0 has no checkpoint.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import zstandard
from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError, InvalidInputError, UnsupportedError
from artstore.ids import content_id
from artstore.remotes.log.entries import LONGEST_ENTRY
from artstore.remotes.log.fields import (
    HASH,
    I64,
    ID,
    MODE,
    NAME,
    NUMBER,
    OPTIONAL_NUMBER,
    OPTIONAL_SPAN,
    SPAN,
    TEXT,
    TIME,
    U8,
    U16,
    U32,
    U64,
    Cursor,
    Field,
    list_of,
    long_bytes,
    read_fields,
    row,
    write_fields,
)
from artstore.remotes.log.operations import EDGES, LONGEST_RULES, SOURCES
from artstore.remotes.log.state import (
    DELETED,
    LIVE,
    REAPED,
    AliasRow,
    ArtifactRow,
    CondemnRow,
    HoldRow,
    MachineRow,
    Mark,
    MoveRow,
    RunRow,
    StageRow,
    State,
    VersionRow,
)

__all__ = [
    "HINT",
    "HINTED_BYTES",
    "LONGEST_STATE",
    "Hint",
    "checkpoint_name",
    "decode_checkpoint",
    "decode_hint",
    "decode_state",
    "encode_checkpoint",
    "encode_hint",
    "encode_state",
    "parse_checkpoint_name",
    "state_digest",
]

HINT: Final = "state/hint"
HINTED_BYTES: Final = 1 << 20
"""Bytes of the entries in a hint, at most."""
LONGEST_STATE: Final = 1 << 30
"""Bytes of a state in a checkpoint, at most."""

_STATE: Final = b"ARTFSTAT\1\0"
_CHECKPOINT: Final = struct.Struct("<10sI")
_CHECKPOINT_HEAD: Final = b"ARTFSCKP\1\0"
_HINT: Final = b"ARTFSHNT\1\0"
_CHECKSUM: Final = struct.Struct("<Q")
_FOLDER: Final = "state/"
_DIGITS: Final = 20

_MARK: Final = row(Mark, U64, ID, TIME)
_HEAD: Final = (ID, U64, HASH, TIME, U16, U64, U64, long_bytes(LONGEST_RULES), _MARK)
_ROWS: Final[tuple[tuple[Callable[..., Any], tuple[Field, ...]], ...]] = (
    (MachineRow, (ID, TEXT)),
    (ArtifactRow, (ID, NAME, TEXT, U32, U64, _MARK, _MARK, OPTIONAL_SPAN, _MARK)),
    (
        VersionRow,
        (
            *(ID, NUMBER, ID, HASH, SPAN, U64, U64, U64, TIME, I64, MODE, OPTIONAL_SPAN, _MARK, SPAN, SOURCES),
            *(_MARK, U16, U8, _MARK, TIME, TEXT, list_of(TEXT), TIME),
        ),
    ),
    (AliasRow, (ID, TEXT, OPTIONAL_NUMBER, _MARK)),
    (HoldRow, (ID, ID, NUMBER, TIME, TEXT, _MARK)),
    (StageRow, (ID, SPAN, TIME, _MARK)),
    (RunRow, (ID, NAME, OPTIONAL_SPAN, EDGES, _MARK)),
    (CondemnRow, (U16, SPAN, U32, U64, _MARK)),
    (MoveRow, (U16, SPAN, _MARK)),
)
"""For each table, in the order of `State.tables`: the class of its rows, and the forms of their fields."""


class Hint(NamedTuple):
    """The number and digest of a checkpoint, and the bytes of entries that follow it."""

    number: int
    digest: bytes
    entries: tuple[bytes, ...]


def encode_state(state: State) -> bytes:
    """Return the bytes of a state: all that it holds but its ``digest``."""
    out = bytearray(_STATE)
    head = (state.uuid, state.number, state.last, state.time_ns, state.least, state.condemns, state.uses)
    write_fields(out, _HEAD, (*head, state.rules, state.ruled))
    for table, (rows, (_, fields)) in enumerate(zip(state.tables(), _ROWS, strict=True)):
        U32.write(out, len(rows))
        for key in sorted(rows):
            form = state.forms.get((table, key))
            if form is None:
                piece = bytearray()
                write_fields(piece, fields, rows[key])
                form = state.forms[table, key] = bytes(piece)
            out += form
    return bytes(out)


def state_digest(state: State) -> bytes:
    """Return the digest of a state."""
    return content_id(encode_state(state))


def decode_state(data: bytes) -> State:
    """Return the state that bytes hold, with their digest as its own; raise `DamageError` for any other bytes.

    The digest is right where the number is a multiple of 64.  Callers that keep another state keep its digest too.
    """
    cursor = Cursor(data)
    if cursor.take(len(_STATE)) != _STATE:
        raise DamageError("it is not the state of a remote's log")
    uuid, number, last, time_ns, least, condemns, uses, rules, ruled = read_fields(cursor, _HEAD)
    state = State(uuid)
    state.assign(number=number, last=last, time_ns=time_ns, least=least, condemns=condemns, uses=uses)
    state.assign(rules=rules, ruled=ruled, digest=content_id(data))
    puts: Sequence[Callable[[Any], None]] = (
        *(state.put_machine, state.put_artifact, state.put_version, state.put_alias),
        lambda value: state.put_hold(value.hold, value),
        lambda value: state.put_stage(value.stage, value),
        *(state.put_run, state.put_condemn, state.put_move),
    )
    for rows, put, (kind, fields) in zip(state.tables(), puts, _ROWS, strict=True):
        for _ in range(U32.read(cursor)):
            put(kind(*read_fields(cursor, fields)))
        keys = list(rows)
        if keys != sorted(keys):
            raise DamageError("the rows of a checkpoint are out of order")
    if cursor.left:
        raise DamageError(f"a checkpoint has {cursor.left} bytes after its last row")
    _check(state, data)
    state.forget()
    return state


def _check(state: State, data: bytes) -> None:
    """Raise `DamageError` for rows that contradict each other, or of which one stands twice."""
    versions = state.versions.values()
    is_sound = (
        len(state.names) == len(state.artifacts)
        and len(state.uuids) == len(state.places) == len(state.versions)
        and all(row.artifact in state.artifacts and row.state in (LIVE, DELETED, REAPED) for row in versions)
        and all(row.number < state.artifacts[row.artifact].next for row in versions)
        and all(
            row.artifact in state.artifacts and (row.version is None or (row.artifact, row.version) in state.versions)
            for row in state.aliases.values()
        )
        and all((row.artifact, row.number) in state.versions for row in state.holds.values())
    )
    if not is_sound or encode_state(state) != data:
        raise DamageError("the rows of a checkpoint contradict each other")


def checkpoint_name(number: int, digest: bytes) -> str:
    """Return the name of a checkpoint's object."""
    return f"{_FOLDER}{number:0{_DIGITS}}/{digest.hex()}"


def parse_checkpoint_name(name: str) -> tuple[int, bytes] | None:
    """Return (number, digest) of the checkpoint that an object is, None for any other object."""
    digits, _, digest = name.removeprefix(_FOLDER).partition("/")
    try:
        number, value = int(digits), bytes.fromhex(digest)
    except ValueError:
        return None
    return (number, value) if name == checkpoint_name(number, value) and len(value) == 32 else None


def encode_checkpoint(state: bytes) -> bytes:
    """Return the object for a state's bytes."""
    if len(state) > LONGEST_STATE:
        raise InvalidInputError(f"the state of a remote has {len(state)} bytes; at most {LONGEST_STATE} can be saved")
    return _CHECKPOINT.pack(_CHECKPOINT_HEAD, len(state)) + zstandard.ZstdCompressor(level=3).compress(state)


def decode_checkpoint(data: bytes, digest: bytes) -> bytes:
    """Return the state's bytes from a checkpoint's object; raise `DamageError` if they do not have the digest."""
    if len(data) < _CHECKPOINT.size:
        raise DamageError("it is too short for a checkpoint")
    head, length = _CHECKPOINT.unpack_from(data)
    if head != _CHECKPOINT_HEAD:
        raise UnsupportedError("it is not a checkpoint, or one of a later release of artfs")
    frame = data[_CHECKPOINT.size :]
    try:
        # The claimed size is checked first: the decompressor would believe it.
        is_bounded = zstandard.get_frame_parameters(frame).content_size == length <= LONGEST_STATE
        state = zstandard.ZstdDecompressor().decompress(frame) if is_bounded else b""
    except zstandard.ZstdError:
        state = b""
    if content_id(state) != digest:
        raise DamageError("a checkpoint has other bytes than its name says")
    return state


def encode_hint(hint: Hint) -> bytes:
    """Return the bytes of a hint."""
    out = bytearray(_HINT)
    U64.write(out, hint.number)
    HASH.write(out, hint.digest)
    U16.write(out, len(hint.entries))
    for entry in hint.entries:
        if len(entry) > LONGEST_ENTRY:
            raise InvalidInputError("an entry in a hint is longer than an entry may be")
        U32.write(out, len(entry))
        out += entry
    out += _CHECKSUM.pack(xxh3_64_intdigest(bytes(out)))
    return bytes(out)


def decode_hint(data: bytes) -> Hint:
    """Return the hint that bytes hold; raise `DamageError` for any other bytes."""
    body = data[: -_CHECKSUM.size]
    if not data.startswith(_HINT) or data[len(body) :] != _CHECKSUM.pack(xxh3_64_intdigest(body)):
        raise DamageError("it is not the hint of a remote")
    cursor = Cursor(body)
    cursor.take(len(_HINT))
    number, digest, count = read_fields(cursor, (U64, HASH, U16))
    entries = tuple(cursor.take(_length(cursor)) for _ in range(count))
    if cursor.left:
        raise DamageError("a hint has bytes after its last entry")
    return Hint(number, digest, entries)


def _length(cursor: Cursor) -> int:
    length: int = U32.read(cursor)
    if length > LONGEST_ENTRY:
        raise DamageError("a hint has an entry that is longer than an entry may be")
    return length
