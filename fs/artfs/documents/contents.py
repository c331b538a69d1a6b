"""Documents about what is inside files: tables, and what differs between two contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from artfs.documents.differences import ChangeItem
from artfs.documents.encoding import Document, Record

__all__ = [
    "ColumnChange",
    "ColumnCount",
    "ContentDifferenceDocument",
    "FileDifference",
    "Histogram",
    "HistogramBin",
    "LineItem",
    "MoveItem",
    "RowChange",
    "TableColumn",
    "TableDifference",
    "TablePreview",
    "TensorItem",
]


@dataclass(frozen=True, slots=True)
class TableColumn(Record):
    """A column of a table, and what its first rows hold: nulls, the least and the most value, the mean of numbers."""

    name: str
    type: str
    nulls: int
    least: str | None
    most: str | None
    mean: str | None


@dataclass(frozen=True, slots=True)
class TablePreview(Record):
    """The beginning of a table; ``rows`` is null if it was not read to its end and the format does not say it.

    The columns describe the first ``counted_rows`` rows.  Values are text, cut if they are long; null is null.
    """

    format: str
    rows: int | None
    counted_rows: int
    columns: Sequence[TableColumn]
    first: Sequence[Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class ColumnChange(Record):
    """A column that one table lacks, or that has another type; ``kind`` is added, removed or retyped."""

    kind: str
    name: str
    old_type: str | None
    new_type: str | None


@dataclass(frozen=True, slots=True)
class ColumnCount(Record):
    """In how many changed rows a column differs."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class RowChange(Record):
    """A row that differs: ``kind`` is added, removed or changed; values are text, in the order of the columns."""

    kind: str
    old: Sequence[str | None] | None
    new: Sequence[str | None] | None


@dataclass(frozen=True, slots=True)
class HistogramBin(Record):
    """How many values of a column lie between two numbers, before and after."""

    low: float
    high: float
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Histogram(Record):
    """The distribution of a column of numbers before and after, of every ``every``-th row."""

    column: str
    every: int
    bins: Sequence[HistogramBin]


@dataclass(frozen=True, slots=True)
class TableDifference(Record):
    """What differs between two tables, in the columns that both have.

    ``key`` names the columns that identify a row; without one, whole rows are compared, and none counts as changed.
    ``columns`` are those of the values in ``examples``.  ``by_column`` counts in ``detailed`` of the rows that differ.
    """

    key: Sequence[str]
    columns: Sequence[str]
    schema_changes: Sequence[ColumnChange]
    old_rows: int
    new_rows: int
    added: int
    removed: int
    changed: int
    by_column: Sequence[ColumnCount]
    detailed: int
    examples: Sequence[RowChange]
    histograms: Sequence[Histogram]

    @property
    def is_empty(self) -> bool:
        """Whether the tables have the same columns and rows."""
        return not (self.schema_changes or self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class LineItem(Record):
    """A line of a comparison of text: ``kind`` is same, removed, added or skipped; numbers count from 1."""

    kind: str
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class TensorItem(Record):
    """A tensor that differs: ``kind`` is added, removed, shape, dtype or content."""

    name: str
    kind: str
    old_dtype: str | None
    old_shape: Sequence[int] | None
    new_dtype: str | None
    new_shape: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class FileDifference(Record):
    """What differs inside a file: ``form`` is table, text, tensors, image or binary, and names what is given.

    ``failure`` is a sentence if the contents could not be compared.  ``is_cut`` is whether lines were left out.
    """

    path: str
    old_path: str | None
    form: str
    table: TableDifference | None
    lines: Sequence[LineItem]
    is_cut: bool
    tensors: Sequence[TensorItem]
    failure: str | None


@dataclass(frozen=True, slots=True)
class MoveItem(Record):
    """Files that moved from one folder to another with their content; how many of them are images."""

    old: str
    new: str
    files: int
    images: int


@dataclass(frozen=True, slots=True)
class ContentDifferenceDocument(Document):
    """What differs between two versions or folders, and inside the files (``artfs diff --content``)."""

    schema: ClassVar[str] = "artfs.diff_content/1"
    from_: str
    to: str
    changes: Sequence[ChangeItem]
    moves: Sequence[MoveItem]
    files: Sequence[FileDifference]
