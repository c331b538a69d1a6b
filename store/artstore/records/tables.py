"""The tables of the manifest, and how numbers become keys that sort."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from artstore.errors import DamageError

__all__ = ["OLDEST_TABLES", "Table", "key32", "key64", "name_of_key", "number32", "number64", "pack_end"]


class Table(IntEnum):
    """The tables, each with its key and value; the number seeds the seals and is never reused.

    | table | key | value |
    |---|---|---|
    | META | name | counters, parameters |
    | NODES | node u64 | chunk, list or tree record |
    | COUNTS | node // 128, u64 | 128 reference counts, u32 each; if few are not 0, their (index u8, u32) pairs |
    | INDEX | class byte, id (32) | node u64; the node's record repeats the id, which is checked |
    | PACKS | pack u32 | end u64: bytes of the pack that records may refer to |
    | FREE | pack u32, offset u32 | length u32 of bytes that nothing refers to, and u32 of them that are a hole |
    | DRAFTS | draft u64 | DraftRecord |
    | STAGED | draft u64, node u64 | only a seal: the draft holds one reference to the node |
    | NAMES | full name, UTF-8 | artifact or project number u64; a zero byte before the name of a retired artifact |
    | ARTIFACTS | number u64 | ArtifactRecord, for projects too |
    | VERSIONS | serial u32 | VersionRecord; a deleted version's stays until it is reaped |
    | NUMBERS | artifact u64, version u32 | serial u32 |
    | ALIASES | artifact u64, alias UTF-8 | AliasRecord |
    | ALIAS_SERIALS | alias serial u32 | key of ALIASES |
    | DEADLIST | due ns u64, entry u64 | DeadEntry: released nodes that wait to be reaped |
    | CONDEMNED | transaction u64, pack u32, offset u32 | length u32 of bytes that older readers may read, purge u8 |
    | RUNS | run u64 | RunRecord |
    | RUN_IDS | project UTF-8, a zero byte, id UTF-8 | run u64 |
    | METRICS | run u64, block u32 | zstd frame of JSON lines: the rows that the run logged, in order |
    | MOUNTS | mount serial u32 | serial u32 of the version whose inode numbers contain it, if that is another one |
    | TERMS | space u8, path, kind, value, serial u32; see `artstore.records.terms` | only a seal |
    | LINEAGE | end, direction byte, kind byte, other end | EdgeRecord in the direction ``>``, empty in the other |
    | REMOTES | remote (16) | RemoteRecord |
    | TRACKED | artifact u64, remote (16) | uuid (16) of the artifact there; see `artstore.records.remotes` |
    | COUNTERPARTS | serial u32, remote (16) | which version of the remote a version is |
    | PLACES | remote (16), class byte, id (32) | where a remote has content: may be dropped at any time |
    | PUSHES | remote (16), kind byte, id (16) | an object that a push may have made and that it has not settled |
    | VIEWS | kind byte, and what `artstore.rows.views` says | what remotes have and this workspace has not: a cache |

    Invariants: every node of NODES has one row of INDEX and a count of at least 1; a count is the number of rows of
    directory and list records that name the node, plus the living versions whose root it is, plus its rows in STAGED,
    plus how often entries of DEADLIST list it.
    """

    META = 1
    NODES = 2
    COUNTS = 3
    INDEX = 4
    PACKS = 5
    FREE = 6
    DRAFTS = 7
    STAGED = 8
    NAMES = 9
    ARTIFACTS = 10
    VERSIONS = 11
    NUMBERS = 12
    ALIASES = 13
    ALIAS_SERIALS = 14
    DEADLIST = 15
    CONDEMNED = 16
    RUNS = 17
    RUN_IDS = 18
    METRICS = 19
    LINEAGE = 20
    MOUNTS = 21
    TERMS = 22
    REMOTES = 23
    TRACKED = 24
    COUNTERPARTS = 25
    PLACES = 26
    PUSHES = 27
    VIEWS = 28


OLDEST_TABLES: Final = 22
"""The number of the last table of the oldest format that is read; later formats only add tables."""


def key32(number: int) -> bytes:
    """Return a 32-bit number as a key that sorts by value; raise `DamageError` for one that does not fit."""
    try:
        return number.to_bytes(4, "big")
    except OverflowError:
        raise DamageError(f"the manifest has the number {number}, which does not fit into 32 bits") from None


def key64(number: int) -> bytes:
    """Return a 64-bit number as a key that sorts by value; raise `DamageError` for one that does not fit."""
    try:
        return number.to_bytes(8, "big")
    except OverflowError:
        raise DamageError(f"the manifest has the number {number}, which does not fit into 64 bits") from None


def number32(value: bytes) -> int:
    """Return the number that `key32` was given; raise `DamageError` for bytes that are none."""
    if len(value) != 4:
        raise DamageError(f"the manifest has {len(value)} bytes where a number of 32 bits belongs")
    return int.from_bytes(value, "big")


def number64(value: bytes) -> int:
    """Return the number that `key64` was given; raise `DamageError` for bytes that are none."""
    if len(value) != 8:
        raise DamageError(f"the manifest has {len(value)} bytes where a number of 64 bits belongs")
    return int.from_bytes(value, "big")


def pack_end(value: bytes) -> int:
    """Return the end of a pack from its row of PACKS; raise `DamageError` for a row that is none."""
    if len(value) != 8:
        raise DamageError(f"the row of a pack has {len(value)} bytes, not 8")
    return int.from_bytes(value, "little")


def name_of_key(key: bytes) -> str:
    """Return a name that a key holds; raise `DamageError` for bytes that are no text."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise DamageError(f"the manifest has the name {key!r}, which is not UTF-8") from None
