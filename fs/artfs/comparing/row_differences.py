"""Rows that differ between two tables, by a key; only in the child.

Each row becomes two numbers of 64 bits: a hash of its key, and one of all its values.  They are kept in parts by the
first bits of the key, on disk once they are many, and each part is sorted: what has no equal on the other side differs.
A second reading takes the rows that differ, and the values for histograms.  So a table of any length needs 16 bytes a
row on disk, and memory for an eighth of that.  Values are equal as in SQL's IS NOT DISTINCT FROM: NaN equals NaN.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute

from artfs.contents.child_program import Files
from artfs.contents.table_formats import RowTable, open_table
from artfs.contents.table_previews import texts
from artstore.errors import InvalidInputError

__all__ = ["differences"]

_PARTS: Final = 8
_KEPT_BYTES: Final = 16 << 20
_AT_ONCE: Final = 128 << 10
_WIDE_BYTES: Final = 16 << 20
_DETAILED: Final = 300_000
_TRIED_KEYS: Final = 5
_HISTOGRAMS: Final = 12
_BINS: Final = 20
_SAMPLE: Final = 500_000
_LIKELY: Final = ("id", "key", "uuid", "index", "path", "name", "file", "filename")


class _Side(NamedTuple):
    table: RowTable
    skipped: frozenset[int]


class _NotUnique(Exception):
    """A key has a value twice."""


class _Numbers:
    """The numbers of a table's rows: (key, values), in parts by the key."""

    def __init__(self, folder: str, name: str) -> None:
        self._names = [os.path.join(folder, f"{name}{part}") for part in range(_PARTS)]
        self._kept: list[list[Any]] = [[] for _ in range(_PARTS)]
        self._bytes = 0
        self.rows = 0

    def add(self, keys: Any, values: Any) -> None:
        pairs = np.stack([keys, values], axis=1)
        parts = keys >> np.uint64(61)
        for part in range(_PARTS):
            self._kept[part].append(pairs[parts == part])
        self._bytes += pairs.nbytes
        self.rows += len(pairs)
        if self._bytes > _KEPT_BYTES:
            for part, name in enumerate(self._names):
                with open(name, "ab") as file:
                    for each in self._kept[part]:
                        each.tofile(file)
                self._kept[part] = []
            self._bytes = 0

    def part(self, part: int) -> Any:
        """Return the pairs of a part, and forget them."""
        found = [np.fromfile(self._names[part], np.uint64).reshape(-1, 2)] if os.path.exists(self._names[part]) else []
        pairs = np.concatenate([*found, *self._kept[part], np.zeros((0, 2), np.uint64)])
        self._kept[part] = []
        return pairs


def differences(files: Files, options: dict[str, Any]) -> dict[str, Any]:
    """Return what differs between the tables of two files, as the fields of `TableDifference`."""
    try:
        return _differences(files, options, as_text=False)
    except pa.ArrowInvalid:
        if not any(files.open(index).name.lower().endswith((".csv", ".tsv")) for index in (0, 1)):
            raise
        return _differences(files, options, as_text=True)  # a later value is not of the type of the first ones


def _differences(files: Files, options: dict[str, Any], *, as_text: bool) -> dict[str, Any]:
    tables = [open_table(files, index, as_text=as_text) for index in (0, 1)]
    old, new = (dict(zip(table.schema.names, table.schema.types, strict=True)) for table in tables)
    common = [name for name in new if name in old]
    skipped = _equal_groups(files, *tables)
    sides = [_Side(table, frozenset(skip)) for table, skip in zip(tables, skipped, strict=True)]
    result: dict[str, Any] = {
        "columns_added": [[name, str(new[name])] for name in new if name not in old],
        "columns_removed": [[name, str(old[name])] for name in old if name not in new],
        "columns_retyped": [[name, str(old[name]), str(new[name])] for name in common if old[name] != new[name]],
        "columns": common,
        "skipped_groups": len(skipped[0]),
        "groups": len(tables[0].groups()),
    }
    if not common:
        raise InvalidInputError("the tables have no column in common")
    given = list(options.get("key", ()))
    for name in given:
        if name not in common:
            which = "neither table" if name not in old and name not in new else "only one of the tables"
            raise InvalidInputError(f"the key {name!r} is a column of {which}")
    for key in [given] if given else _keys(sides, common):
        try:
            return result | _Comparison(files.folder, sides, common, key, options).run()
        except _NotUnique:
            if given:
                named = ", ".join(repr(name) for name in key)
                raise InvalidInputError(f"the key {named} is not unique: rows cannot be compared by it") from None
    return result | _Comparison(files.folder, sides, common, [], options).run()


