"""Entries of a log: transactions in an envelope that names the entry before.

    envelope      "ARTFSLOG" · format u16 = 1 · marks u16 = 0 · length u32 of body · before 32 · body · XXH3 of all
    body          id 16 · machine 16 · by text · at time · writer u16 · digest 32 · length u16 of extensions ·
                  extensions · count u16 · transactions
    transaction   condemns u64 · uses u64 · count u16 · operations

``before`` is the BLAKE3 of the entry before, of the first one that of the remote's uuid.  An entry has at most 64 KiB.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError, InvalidInputError, UnsupportedError
from artstore.ids import content_id
from artstore.remotes.log.fields import HASH, ID, TEXT, TIME, U16, U64, Cursor, read_fields, write_fields
from artstore.remotes.log.operations import (
    Extension,
    Operation,
    read_extensions,
    read_operation,
    write_extensions,
    write_operation,
)

__all__ = [
    "LONGEST_ENTRY",
    "READ_BYTES",
    "WRITER",
    "Entry",
    "Transaction",
    "chain_hash",
    "decode_entry",
    "encode_entry",
    "entry_name",
    "entry_number",
    "is_envelope",
    "origin_hash",
    "transaction_length",
]

LONGEST_ENTRY: Final = 64 << 10
"""Bytes of an entry, at most."""
READ_BYTES: Final = LONGEST_ENTRY + 1
"""How much of an object in the log is read: enough to see that it is too long."""
WRITER: Final = 1
"""The number of this release among writers; `artstore.remotes.log.operations.Upgrade` shuts out lower ones."""

_FORMAT: Final = 1
_MAGIC: Final = b"ARTFSLOG"
_HEAD: Final = struct.Struct("<8sHHI32s")
_CHECKSUM: Final = struct.Struct("<Q")
_FOLDER: Final = "log/"
_DIGITS: Final = 20
_FIELDS: Final = (ID, ID, TEXT, TIME, U16, HASH)


class Transaction(NamedTuple):
    """Operations that are accepted or void as a whole.

    ``condemns`` and ``uses`` are the state's counts when the writer checked its packs (rules R1 and R2).
    """

    condemns: int
    uses: int
    operations: tuple[Operation, ...]


class Entry(NamedTuple):
    """One entry: who wrote it (``machine``, ``by``), when by the store's clock (``at_ns``), and what it does.

    ``id`` is random; ``before`` the hash of the entry before; ``digest`` the writer's digest of the state at the last
    number that was a multiple of 64.
    """

    before: bytes
    id: bytes
    machine: bytes
    by: str
    at_ns: int
    writer: int
    digest: bytes
    transactions: tuple[Transaction, ...]
    extensions: tuple[Extension, ...] = ()


def entry_name(number: int) -> str:
    """Return the name of an entry's object."""
    return f"{_FOLDER}{number:0{_DIGITS}}"


def entry_number(name: str) -> int | None:
    """Return the number of the entry that an object is, None for any other object."""
    digits = name.removeprefix(_FOLDER)
    is_entry = len(name) == len(_FOLDER) + _DIGITS and digits.isascii() and digits.isdigit() and int(digits) > 0
    return int(digits) if is_entry else None


def origin_hash(uuid: bytes) -> bytes:
    """Return what the first entry of a remote has as the hash of the one before."""
    return content_id(uuid)


def chain_hash(data: bytes) -> bytes:
    """Return the hash that the next entry carries; of an object that is too long, that of its first 65,537 bytes."""
    return content_id(data[:READ_BYTES])


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes of an entry; raise `InvalidInputError` for one that readers refuse, or of over 64 KiB."""
    body = bytearray()
    write_fields(body, _FIELDS, (entry.id, entry.machine, entry.by, entry.at_ns, entry.writer, entry.digest))
    extensions = bytearray()
    write_extensions(extensions, entry.extensions)
    U16.write(body, len(extensions))
    body += extensions
    _check_count(entry.transactions, "transaction", "entry")
    U16.write(body, len(entry.transactions))
    for transaction in entry.transactions:
        _write_transaction(body, transaction)
    HASH.write(bytearray(), entry.before)
    head = _HEAD.pack(_MAGIC, _FORMAT, 0, len(body), entry.before)
    data = head + body
    data += _CHECKSUM.pack(xxh3_64_intdigest(data))
    if len(data) > LONGEST_ENTRY:
        raise InvalidInputError(f"an entry of the remote's log would have {len(data)} bytes; at most {LONGEST_ENTRY}")
    return data


def is_envelope(data: bytes) -> bool:
    """Return whether bytes are a whole entry of any format."""
    if not _HEAD.size + _CHECKSUM.size <= len(data) <= LONGEST_ENTRY:
        return False
    magic, _, _, length, _ = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + length + _CHECKSUM.size:
        return False
    end = len(data) - _CHECKSUM.size
    return bool(_CHECKSUM.unpack_from(data, end)[0] == xxh3_64_intdigest(data[:end]))


def decode_entry(data: bytes) -> Entry:
    """Return the entry that bytes hold.

    Raises `DamageError` for bytes that are none, now or in any later release: their number is void.  Raises
    `UnsupportedError` for an entry that only a later release can read.
    """
    if not is_envelope(data):
        raise DamageError("it is not an entry of a log")
    _, number, marks, _, before = _HEAD.unpack_from(data)
    if number != _FORMAT or marks:
        raise UnsupportedError(f"it has format {number}.{marks}, and this release reads format {_FORMAT}.0")
    cursor = Cursor(data[_HEAD.size : -_CHECKSUM.size])
    name, machine, by, at_ns, writer, digest = read_fields(cursor, _FIELDS)
    extensions = read_extensions(Cursor(cursor.take(U16.read(cursor))))
    transactions = tuple(_read_transaction(cursor) for _ in range(_read_count(cursor)))
    if cursor.left:
        raise DamageError(f"an entry has {cursor.left} bytes after its last transaction")
    return Entry(before, name, machine, by, at_ns, writer, digest, transactions, extensions)


def transaction_length(transaction: Transaction) -> int:
    """Return how many bytes a transaction adds to an entry."""
    out = bytearray()
    _write_transaction(out, transaction)
    return len(out)


def _write_transaction(out: bytearray, transaction: Transaction) -> None:
    U64.write(out, transaction.condemns)
    U64.write(out, transaction.uses)
    _check_count(transaction.operations, "operation", "transaction")
    U16.write(out, len(transaction.operations))
    for operation in transaction.operations:
        write_operation(out, operation)


def _read_transaction(cursor: Cursor) -> Transaction:
    condemns, uses = U64.read(cursor), U64.read(cursor)
    return Transaction(condemns, uses, tuple(read_operation(cursor) for _ in range(_read_count(cursor))))


def _check_count(values: tuple[object, ...], what: str, where: str) -> None:
    if not values:
        raise InvalidInputError(f"no {what} is in the {where} of a remote's log; at least one is needed")


def _read_count(cursor: Cursor) -> int:
    count: int = U16.read(cursor)
    if not count:
        raise DamageError("an entry has an empty list of transactions or operations")
    return count
