"""The row diff leads from one table to the other; keys, types and equal row groups; hostile tables are a sentence."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.comparing.row_differences import differences
from artfs.comparing.tables import compare_tables
from artfs.contents.child import Limits, UnreadableError
from artfs.contents.sources import Source
from artfs.contents.table_previews import cell, preview


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(table, file, **options)
    return file.getvalue()


def source(name: str, data: bytes) -> Source:
    return Source(name, len(data), io.BytesIO(data))


class Files:
    """What the child has, in this process: for many examples in little time."""

    def __init__(self, folder: Path, *contents: tuple[str, bytes]) -> None:
        self.folder = str(folder)
        self._contents = contents

    def open(self, index: int) -> Any:
        name, data = self._contents[index]
        file = _Named(data)
        file.name, file.bytes = name, len(data)
        return file

    def are_equal(self, start: int, other: int, size: int) -> bool:
        one, two = (data for _, data in self._contents)
        return one[start : start + size] == two[other : other + size]


class _Named(io.BytesIO):
    name: str
    bytes: int


# -- the row diff is right ---------------------------------------------------------------------------------------------

VALUES = st.one_of(st.none(), st.floats(width=32), st.sampled_from([float("nan"), 0.0, 1.5]))
ROWS = st.tuples(VALUES, st.one_of(st.none(), st.text(max_size=3)), st.integers(-3, 3))
KEYED = st.dictionaries(st.one_of(st.none(), st.integers(-5, 20)), ROWS, max_size=12)


def keyed_table(rows: dict[int | None, Any], kind: pa.DataType) -> pa.Table:
    names = ("x", "text", "n")
    kinds = (pa.float64(), pa.string(), kind)
    columns = {
        name: pa.array([row[at] for row in rows.values()], pa.int64() if name == "n" else each).cast(each)
        for at, (name, each) in enumerate(zip(names, kinds, strict=True))
    }
    return pa.table({"key": pa.array(list(rows), pa.int64()), **columns})


def as_rows(table: pa.Table) -> Counter[tuple[str | None, ...]]:
    """Rows as the comparison shows them, with its equality: -0.0 is 0.0."""
    return Counter(tuple(cell(each) for each in row.values()) for row in table.to_pylist())


def applied(old: Counter[Any], found: dict[str, Any]) -> Counter[Any]:
    result = Counter(old)
    for row in found["examples"]:
        if row["old"] is not None:
            assert result[tuple(row["old"])] > 0, "a row that the old table does not have"
            result[tuple(row["old"])] -= 1
        if row["new"] is not None:
            result[tuple(row["new"])] += 1
    return +result


def without_signs(table: pa.Table) -> pa.Table:
    return table.set_column(1, "x", pa.array([None if x is None else x + 0.0 for x in table["x"].to_pylist()], "f8"))


@settings(max_examples=12, deadline=None)
@given(KEYED, KEYED, st.booleans(), st.sampled_from([2, 1000]))
def test_applying_the_difference_gives_the_new_table(
    tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any, retyped: bool, group: int
) -> None:
    one = without_signs(keyed_table(old, pa.int64()))
    other = without_signs(keyed_table(new, pa.string() if retyped else pa.int64()))
    folder = tmp_path_factory.mktemp("c")
    contents = [("t.parquet", parquet(each, row_group_size=group)) for each in (one, other)]
    found = differences(Files(folder, *contents), {"key": ["key"], "examples": 100})  # type: ignore[arg-type]
    before, after = as_rows(one), as_rows(other)
    assert applied(before, found) == after
    kinds = Counter(row["kind"] for row in found["examples"])
    assert (found["added"], found["removed"], found["changed"]) == (kinds["added"], kinds["removed"], kinds["changed"])
    assert found["added"] == len(new.keys() - old.keys())
    assert found["removed"] == len(old.keys() - new.keys())


@settings(max_examples=6, deadline=None)
@given(st.lists(ROWS, max_size=10), st.lists(ROWS, max_size=10))
def test_whole_rows_are_compared_as_often_as_they_are_there(
    tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any
) -> None:
    """Tables without a unique column, with repeated rows."""
    tables = [without_signs(keyed_table(dict(enumerate(rows)), pa.int64())).drop(["key"]) for rows in (old, new)]
    tables = [table.append_column("twice", pa.array([0] * len(table), pa.int64())) for table in tables]
    tables = [pa.concat_tables([table, table]) for table in tables]
    contents = [("t.parquet", parquet(table)) for table in tables]
    folder = tmp_path_factory.mktemp("c")
    found = differences(Files(folder, *contents), {"examples": 100})  # type: ignore[arg-type]
    before, after = (as_rows(table) for table in tables)
    if found["key"]:
        assert not old or not new
    assert (found["removed"], found["added"]) == ((before - after).total(), (after - before).total())


def test_many_rows_are_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With parts on disk the result is that of a join."""
    monkeypatch.setattr("artfs.comparing.row_differences._KEPT_BYTES", 10_000)
    keys = np.random.default_rng(1).permutation(20_000)
    old = pa.table({"id": keys, "x": keys % 7})
    new = pa.table({"id": keys[::-1][:-5] + 3, "x": (keys[::-1][:-5] + 3) % 7 + (keys[::-1][:-5] % 100 == 0)})
    contents = [("t.parquet", parquet(table)) for table in (old, new)]
    found = differences(Files(tmp_path, *contents), {})  # type: ignore[arg-type]
    [counts] = duckdb.sql(
        "SELECT count(*) FILTER (WHERE o.id IS NULL), count(*) FILTER (WHERE n.id IS NULL),"
        " count(*) FILTER (WHERE o.x <> n.x) FROM old o FULL JOIN new n USING (id)"
    ).fetchall()
    assert (found["added"], found["removed"], found["changed"]) == counts
    assert found["key"] == ["id"]
    assert found["by_column"] == [("x", counts[2])]
    assert any((tmp_path / f"a{part}").exists() for part in range(8))


