"""The tables of metadata that were read last, by the digests of their files: parts never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from artfs.registry.predictions.columns import arrow, meta_schema
from artfs.registry.predictions.parts import META, meta_table, parts_of

if TYPE_CHECKING:
    import pyarrow as pa

    from artstore.queries.versions import Version

__all__ = ["MetaTables"]

MOST_BYTES: Final = 1 << 26
"""The most bytes of tables that are kept."""


class MetaTables:
    """Reads the metadata of versions of one workspace; may be used by many threads."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, version: Version) -> pa.Table:
        """Return the metadata of a version's predictions; raises what `meta_table` does."""
        tables = []
        for part in parts_of(version, META):
            with self._lock:
                table = self._tables.get(part.digest)
                if table is not None:
                    self._tables.move_to_end(part.digest)
            tables.append(self._kept(part.digest, meta_table(version, part)) if table is None else table)
        return arrow().concat_tables([meta_schema().empty_table(), *tables])

    def _kept(self, digest: str, table: pa.Table) -> pa.Table:
        with self._lock:
            if digest not in self._tables:
                self._tables[digest] = table
                self._bytes += table.nbytes
            while self._bytes > MOST_BYTES:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
        return table
