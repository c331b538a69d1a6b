"""Tables of files, read by a child with limits."""

from __future__ import annotations

from artfs.contents.child import Limits, ask
from artfs.contents.sources import Source
from artfs.documents.contents import TableColumn, TablePreview

__all__ = ["preview"]


def preview(source: Source, rows: int = 20) -> TablePreview:
    """Return the first rows of a table and what is in its columns; raise what `artfs.contents.child.ask` raises."""
    limits = Limits(processor=20, seconds=30)
    found = ask("artfs.contents.table_previews:preview", [source], {"rows": rows}, limits=limits)
    columns = [TableColumn(**each) for each in found.pop("columns")]
    return TablePreview(columns=columns, **found)