def test_equal_row_groups_are_skipped(tmp_path: Path) -> None:
    table = pa.table({"id": np.arange(1000), "x": np.random.default_rng(1).random(1000)})
    changed = table.set_column(1, "x", pa.array(np.where(np.arange(1000) == 250, -1.0, table["x"].to_numpy())))
    contents = [("t.parquet", parquet(each, row_group_size=100)) for each in (table, changed)]
    found = differences(Files(tmp_path, *contents), {})  # type: ignore[arg-type]
    assert (found["skipped_groups"], found["groups"]) == (9, 10)
    assert (found["old_rows"], found["changed"], found["added"]) == (1000, 1, 0)
    [example] = found["examples"]
    assert (example["kind"], example["new"]) == ("changed", ["250", "-1.0"])


# -- in the child ------------------------------------------------------------------------------------------------------


def test_formats(tmp_path: Path) -> None:
    """Each format on both sides, and two formats with each other."""
    old, new = pa.table({"id": [1, 2, 3], "x": [1.5, 2.5, 3.5]}), pa.table({"id": [4, 3, 2], "x": [9.0, 3.5, 0.5]})
    made: dict[str, list[bytes]] = {"t.parquet": [parquet(each) for each in (old, new)]}
    made["t.csv"] = [
        "\n".join(["id,x", *(f"{row['id']},{row['x']}" for row in each.to_pylist()), ""]).encode()
        for each in (old, new)
    ]
    made["t.jsonl"] = ["\n".join(map(json.dumps, each.to_pylist())).encode() for each in (old, new)]
    made["t.arrow"] = []
    for each in (old, new):
        pa.feather.write_feather(each, tmp_path / "t", compression="uncompressed")
        made["t.arrow"].append((tmp_path / "t").read_bytes())
    for name, contents in made.items():
        found = differences(Files(tmp_path, *((name, each) for each in contents)), {})  # type: ignore[arg-type]
        assert (found["key"], found["added"], found["removed"], found["changed"]) == (["id"], 1, 1, 1), name
    result = compare_tables(source("t.csv", made["t.csv"][0]), source("t.parquet", made["t.parquet"][1]))
    assert (result.added, result.removed, result.changed) == (1, 1, 1)
    assert [(row.kind, row.old, row.new) for row in result.examples][-1] == ("changed", ["2", "2.5"], ["2", "0.5"])
    assert [each.column for each in result.histograms] == ["x"]
    assert sum(each.before for each in result.histograms[0].bins) == 3


