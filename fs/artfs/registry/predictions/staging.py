"""The next version of a catalogue: the latest one with rows added or taken out, committed if it is still the latest."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.predictions.columns import data_table, meta_row
from artfs.registry.predictions.merging import is_small_data, to_merge
from artfs.registry.predictions.pages import MOST_ROWS
from artfs.registry.predictions.parts import DATA, META, DataWriter, Part, data_tables, meta_table, parts_of, write_meta
from artfs.registry.predictions.records import Prediction
from artfs.registry.serializers.errors import MalformedPayloadError
from artstore.changes.committing import Commit
from artstore.errors import NotFoundError
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["COUNT", "NextVersion"]

COUNT: Final = "artfs.predictions"
"""The metadata of a version that has the number of its predictions."""
_TYPE: Final = "predictions"
_BATCH_BYTES: Final = 1 << 19


class NextVersion:
    """The next version of a catalogue, in the making; ``latest`` is the version that it follows, None for none.

    What is written waits in a temporary folder, which is removed at the end of the ``with`` block.
    """

    def __init__(self, workspace: Workspace, name: str, latest: Version | None) -> None:
        self._workspace = workspace
        self._name = name
        self._latest = latest
        self._parts = [] if latest is None else parts_of(latest, META)
        self._sizes = {} if latest is None else {part.name: part.size for part in parts_of(latest, DATA)}
        self._removed: set[str] = set()

    def add(self, predictions: Sequence[Prediction], count: int, pins: Collection[int]) -> Version:
        """Commit the version with more predictions, ``count`` in all, and pin the versions with serials."""
        number = self._number()
        merged = to_merge(self._parts, len(predictions))
        with tempfile.TemporaryDirectory(prefix="artfs-registry-") as folder:
            writer = DataWriter(Path(folder))
            rows = self._rewritten(merged, frozenset(), writer)
            rows += _added(predictions, number, writer)
            return self._committed(rows, writer, Path(folder), count, pins)

    def _number(self) -> int:
        try:
            return self._workspace.next_version(self._name)
        except NotFoundError:
            return 0

    def without(self, doomed: Collection[str], count: int, pins: Collection[int]) -> Version:
        """Commit the version without the predictions with ids, ``count`` being left, and pin versions by serials."""
        assert self._latest is not None
        gone = frozenset(doomed)
        changed = [part for part in self._parts if not gone.isdisjoint(_ids(self._latest, part))]
        with tempfile.TemporaryDirectory(prefix="artfs-registry-") as folder:
            writer = DataWriter(Path(folder))
            rows = self._rewritten(changed, gone, writer)
            return self._committed(rows, writer, Path(folder), count, pins)

    def _rewritten(self, parts: Sequence[Part], doomed: frozenset[str], writer: DataWriter) -> list[dict[str, Any]]:
        """Return the rows of parts that go, without those with doomed ids; their arrays are written again.

        Large files of arrays of which nothing is doomed stay as they are.
        """
        if self._latest is None or not parts:
            return []
        rows: list[dict[str, Any]] = []
        for part in parts:
            rows += meta_table(self._latest, part).to_pylist()
            self._removed.add(f"{META}/{part.name}")
        by_file: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["data_part"] is not None:
                by_file.setdefault(row["data_part"], []).append(row)
        for name, users in by_file.items():
            if name not in self._sizes:
                raise MalformedPayloadError(f"{self._latest.name} has no file {DATA}/{name[:80]}")
            if is_small_data(self._sizes[name]) or not doomed.isdisjoint(row["prediction_id"] for row in users):
                self._removed.add(f"{DATA}/{name}")
                self._copy(name, {row["data_row"]: row for row in users if row["prediction_id"] not in doomed}, writer)
        return [row for row in rows if row["prediction_id"] not in doomed]

    def _copy(self, name: str, users: Mapping[int, dict[str, Any]], writer: DataWriter) -> None:
        """Write the rows of a file of arrays again that are used."""
        assert self._latest is not None
        before = copied = 0
        for table in data_tables(self._latest, name):
            ids = table.column("prediction_id").to_pylist()
            kept = [place for place in range(table.num_rows) if before + place in users]
            if any(users[before + place]["prediction_id"] != ids[place] for place in kept):
                break
            if kept:
                for place, (file, row) in zip(kept, writer.add(table.take(kept)), strict=True):
                    users[before + place].update(data_part=file, data_row=row)
            copied += len(kept)
            before += table.num_rows
        if copied != len(users):
            raise MalformedPayloadError(f"{self._latest.name}/{DATA}/{name} lacks arrays of predictions that name it")

    def _committed(
        self, rows: list[dict[str, Any]], writer: DataWriter, folder: Path, count: int, pins: Collection[int]
    ) -> Version:
        data = writer.finish()
        for row in rows:
            if isinstance(row["data_part"], int):
                row["data_part"] = data[row["data_part"]].name
        files = [(file, META) for file in write_meta(rows, folder)] + [(file, DATA) for file in data]
        gathering = self._workspace.drafts.gather(self._name, self._latest)
        try:
            kept = {f"{place}/{file.name}" for file, place in files}
            gone = sorted(self._removed - kept)
            if gone:
                gathering.remove(*(f"/{path}" for path in gone))
            for file, place in files:
                gathering.add(file, f"{place}/{file.name}", overwrite=True)
            request = replace(
                Commit.checked(self._name, type=_TYPE),
                metadata={COUNT: count},
                included=sorted(pins),
                latest=0 if self._latest is None else self._latest.record.serial,
            )
            return gathering.commit(request)
        finally:
            gathering.close(keep=False)


def _ids(version: Version, part: Part) -> list[str]:
    ids: list[str] = meta_table(version, part, ["prediction_id"]).column("prediction_id").to_pylist()
    return ids


def _added(predictions: Sequence[Prediction], number: int, writer: DataWriter) -> list[dict[str, Any]]:
    """Write the arrays of new predictions; return their rows."""
    rows = {prediction.prediction_id: meta_row(prediction, number) for prediction in predictions}
    for batch in _batches([prediction for prediction in predictions if prediction.arrays]):
        for prediction, (file, row) in zip(batch, writer.add(data_table(batch)), strict=True):
            rows[prediction.prediction_id].update(data_part=file, data_row=row)
    return list(rows.values())


def _batches(predictions: Sequence[Prediction]) -> Iterator[list[Prediction]]:
    """Yield predictions in batches whose arrays are about one row group, in order."""
    batch: list[Prediction] = []
    size = 0
    for prediction in predictions:
        own = sum(stored.raw_bytes for stored in prediction.arrays.values())
        if batch and (size + own > _BATCH_BYTES or len(batch) == MOST_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(prediction)
        size += own
    if batch:
        yield batch