def _equal_groups(files: Files, old: RowTable, new: RowTable) -> tuple[set[int], set[int]]:
    """Return the row groups of each table whose bytes, and so rows, the other has too."""
    found: tuple[set[int], set[int]] = (set(), set())
    if old.format != new.format or old.schema != new.schema:
        return found
    free: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, (start, size, rows) in enumerate(new.groups()):
        free.setdefault((size, rows), []).append((number, start))
    for number, (start, size, rows) in enumerate(old.groups()):
        candidates = free.get((size, rows), [])
        for candidate in candidates[:4]:
            if files.are_equal(start, candidate[1], size):
                found[0].add(number)
                found[1].add(candidate[0])
                candidates.remove(candidate)
                break
    return found


def _keys(sides: list[_Side], common: list[str]) -> list[list[str]]:
    """Return columns that may be keys: those whose first values are unique on both sides, the likely names first."""
    firsts = [next(side.table.batches(common, side.skipped), None) for side in sides]
    usable = []
    for name in common:
        kinds = [side.table.schema.field(name).type for side in sides]
        if not all(_may_be_key(kind) for kind in kinds):
            continue
        columns = [first.column(name) for first in firsts if first is not None]
        if all(pa.compute.count_distinct(each, mode="all").as_py() == len(each) for each in columns):
            usable.append(name)
    usable.sort(key=lambda name: (name.lower() not in _LIKELY, not name.lower().endswith("id")))
    return [[name] for name in usable[:_TRIED_KEYS]]