def test_csv_whose_later_values_are_of_another_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artfs.contents.table_formats._BLOCK", 4096)
    lines = ["id,x", *(f"{number},{number}" for number in range(2000))]
    old = "\n".join(lines).encode()
    found = differences(Files(tmp_path, ("t.csv", old), ("t.csv", old + b"\n2000,many")), {})  # type: ignore[arg-type]
    assert (found["added"], found["changed"], found["removed"]) == (1, 0, 0)


def test_keys_that_do_not_fit(tmp_path: Path) -> None:
    old, new = pa.table({"id": [1, 1, 2], "x": [1, 2, 3]}), pa.table({"id": [1, 2, 3], "y": [1, 2, 3]})
    files = Files(tmp_path, ("t.parquet", parquet(old)), ("t.parquet", parquet(new)))
    for key, sentence in (("id", "is not unique"), ("x", "only one of"), ("z", "neither table")):
        with pytest.raises(ValueError, match=sentence):
            differences(files, {"key": [key]})  # type: ignore[arg-type]


def deep(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth + b"\n"


GOOD = parquet(pa.table({"id": list(range(100))}))
HOSTILE = {
    "cut.parquet": GOOD[:-20],
    "middle.parquet": GOOD[:40] + GOOD[60:],
    "counts.parquet": GOOD[:-8] + (0x7FFFFFF0).to_bytes(4, "little") + b"PAR1",
    "random.parquet": b"PAR1" + bytes(range(256)) * 4 + b"PAR1",
    "wide.csv": b"a," * 1_000_000 + b"a\n1\n",
    "line.csv": b"a" * (2 << 20),
    "empty.csv": b"",
    "deep.jsonl": deep(100_000),
    "text.jsonl": b"no json\n",
    "cut.arrow": b"ARROW1\0\0" + b"\xff" * 100,
    "twice.csv": b"a,a\n1,2\n",
}


def test_hostile_tables_are_a_sentence(tmp_path: Path) -> None:
    for name, data in HOSTILE.items():
        if name == "deep.jsonl":
            continue
        with pytest.raises(Exception, match=r".") as raised:
            preview(Files(tmp_path, (name, data)), {})  # type: ignore[arg-type]
        assert not isinstance(raised.value, AssertionError), name


@pytest.mark.parametrize("name", ["counts.parquet", "deep.jsonl"])
def test_hostile_tables_in_the_child(name: str) -> None:
    data = HOSTILE[name]
    with pytest.raises(UnreadableError) as raised:
        compare_tables(source(name, data), source(name, data))
    assert 20 < len(str(raised.value)) < 250


def test_a_bomb_exceeds_the_memory() -> None:
    """A file of a few kilobytes whose values have a gigabyte."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["a" * (1 << 20)]))
    data = parquet(pa.table({"id": values}), store_schema=False)
    assert len(data) < 2 << 20
    other = parquet(pa.table({"id": ["b"]}))
    with pytest.raises(UnreadableError, match="MiB of memory"):
        compare_tables(source("t.parquet", other), source("t.parquet", data), limits=Limits(memory=400 << 20))


def test_times_and_other_types_in_the_child() -> None:
    """The child's user may not be able to import anything when values become text."""
    moment = 1_700_000_000_123_456_789
    table = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            "at": pa.array([moment], pa.timestamp("ns", "Europe/Berlin")),
            "day": pa.array([19_000], pa.date32()),
            "price": pa.array(["1.50"]).cast(pa.decimal128(9, 2)),
            "list": pa.array([[1, 2]]),
            "half": pa.array([1.5], pa.float16()),
            "kind": pa.array(["a"]).dictionary_encode(),
            "for": pa.array([5], pa.duration("s")),
        }
    )
    changed = table.set_column(2, "day", pa.array([19_001], pa.date32()))
    result = compare_tables(*(source("t.parquet", parquet(each)) for each in (table, changed)))
    assert [(each.name, each.rows) for each in result.by_column] == [("day", 1)]
    [row] = result.examples
    assert row.new is not None
    assert row.new[1:5] == ["2023-11-14 22:13:20.123456789Z", "2022-01-09", "1.50", "[1, 2]"]
