"""Spans that are filled record by record, each after the records below it."""

from __future__ import annotations

from typing import Final

from artstore.records.trees import TreeTotals
from artstore.remotes.packs.containers import SPAN
from artstore.remotes.packs.located import Below, FormPlace, Identity, LocatedRecord
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.spans import encode_span

__all__ = ["PlacedRecord", "SpanOutput"]

_RAW_LIMIT: Final = 2 << 20
"""Bytes of a span before compression, after which it is written in any case."""
_FIRST_RATIO: Final = 0.45
_LEAST_RATIO: Final = 0.05
_ROW: Final = 62
_CHUNK: Final = 15
_BELOW: Final = 70


class _Draft:
    """A span that is being filled; ``form`` is None until it is written."""

    def __init__(self) -> None:
        self.records: list[LocatedRecord] = []
        self.length = 0
        self.form: FormPlace | None = None


class PlacedRecord:
    """A record that is in a span, written or not."""

    __slots__ = ("draft", "ids", "number", "totals")

    def __init__(self, draft: _Draft, number: int, ids: Identity, totals: TreeTotals) -> None:
        self.draft = draft
        self.number = number
        self.ids = ids
        self.totals = totals


class SpanOutput:
    """Put records into spans, and spans into the tree pack."""

    def __init__(self, output: PackOutput) -> None:
        self._output = output
        self._ratio = _FIRST_RATIO
        self._draft = _Draft()

    def make_space(self) -> None:
        """Write the span if it is full: to be called before the places of a record's children are asked for."""
        if self._draft.length >= min(self._output.span_target / self._ratio, _RAW_LIMIT):
            self._write()

    def below(self, record: Below | PlacedRecord) -> Below:
        """Return what the next record says of a record below it."""
        if isinstance(record, Below):
            return record
        draft = record.draft
        return Below(*record.ids, record.totals, None if draft is self._draft else draft.form, record.number)

    def add(self, record: LocatedRecord, ids: Identity, totals: TreeTotals) -> PlacedRecord:
        """Add a record, whose children were placed since `make_space`."""
        draft = self._draft
        draft.records.append(record)
        for entry in record.entries:
            extra = _CHUNK * len(entry.content) if type(entry.content) is tuple else _BELOW
            draft.length += _ROW + len(entry.name) + extra
        draft.length += sum([_ROW + _BELOW + len(name) for name, _ in record.children])
        return PlacedRecord(draft, len(draft.records) - 1, ids, totals)

    def finish(self, root: PlacedRecord) -> FormPlace:
        """Write the last span; return the place of the root's, which was added last."""
        assert root.draft is self._draft and root.number == len(self._draft.records) - 1
        self._output.adopt_few()
        return self._write()

    def _write(self) -> FormPlace:
        draft, self._draft = self._draft, _Draft()
        raw = encode_span(draft.records, self._output.moved)
        form = draft.form = self._output.form(SPAN, raw)
        self._ratio = max(_LEAST_RATIO, form.place.stored / max(draft.length, 1))
        draft.records = []
        return form