class _Comparison:
    """One comparison by a key; without one, of whole rows."""

    def __init__(self, folder: str, sides: list[_Side], common: list[str], key: list[str], options: dict[str, Any]):
        self._folder, self._sides, self._common, self._key = folder, sides, common, key
        self._most = int(options.get("examples", 50))
        self._lows: dict[str, float] = {}
        self._highs: dict[str, float] = {}
        self._database = duckdb.connect(
            config={"memory_limit": "120MB", "threads": 2, "temp_directory": folder, "autoload_known_extensions": False}
        )
        for setting in ("python_enable_replacements = false", "enable_progress_bar = false"):
            self._do(f"SET {setting}")
        self._columns = [f"c{number}" for number in range(len(common))]
        self._keys = [f"c{common.index(name)}" for name in key] or self._columns
        self._types = [self._types_of(side) for side in sides]
        self._numeric = [
            name for name in common if all(_is_number(side.table.schema.field(name).type) for side in sides)
        ][:_HISTOGRAMS]

    def run(self) -> dict[str, Any]:
        numbers = [self._numbers(index) for index in (0, 1)]
        found = [self._differing(part, *(each.part(part) for each in numbers)) for part in range(_PARTS)]
        only = [np.concatenate([part[side] for part in found]) for side in (0, 1)]
        changed = len(np.intersect1d(only[0][:, 0], only[1][:, 0], assume_unique=True)) if self._key else 0
        removed, added = len(only[0]) - changed, len(only[1]) - changed
        rows = [self._rows(index, numbers[index].rows) for index in (0, 1)]
        details: dict[str, Any] = {"by_column": [], "examples": [], "histograms": [], "detailed": 0}
        if removed or added or changed:
            details = self._details(only, rows)
        return {
            "key": self._key,
            "old_rows": rows[0],
            "new_rows": rows[1],
            "removed": removed,
            "added": added,
            "changed": changed,
            **details,
        }

    def _do(self, query: str) -> list[tuple[Any, ...]]:
        """Run a statement to its end: the connection takes another one only then."""
        return self._database.execute(query).fetchall()

    def _rows(self, index: int, read: int) -> int:
        table = self._sides[index].table
        return read if table.rows is None else table.rows

    def _types_of(self, side: _Side) -> list[str]:
        self._database.register("empty", pa.Table.from_batches([], self._schema(side)))
        found = [row[1] for row in self._do("DESCRIBE SELECT * FROM empty")]
        self._database.unregister("empty")
        return found

    def _schema(self, side: _Side) -> pa.Schema:
        fields = [_read_type(side.table.schema.field(name).type) for name in self._common]
        return pa.schema(list(zip(self._columns, fields, strict=True)))

    def _expression(self, index: int, column: str) -> str:
        """Return a column as it is compared: what the old table has, as the type of the new one."""
        number = int(column[1:])
        if index == 0 and self._types[0][number] != self._types[1][number]:
            return f"TRY_CAST({column} AS {self._types[1][number]})"
        return column

    def _hash(self, index: int, columns: list[str]) -> str:
        return f"hash({', '.join(self._expression(index, column) for column in columns)})"

    def _read(self, index: int) -> Iterator[tuple[list[pa.RecordBatch], pa.Table]]:
        """Yield some rows at a time, as they are and as the database reads them."""
        side = self._sides[index]
        schema = self._schema(side)
        waiting: list[pa.RecordBatch] = []
        for batch in side.table.batches(self._common, side.skipped):
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= _AT_ONCE or batch.nbytes > _WIDE_BYTES:
                yield waiting, self._converted(waiting, schema)
                waiting = []
        if waiting:
            yield waiting, self._converted(waiting, schema)

    def _converted(self, batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
        made = []
        for batch in batches:
            arrays = [
                batch.column(name) if batch.column(name).type == kind else batch.column(name).cast(kind)
                for name, kind in zip(self._common, schema.types, strict=True)
            ]
            made.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return pa.Table.from_batches(made, schema)

    def _hashes(self, rows: pa.Table, *expressions: str) -> list[Any]:
        self._database.register("stream", rows)
        named = ", ".join(f"{each} AS h{number}" for number, each in enumerate(expressions))
        found = self._database.sql(f"SELECT {named} FROM stream").to_arrow_table()
        self._database.unregister("stream")
        return [column.to_numpy() for column in found.columns]

    def _numbers(self, index: int) -> _Numbers:
        """Read a table once: the numbers of its rows, and the ends of its histograms."""
        numbers = _Numbers(self._folder, "ab"[index])
        for batches, rows in self._read(index):
            for batch in batches:
                self._widen(batch)
            numbers.add(*self._hashes(rows, self._hash(index, self._keys), self._hash(index, self._columns)))
        return numbers

    def _widen(self, batch: pa.RecordBatch) -> None:
        for name in self._numeric:
            ends = pa.compute.min_max(batch.column(name)).as_py()
            low, high = ends["min"], ends["max"]
            if low is not None and np.isfinite(float(low)) and np.isfinite(float(high)):
                self._lows[name] = min(self._lows.get(name, float(low)), float(low))
                self._highs[name] = max(self._highs.get(name, float(high)), float(high))

    def _differing(self, part: int, old: Any, new: Any) -> tuple[Any, Any]:
        """Return the pairs of a part that only one side has; raise `_NotUnique` for a key that is not."""
        if not self._key:
            return _surplus(old, new), _surplus(new, old)
        result = []
        values = []
        for pairs in (old, new):
            keys = np.sort(pairs[:, 0])
            if len(keys) > 1 and (keys[1:] == keys[:-1]).any():
                raise _NotUnique
            values.append(np.sort(pairs[:, 1]))
        for pairs, others in ((old, values[1]), (new, values[0])):
            mine = pairs[np.argsort(pairs[:, 1])] if len(others) else pairs
            places = np.searchsorted(others, mine[:, 1])
            places[places == len(others)] = 0
            is_there = others[places] == mine[:, 1] if len(others) else np.zeros(len(mine), bool)
            result.append(mine[~is_there])
        return result[0], result[1]

    # -- the second reading --------------------------------------------------------------------------------------------

    def _details(self, only: list[Any], rows: list[int]) -> dict[str, Any]:
        samples: list[dict[str, list[Any]]] = [{name: [] for name in self._numeric} for _ in (0, 1)]
        chosen = self._chosen(only)
        for index in (0, 1):
            step = max(1, rows[index] // _SAMPLE)
            kept = ", ".join(f"{name} {kind}" for name, kind in zip(self._columns, self._types[index], strict=True))
            self._do(f"CREATE OR REPLACE TABLE rows{index} ({kept})")
            wanted = np.unique(chosen[index][:, 1])
            for batches, table in self._read(index):
                for batch in batches:
                    for name in self._numeric:
                        values = batch.column(name).to_numpy(zero_copy_only=False)[::step].astype(float)
                        samples[index][name].append(self._binned(name, values))
                if not len(wanted):
                    continue
                [hashes] = self._hashes(table, self._hash(index, self._columns))
                places = np.searchsorted(wanted, hashes)
                places[places == len(wanted)] = 0
                self._database.register("stream", table.filter(pa.array(wanted[places] == hashes)))
                self._do(f"INSERT INTO rows{index} SELECT * FROM stream")
                self._database.unregister("stream")
        return {
            "by_column": self._by_column(),
            "examples": self._examples(),
            "histograms": self._histograms(samples, rows),
            "detailed": max(len(each) for each in chosen),
        }

    def _chosen(self, only: list[Any]) -> list[Any]:
        """Return the pairs whose rows are looked at: all of few, else those of the first keys."""
        if max(len(each) for each in only) <= _DETAILED:
            return only
        keys = np.sort(np.concatenate([each[:, 0] for each in only]))
        most = keys[min(_DETAILED, len(keys) - 1)]
        return [each[each[:, 0] < most] for each in only]

    def _joined(self, kind: str) -> str:
        on = " AND ".join(
            f"{self._expression(0, key).replace(key, 'a.' + key)} IS NOT DISTINCT FROM b.{key}" for key in self._keys
        )
        return f"FROM rows0 a {kind} JOIN rows1 b ON {on}"

    def _by_column(self) -> list[tuple[str, int]]:
        others = [column for column in self._columns if column not in self._keys]
        if not others or not self._key:
            return []
        counts = ", ".join(
            f"count(*) FILTER (WHERE {self._expression(0, each).replace(each, 'a.' + each)} IS DISTINCT FROM b.{each})"
            for each in others
        )
        [found] = self._do(f"SELECT {counts} {self._joined('INNER')}")
        named = [(self._common[int(column[1:])], count) for column, count in zip(others, found, strict=True) if count]
        return sorted(named, key=lambda each: (-each[1], each[0]))

    def _examples(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        olds, news = (", ".join(f"{side}.{column}" for column in self._columns) for side in "ab")
        order = " ORDER BY ALL LIMIT " + str(self._most)
        if not self._key:
            for kind, table, place in (("removed", "rows0", "old"), ("added", "rows1", "new")):
                for cells in self._cells(f"SELECT {', '.join(self._columns)} FROM {table}{order}"):
                    found.append({"kind": kind, "old": None, "new": None, place: cells})
            return found
        width = len(self._columns)
        queries = (
            ("removed", f"SELECT {olds} {self._joined('ANTI')}{order}"),
            ("added", f"SELECT {news} FROM rows1 b WHERE NOT EXISTS (SELECT 1 {self._same_key()}){order}"),
            ("changed", f"SELECT {news}, {olds} {self._joined('INNER')}{order}"),
        )
        for kind, query in queries:
            for cells in self._cells(query):
                old = cells[width:] if kind == "changed" else cells if kind == "removed" else None
                found.append({"kind": kind, "old": old, "new": None if kind == "removed" else cells[:width]})
        return found

    def _cells(self, query: str) -> list[list[str | None]]:
        found = self._database.sql(query).to_arrow_table()
        return [list(row) for row in zip(*(texts(column) for column in found.columns), strict=True)]

    def _same_key(self) -> str:
        on = " AND ".join(
            f"{self._expression(0, key).replace(key, 'x.' + key)} IS NOT DISTINCT FROM b.{key}" for key in self._keys
        )
        return f"FROM rows0 x WHERE {on}"

    # -- histograms ----------------------------------------------------------------------------------------------------

    def _binned(self, name: str, values: Any) -> Any:
        low, high = self._lows.get(name, 0.0), self._highs.get(name, 0.0)
        width = (high - low) / _BINS
        if not np.isfinite(width) or width <= 0:
            return np.zeros(_BINS, np.int64)
        places = ((values[np.isfinite(values)] - low) / width).clip(0, _BINS - 1).astype(np.int64)
        return np.bincount(places, minlength=_BINS)

    def _histograms(self, samples: list[dict[str, list[Any]]], rows: list[int]) -> list[dict[str, Any]]:
        found = []
        for name in self._numeric:
            if name in self._key:
                continue
            before, after = (
                np.sum(side[name], axis=0) if side[name] else np.zeros(_BINS, np.int64) for side in samples
            )
            low, high = self._lows.get(name, 0.0), self._highs.get(name, 0.0)
            if (before == after).all() or high <= low:
                continue
            ends = np.linspace(low, high, _BINS + 1)
            bins = [[float(ends[at]), float(ends[at + 1]), int(before[at]), int(after[at])] for at in range(_BINS)]
            found.append({"column": name, "every": max(1, max(rows) // _SAMPLE), "bins": bins})
        return found


def _surplus(pairs: Any, others: Any) -> Any:
    """Return the rows of one side that the other does not have as often, each as often as that."""
    values, counts = np.unique(pairs[:, 1], return_counts=True)
    other_values, other_counts = np.unique(others[:, 1], return_counts=True)
    places = np.searchsorted(other_values, values)
    known = np.zeros(len(values), np.int64)
    inside = places < len(other_values)
    inside[inside] = other_values[places[inside]] == values[inside]
    known[inside] = other_counts[places[inside]]
    more = np.repeat(values, np.maximum(counts - known, 0))
    return np.stack([more, more], axis=1)


def _may_be_key(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(check(kind) for check in (*checks, pa.types.is_temporal, pa.types.is_decimal))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or (pa.types.is_floating(kind) and not pa.types.is_float16(kind))


def _read_type(kind: pa.DataType) -> pa.DataType:
    """Return the type as which the database reads a column."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if isinstance(kind, pa.BaseExtensionType):
        return _read_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _read_type(kind.value_type)
    return kind
