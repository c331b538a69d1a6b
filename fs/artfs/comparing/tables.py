"""What differs between two tables, found by a child with limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from artfs.contents.child import Limits, ask
from artfs.contents.sources import Source
from artfs.documents.contents import (
    ColumnChange,
    ColumnCount,
    Histogram,
    HistogramBin,
    RowChange,
    TableDifference,
)

__all__ = ["compare_tables"]


def compare_tables(
    old: Source, new: Source, key: Sequence[str] = (), *, examples: int = 50, limits: Limits | None = None
) -> TableDifference:
    """Compare two tables by the columns of a key, or by one that is found; raise what `ask` raises.

    ``examples`` is the most rows of each kind to return.  Raises `UnreadableError` for a key that is not unique.
    """
    options = {"key": list(key), "examples": examples}
    found: dict[str, Any] = ask("artfs.comparing.row_differences:differences", [old, new], options, limits=limits)
    changes = [ColumnChange("removed", name, kind, None) for name, kind in found["columns_removed"]]
    changes += [ColumnChange("added", name, None, kind) for name, kind in found["columns_added"]]
    changes += [ColumnChange("retyped", name, before, after) for name, before, after in found["columns_retyped"]]
    return TableDifference(
        key=found["key"],
        columns=found["columns"],
        schema_changes=changes,
        old_rows=found["old_rows"],
        new_rows=found["new_rows"],
        added=found["added"],
        removed=found["removed"],
        changed=found["changed"],
        by_column=[ColumnCount(name, rows) for name, rows in found["by_column"]],
        detailed=found["detailed"],
        examples=[RowChange(**each) for each in found["examples"]],
        histograms=[
            Histogram(each["column"], each["every"], [HistogramBin(*one) for one in each["bins"]])
            for each in found["histograms"]
        ],
    )
