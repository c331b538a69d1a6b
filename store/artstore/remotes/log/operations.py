"""What entries of a log do: one class for each operation, and their form.

    operation   kind u8 · length u16 · fields · extensions
    extension   tag u8 · length u16 · bytes

The kinds and tags from 128 on are ignorable: a reader that does not know one keeps its bytes and passes over it.  They
never change what is accepted, the counts of condemns and uses, or packs.  A lower kind or tag that a reader does not
know makes it refuse the entry.  Tags rise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from artstore.errors import DamageError, InvalidInputError, UnsupportedError
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
    Span,
    flags,
    list_of,
    long_bytes,
    read_fields,
    row,
    write_fields,
)

__all__ = [
    "BASE",
    "DELETE_FLAGS",
    "EDGES",
    "IGNORABLE",
    "INCLUDED",
    "LINKED",
    "LOGGED",
    "LONGEST_RULES",
    "ORPHANS_DEPENDANTS",
    "RELEASES_ALIASES",
    "SOURCES",
    "USED",
    "USES",
    "Alias",
    "Commit",
    "Condemn",
    "Delete",
    "Edge",
    "Extension",
    "Hold",
    "Meta",
    "Moved",
    "Opaque",
    "Operation",
    "Place",
    "Rename",
    "Rules",
    "Run",
    "Source",
    "Stage",
    "Ttl",
    "Undelete",
    "Upgrade",
    "read_extensions",
    "read_operation",
    "write_extensions",
    "write_operation",
]

IGNORABLE: Final = 128
"""The least kind of an operation, and tag of an extension, that a reader may pass over."""
LONGEST_RULES: Final = 16 << 10
"""Bytes of the retention rules."""

BASE: Final = ord("b")
INCLUDED: Final = ord("i")
LINKED: Final = ord("k")
USED: Final = ord("u")
LOGGED: Final = ord("l")
"""Kinds of lineage, as in the manifest: see `artstore.rows.lineage`."""

RELEASES_ALIASES: Final = 1
"""A flag of `Delete`: the aliases of the version go with it."""
ORPHANS_DEPENDANTS: Final = 2
"""A flag of `Delete`: versions that were made from it stay without it."""


class Extension(NamedTuple):
    """A field of a later release that this one may pass over."""

    tag: int
    data: bytes


class Place(NamedTuple):
    """An operation of the log: the number of its entry, and its position among all operations of that entry."""

    number: int
    position: int


class Source(NamedTuple):
    """A version that another one is based on, includes or links to."""

    kind: int
    version: bytes


class Edge(NamedTuple):
    """A version that a run used or logged, and when."""

    kind: int
    version: bytes
    at_ns: int


class Commit(NamedTuple):
    """Make a version, and its artifact if there is none of the uuid.

    ``next`` is the artifact's next number as the writer knew it; ``number``, the version's, is higher only where
    numbers of another workspace are kept.  ``root`` is the span of the root's record, ``record`` that of the
    description, metadata and tags, ``manifest`` the push's manifest.
    """

    artifact: bytes
    name: str
    type: str
    next: int
    number: int
    version: bytes
    digest: bytes
    root: Span
    entries: int
    files: int
    bytes: int
    created_ns: int
    mtime_ns: int
    mode: int
    record: Span | None
    manifest: Span
    sources: tuple[Source, ...] = ()
    extensions: tuple[Extension, ...] = ()


class Stage(NamedTuple):
    """Keep the objects of an unfinished push until a time; 0 ends it."""

    stage: bytes
    manifest: Span
    until_ns: int
    extensions: tuple[Extension, ...] = ()


class Alias(NamedTuple):
    """Let an alias name a version, or (None) none, if it names ``expected``."""

    artifact: bytes
    alias: str
    expected: int | None
    version: int | None
    extensions: tuple[Extension, ...] = ()


class Delete(NamedTuple):
    """Delete a version if its artifact's revision is ``revision``; it can come back until it is reaped.

    No pack of it is condemned before ``due_ns``.  ``reason`` is the retention rule that applied, or empty.
    """

    artifact: bytes
    number: int
    revision: int
    due_ns: int
    flags: int
    reason: str
    extensions: tuple[Extension, ...] = ()


class Undelete(NamedTuple):
    """Bring a deleted version back that has not been reaped."""

    artifact: bytes
    number: int
    extensions: tuple[Extension, ...] = ()


class Rename(NamedTuple):
    """Give an artifact that has the name ``expected`` another one."""

    artifact: bytes
    expected: str
    name: str
    extensions: tuple[Extension, ...] = ()


class Meta(NamedTuple):
    """Give a version, or (None) its artifact, another record, if the last one is of the entry ``expected``.

    ``type`` is that of the artifact, and empty for a version.
    """

    artifact: bytes
    number: int | None
    expected: int
    type: str
    record: Span | None
    extensions: tuple[Extension, ...] = ()


class Ttl(NamedTuple):
    """Let a version expire at a time, or (0) no longer, if its time was ``expected_ns``."""

    artifact: bytes
    number: int
    expected_ns: int
    expires_ns: int
    extensions: tuple[Extension, ...] = ()


class Rules(NamedTuple):
    """Replace the retention rules, if the last ones are of the entry ``expected``; the fold does not read them."""

    expected: int
    rules: bytes
    extensions: tuple[Extension, ...] = ()


class Hold(NamedTuple):
    """Keep the packs of a version until a time, even if it is deleted; 0 ends it."""

    hold: bytes
    artifact: bytes
    number: int
    until_ns: int
    reason: str
    extensions: tuple[Extension, ...] = ()


class Run(NamedTuple):
    """Record a run, or (None) forget its record, if the last change of it is of the entry ``expected``."""

    run: bytes
    name: str
    expected: int
    record: Span | None
    edges: tuple[Edge, ...] = ()
    extensions: tuple[Extension, ...] = ()


class Condemn(NamedTuple):
    """Give up the packs of a list; ``reaped`` are the commits of all deleted versions that use one of them."""

    listed: Span
    packs: int
    bytes: int
    reaped: tuple[Place, ...] = ()
    extensions: tuple[Extension, ...] = ()


class Moved(NamedTuple):
    """Say where the content of condemned packs is now; only with the condemn, and after an upgrade to writer 2."""

    map: Span
    extensions: tuple[Extension, ...] = ()


class Upgrade(NamedTuple):
    """Let entries of writers below ``least`` be void from here on."""

    least: int
    extensions: tuple[Extension, ...] = ()


class Opaque(NamedTuple):
    """An ignorable operation of a later release."""

    kind: int
    data: bytes


Operation = (
    Commit
    | Stage
    | Alias
    | Delete
    | Undelete
    | Rename
    | Meta
    | Ttl
    | Rules
    | Hold
    | Run
    | Condemn
    | Moved
    | Upgrade
    | Opaque
)
USES: Final = (Commit, Stage, Undelete, Hold, Meta, Run)
"""The operations that name objects, or keep some from being condemned (rules R1 and R2)."""


def _letters(kinds: Sequence[int]) -> Field:
    def write(out: bytearray, value: Any) -> None:
        if value not in kinds:
            raise InvalidInputError(f"{value!r:.20} is not a kind of lineage")
        out.append(value)

    def read(cursor: Cursor) -> int:
        value = cursor.take(1)[0]
        if value not in kinds:
            raise DamageError(f"an entry or checkpoint has an unknown kind of lineage, {value}")
        return value

    return Field(write, read)


_FLAGS: Final = RELEASES_ALIASES | ORPHANS_DEPENDANTS
DELETE_FLAGS: Final = flags(_FLAGS)
SOURCES: Final = list_of(row(Source, _letters((BASE, INCLUDED, LINKED)), ID))
EDGES: Final = list_of(row(Edge, _letters((USED, LOGGED)), ID, TIME))

_FORMS: Final[dict[int, tuple[Callable[..., Any], tuple[Field, ...]]]] = {
    1: (
        Commit,
        (
            *(ID, NAME, TEXT, NUMBER, NUMBER, ID, HASH, SPAN, U64, U64, U64, TIME, I64, MODE),
            *(OPTIONAL_SPAN, SPAN, SOURCES),
        ),
    ),
    2: (Stage, (ID, SPAN, TIME)),
    3: (Alias, (ID, TEXT, OPTIONAL_NUMBER, OPTIONAL_NUMBER)),
    4: (Delete, (ID, NUMBER, U64, TIME, DELETE_FLAGS, TEXT)),
    5: (Undelete, (ID, NUMBER)),
    6: (Rename, (ID, NAME, NAME)),
    7: (Meta, (ID, OPTIONAL_NUMBER, U64, TEXT, OPTIONAL_SPAN)),
    8: (Ttl, (ID, NUMBER, TIME, TIME)),
    9: (Rules, (U64, long_bytes(LONGEST_RULES))),
    10: (Hold, (ID, ID, NUMBER, TIME, TEXT)),
    11: (Run, (ID, NAME, U64, OPTIONAL_SPAN, EDGES)),
    12: (Condemn, (SPAN, U32, U64, list_of(row(Place, U64, U16)))),
    13: (Moved, (SPAN,)),
    14: (Upgrade, (U16,)),
}
"""For each kind: its class, and the forms of its fields but the extensions."""
_KINDS: Final[dict[Any, int]] = {kind: number for number, (kind, _) in _FORMS.items()}


def write_operation(out: bytearray, operation: Operation) -> None:
    """Append the form of an operation; raise `InvalidInputError` for values that have none."""
    body = bytearray()
    if isinstance(operation, Opaque):
        _check_ignorable(operation.kind)
        number = operation.kind
        body += operation.data
    else:
        number = _KINDS[type(operation)]
        write_fields(body, _FORMS[number][1], operation[:-1])
        write_extensions(body, operation.extensions)
    U8.write(out, number)
    U16.write(out, len(body))
    out += body


def read_operation(cursor: Cursor) -> Operation:
    """Read an operation; raise `DamageError` if it is malformed, `UnsupportedError` if it is of a later release."""
    number = U8.read(cursor)
    body = Cursor(cursor.take(U16.read(cursor)))
    if number >= IGNORABLE:
        return Opaque(number, body.take(body.left))
    if number not in _FORMS:
        raise UnsupportedError(f"it has an operation of kind {number}, which only a later release of artfs knows")
    kind, fields = _FORMS[number]
    operation: Operation = kind(*read_fields(body, fields), read_extensions(body))
    return operation


def write_extensions(out: bytearray, extensions: Sequence[Extension]) -> None:
    """Append extensions; raise `InvalidInputError` if their tags do not rise or are not ignorable."""
    before = 0
    for tag, data in extensions:
        _check_ignorable(tag)
        if tag <= before:
            raise InvalidInputError(f"the extension {tag} follows {before}; tags rise")
        before = tag
        U8.write(out, tag)
        U16.write(out, len(data))
        out += data


def read_extensions(cursor: Cursor) -> tuple[Extension, ...]:
    """Read all that is left as extensions; raise `UnsupportedError` for one that is not ignorable."""
    extensions: list[Extension] = []
    before = 0
    while cursor.left:
        tag = U8.read(cursor)
        data = cursor.take(U16.read(cursor))
        if tag <= before:
            raise DamageError(f"an entry has the extension {tag} after {before}")
        if tag < IGNORABLE:
            raise UnsupportedError(f"it has a field {tag} which only a later release of artfs knows")
        before = tag
        extensions.append(Extension(tag, data))
    return tuple(extensions)


def _check_ignorable(number: int) -> None:
    if number < IGNORABLE:
        raise InvalidInputError(f"the kind or tag {number} is not ignorable, and this release does not know it")
