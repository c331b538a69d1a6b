"""The version that a push builds on, as a remote has it: which of its records and files the new version has too."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from artstore.remotes.packs.located import Below, LocatedEntry, LocatedRecord
from artstore.remotes.packs.reading import RemoteTree

__all__ = ["BaseDirectory"]

_MOST_RECORDS: Final = 16
"""Records of a directory that are kept at a time: names are looked up in order."""


class BaseDirectory:
    """One directory of the base version, read as far as it is compared."""

    def __init__(self, tree: RemoteTree, below: Below, path: bytes) -> None:
        self._tree = tree
        self._below = below
        self._path = path
        self._records: dict[bytes, LocatedRecord] = {}

    @property
    def form(self) -> bytes:
        """The form id of the directory."""
        return self._below.form

    @property
    def below(self) -> Below:
        """Where its record lies."""
        return self._below

    def _keep(self, form: bytes, record: LocatedRecord) -> LocatedRecord:
        if len(self._records) >= _MOST_RECORDS:
            self._records = {}
        self._records[form] = record
        return record

    def _descend(self, name: bytes, level: int) -> LocatedRecord | None:
        """Return the record of a level in which a name would be, or None."""
        form = self._below.form
        record = self._records.get(form) or self._keep(form, self._tree.record(self._below, self._path))
        if record.level < level:
            return None
        while record.level > level:
            at = bisect_left(record.children, name, key=lambda child: child[0])
            if at == len(record.children):
                return None
            form = record.children[at][1].form
            record = self._records.get(form) or self._keep(form, self._tree.child(record, at, self._path))
        return record

    def entry(self, name: bytes) -> LocatedEntry | None:
        """Return the entry of a name, or None."""
        record = self._descend(name, 0)
        if record is None:
            return None
        at = bisect_left(record.entries, name, key=lambda entry: entry.name)
        return record.entries[at] if at < len(record.entries) and record.entries[at].name == name else None

    def part(self, level: int, last_name: bytes, form: bytes) -> Below | None:
        """Return the record of a level that has a form id and ends with a name, if it is a part of the directory."""
        record = self._descend(last_name, level + 1)
        if record is None:
            return None
        at = bisect_left(record.children, last_name, key=lambda child: child[0])
        if at == len(record.children) or record.children[at][1].form != form:
            return None
        return record.children[at][1]
