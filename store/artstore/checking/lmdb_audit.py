"""The audit of LMDB's own pages; a separate process, because a damaged map can kill the process that reads it.

    python -m artstore.checking.lmdb_audit FOLDER

It writes one JSON document a line: ``{"progress": [done, total]}``, ``{"problem": sentence}``, ``{"busy": sentence}``,
and last ``{"done": pages}``.  If it cannot write, it ends with `UNHEARD` plus the errno as exit code.

The file may be in use: a read transaction is held throughout, and LMDB overwrites no page that its snapshot, or the
one before it, can reach.  The pages are first read as a file; only if they are sound are they read through LMDB's map.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from artstore import beneath
from artstore.checking.lmdb_format import (
    BIG_DATA,
    HEAD_LENGTH,
    NO_PAGE,
    SUB_TABLE,
    Meta,
    Node,
    TableRecord,
    parse_meta,
    parse_nodes,
    parse_overflow,
    parse_table,
)
from artstore.errors import DamageError, LimitError
from artstore.limits import machine_error
from artstore.records.tables import Table
from artstore.storage import disk
from artstore.storage.lmdb_files import DATA, open_environment

__all__ = ["UNHEARD", "Auditor", "audit", "main"]

UNHEARD: Final = 64
"""Exit code, plus the errno, of an audit that could not write what it found; that says nothing of the pages."""

_INTEGER_KEYS: Final = 0x08
_DEEPEST: Final = 32
_LONGEST_KEY: Final = 511
_MOST_PROBLEMS: Final = 1000
_SPARE_MAP: Final = 1 << 30
_TRIES: Final = 20
_PROGRESS_SECONDS: Final = 0.2


class _Place(NamedTuple):
    """A page that a table leads to: its level (0 for leaves), and the keys that it may hold: low <= key < high."""

    page: int
    level: int
    low: bytes | None
    high: bytes | None


class Auditor:
    """Follow every page of one snapshot of an LMDB file, which is read and never mapped.

    ``problems`` lists the damage; ``pages`` counts the pages reached, each of which is read once.
    """

    def __init__(self, fd: int, meta: Meta, tick: Callable[[int, int], None]) -> None:
        self.problems: list[str] = []
        self.pages = 0
        self._fd = fd
        self._meta = meta
        self._tick = tick
        self._in_file = -(-os.fstat(fd).st_size // meta.page_size)
        self._reached = bytearray(min(self._in_file, meta.last_page + 1))
        self._beyond: set[int] = set()
        """Free pages past the end of the file: LMDB need not have written them."""

    def run(self) -> None:
        """Reach every page from the meta page, the tables and the free list."""
        meta = self._meta
        self._reached[:2] = b"\1" * min(2, len(self._reached))
        self.pages = 2
        free: list[tuple[int, bytes]] = []
        tables: list[tuple[bytes, TableRecord]] = []
        self._table(
            "the free list", meta.free, _INTEGER_KEYS, lambda node, data: free.append((_number(node.key), data))
        )
        self._table("the main table", meta.main, 0, lambda node, data: tables.append((node.key, parse_table(data))))
        names = {name.decode("ascii", "replace") for name, _ in tables}
        known = {table.name.lower() for table in Table}
        if names - known and known - names:  # a newer release may have more; one whose name is damaged has another
            self._problem(f"the tables {sorted(known - names)} are missing, and {sorted(names - known)} are unknown")
        for name, record in tables:
            self._table(f"the table {name.decode('ascii', 'replace')}", record, 0, None)
        for transaction, data in free:
            with self._noting():
                self._free_pages(transaction, data)
        if free and free[-1][0] != meta.transaction:
            self._problem(
                f"the newest record of the free list is of transaction {free[-1][0]}, but the meta page is of "
                f"transaction {meta.transaction}"
            )
        if not self.problems and self.pages != meta.last_page + 1:
            lost = meta.last_page + 1 - self.pages
            self._problem(f"{lost} of {meta.last_page + 1} pages belong to no table and are not free")

    def newest_free(self) -> int | None:
        """Return the transaction of the newest record in the free list, or None where it is empty."""
        place = self._meta.free.root
        for _ in range(_DEEPEST):
            if place == NO_PAGE:
                return None
            is_leaf, nodes = parse_nodes(self._page(place), place)
            if is_leaf:
                return _number(nodes[-1].key)
            place = nodes[-1].page
        raise DamageError("the free list is too deep")

    def _problem(self, sentence: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(sentence)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except DamageError as error:
            self._problem(str(error))

    def _page(self, number: int, count: int = 1) -> bytes:
        size = self._meta.page_size
        data = os.pread(self._fd, count * size, number * size)
        if len(data) != count * size:
            raise DamageError(f"page {number} lies past the end of the file")
        return data

    def _reach(self, number: int, what: str) -> None:
        """Mark a page as in use; raise `DamageError` if it is out of range or already marked."""
        if not 2 <= number <= self._meta.last_page:
            raise DamageError(f"{what} refers to page {number}, which is out of range")
        if number >= len(self._reached):
            raise DamageError(f"{what} refers to page {number}, which lies past the end of the file")
        if self._reached[number]:
            raise DamageError(f"{what} refers to page {number}, which is already in use")
        self._reached[number] = 1
        self.pages += 1

    def _table(self, what: str, record: TableRecord, flags: int, take: Callable[[Node, bytes], None] | None) -> None:
        """Follow one table from its root, and compare its contents with its record."""
        if record.flags != flags:
            self._problem(f"{what} has the invalid flags {record.flags}")
            return
        counts = [0, 0, 0, 0]
        before = len(self.problems)
        if record.root == NO_PAGE:
            if record.depth:
                self._problem(f"{what} has no root but {record.depth} levels")
        elif not 1 <= record.depth <= _DEEPEST:
            self._problem(f"{what} has an invalid depth: {record.depth} levels")
        else:
            self._follow(what, record, flags, take, counts)
        recorded = [record.branch_pages, record.leaf_pages, record.overflow_pages, record.entries]
        if counts != recorded and len(self.problems) == before:
            self._problem(f"{what} has {counts} branch, leaf and overflow pages and entries; its record has {recorded}")

    def _follow(
        self,
        what: str,
        record: TableRecord,
        flags: int,
        take: Callable[[Node, bytes], None] | None,
        counts: list[int],
    ) -> None:
        order = _number if flags & _INTEGER_KEYS else _same
        stack = [_Place(record.root, record.depth - 1, None, None)]
        while stack:
            place = stack.pop()
            with self._noting():
                self._reach(place.page, what)
                is_leaf, nodes = parse_nodes(self._page(place.page), place.page)
                if is_leaf != (place.level == 0):
                    raise DamageError(f"page {place.page} of {what} has the wrong kind for level {place.level}")
                _refuse_disorder(place, nodes, is_leaf, order, what)
                counts[is_leaf] += 1
                if is_leaf:
                    counts[3] += len(nodes)
                    self._take_leaf(what, nodes, take, counts)
                else:
                    stack += reversed(_below(place, nodes))
            self._tick(self.pages, self._meta.last_page + 1)

    def _take_leaf(
        self, what: str, nodes: list[Node], take: Callable[[Node, bytes], None] | None, counts: list[int]
    ) -> None:
        """Check the nodes of a leaf, and reach the overflow pages of their data."""
        allowed = SUB_TABLE if what == "the main table" else BIG_DATA
        for node in nodes:
            if node.flags & ~allowed or (allowed == SUB_TABLE and node.flags != SUB_TABLE):
                raise DamageError(f"{what} has a record with the invalid flags {node.flags}")
            if not node.flags & BIG_DATA:
                if take is not None:
                    take(node, node.data)
                continue
            pages = parse_overflow(os.pread(self._fd, HEAD_LENGTH, node.page * self._meta.page_size), node.page)
            if pages * self._meta.page_size < HEAD_LENGTH + node.size:
                raise DamageError(
                    f"{what} has a value of {node.size} bytes in only {pages} pages from page {node.page} on"
                )
            for page in range(node.page, node.page + pages):
                self._reach(page, what)
            counts[2] += pages
            if take is not None:
                take(node, self._page(node.page, pages)[HEAD_LENGTH : HEAD_LENGTH + node.size])

    def _free_pages(self, transaction: int, data: bytes) -> None:
        """Reach the pages in one record of the free list: a count, then page numbers in descending order."""
        words = memoryview(data[: len(data) // 8 * 8]).cast("Q")
        if not words or words[0] >= len(words):
            raise DamageError(f"the free list's record of transaction {transaction} is malformed")
        pages = words[1 : words[0] + 1].tolist()
        if any(after >= before for before, after in pairwise(pages)):
            raise DamageError(f"the free list's record of transaction {transaction} is out of order")
        for page in pages:
            if len(self._reached) <= page <= self._meta.last_page and page not in self._beyond:
                self._beyond.add(page)
                self.pages += 1
            else:
                self._reach(page, "the free list")


def _number(key: bytes) -> int:
    if len(key) != 8:
        raise DamageError(f"the free list has a key of {len(key)} bytes, not 8")
    return int.from_bytes(key, "little")


def _same(key: bytes) -> bytes:
    return key


def _refuse_disorder(place: _Place, nodes: list[Node], is_leaf: bool, order: Callable[[bytes], Any], what: str) -> None:
    """Raise `DamageError` unless a page's keys ascend, and lie where the branches above it lead.

    The first key of a branch is not used.
    """
    used = nodes if is_leaf else nodes[1:]
    if not all(0 < len(node.key) <= _LONGEST_KEY for node in used):
        raise DamageError(f"page {place.page} of {what} has a key of invalid length")
    keys = [order(node.key) for node in used]
    if place.low is not None and keys and keys[0] < order(place.low):
        raise DamageError(f"page {place.page} of {what} has a key below its range")
    if place.high is not None and keys and keys[-1] >= order(place.high):
        raise DamageError(f"page {place.page} of {what} has a key above its range")
    if any(before >= after for before, after in pairwise(keys)):
        raise DamageError(f"page {place.page} of {what} has keys out of order")


def _below(place: _Place, nodes: list[Node]) -> list[_Place]:
    """Return the places that a branch leads to, in order."""
    lows = [place.low, *(node.key for node in nodes[1:])]
    highs = [*lows[1:], place.high]
    return [_Place(node.page, place.level - 1, low, high) for node, low, high in zip(nodes, lows, highs, strict=True)]


def audit(folder: Path, report: Callable[[dict[str, Any]], None]) -> int:
    """Audit the LMDB environment in a folder, and ``report`` what is found; return how many pages were reached."""
    due = 0.0

    def tick(done: int, total: int) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + _PROGRESS_SECONDS
            report({"progress": [done, total]})

    fd = beneath.open_file(folder.parent, folder / DATA)
    try:
        _read_metas(fd)  # before LMDB maps the file
        with _opened(folder) as env:
            raw, meta, other = _begin(env, fd)
            with raw:
                auditor = Auditor(fd, meta, tick)
                auditor.run()
                older = Auditor(fd, other, tick).newest_free()
                if older is not None and older != other.transaction:
                    # A commit whose last write failed leaves it so: LMDB uses the newer one and rewrites this one.
                    note = f"the older meta page, of transaction {other.transaction}, points to pages of transaction"
                    report({"note": f"{note} {older}"})
                for sentence in auditor.problems or _look_up_all(env, raw, tick):
                    report({"problem": sentence})
    finally:
        os.close(fd)
    return auditor.pages


def _read_metas(fd: int) -> tuple[Meta, Meta]:
    """Return the two meta pages; if they are inconsistent, read again: a commit may have been writing one."""
    for attempt in range(_TRIES):
        try:
            first = parse_meta(os.pread(fd, 4096, 0), 0)
            second = parse_meta(os.pread(fd, 4096, first.page_size), 1)
            if first.page_size != second.page_size or abs(first.transaction - second.transaction) != 1:
                raise DamageError(
                    f"the meta pages are of transactions {first.transaction} and {second.transaction}, "
                    f"with pages of {first.page_size} and {second.page_size} bytes"
                )
            return first, second
        except DamageError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.01)
    raise AssertionError


@contextmanager
def _opened(folder: Path) -> Iterator[lmdb.Environment]:
    """Open the environment for reading, and hold the lock that keeps it from being replaced."""
    lease = beneath.open_file(folder.parent, folder / "lease")
    status = beneath.status(folder.parent, folder / DATA)
    try:
        disk.try_lock(lease, shared=True)
        env = open_environment(
            folder.parent,
            folder,
            status.st_mode & 0o666,
            map_size=status.st_size + _SPARE_MAP,
            readonly=True,
            max_dbs=64,
            lib_version=0,
        )
        try:
            yield env
        finally:
            env.close()
    finally:
        os.close(lease)


def _begin(env: lmdb.Environment, fd: int) -> tuple[lmdb.Transaction, Meta, Meta]:
    """Begin to read; return the transaction, the meta page that it shows, and the other one."""
    for _ in range(_TRIES):
        raw = env.begin(buffers=True)
        metas = _read_metas(fd)
        for meta, other in (metas, metas[::-1]):
            if meta.transaction == raw.id():
                return raw, meta, other
        raw.abort()
    raise DamageError(f"LMDB reads transaction {raw.id()}, but no meta page belongs to it")


def _look_up_all(env: lmdb.Environment, raw: lmdb.Transaction, tick: Callable[[int, int], None]) -> Iterator[str]:
    """Yield a problem for each key that a cursor visits but a look-up does not find."""
    tables = [bytes(key) for key, _ in raw.cursor()]
    for name in tables:
        handle = env.open_db(name, txn=raw, create=False)
        entries = raw.stat(handle)["entries"]
        seen = 0
        with raw.cursor(handle) as cursor:
            for key in cursor.iternext(values=False):
                seen += 1
                if raw.get(key, db=handle) is None:
                    yield f"a key of the table {name.decode('ascii', 'replace')} is not found: {bytes(key).hex()}"
                if not seen & 0xFFF:
                    tick(seen, entries)
        if seen != entries:
            yield f"the table {name.decode('ascii', 'replace')} has {seen} records, but should have {entries}"


def main(folder: str) -> None:
    """Audit an environment, and write the findings to stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def report(message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            while line:
                line = line[os.write(1, line) :]
        except OSError as error:  # stdout is unusable, so the exit code carries the errno
            os._exit(UNHEARD + (error.errno or 0))

    def limited(error: Exception) -> None:
        found = machine_error(error)
        if isinstance(found, LimitError):
            report({"limit": found.message, "hint": found.hint})
            os._exit(0)

    try:
        report({"done": audit(Path(folder), report)})
    except lmdb.Error as error:
        limited(error)
        is_busy = "Resource temporarily unavailable" in str(error)  # held from another pid namespace
        report({"busy" if is_busy else "problem": f"LMDB cannot read it: {error}"})
        report({"done": 0})
    except Exception as error:
        limited(error)
        report({"problem": str(error) or type(error).__name__})
        report({"done": 0})


if __name__ == "__main__":
    main(sys.argv[1])
