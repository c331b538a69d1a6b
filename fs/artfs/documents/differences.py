"""Documents about what differs between two trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, exact_name

if TYPE_CHECKING:
    from artstore.queries.difference import Change

__all__ = ["ChangeItem", "DifferenceDocument"]


@dataclass(frozen=True, slots=True)
class ChangeItem(Record):
    """One path that differs: ``kind`` is added, removed, changed, renamed or mode.

    Sizes are in bytes, null on a side that has nothing there; ``old_path`` is null unless the file was renamed.
    """

    kind: str
    path: str
    old_path: str | None
    old_size: int | None
    new_size: int | None

    @classmethod
    def of(cls, change: Change) -> ChangeItem:
        """Return the item of a change."""
        old_path = None if change.old_raw_path is None else exact_name(change.old_raw_path)
        return cls.from_attributes(change, path=exact_name(change.raw_path), old_path=old_path)


@dataclass(frozen=True, slots=True)
class DifferenceDocument(Document):
    """What differs between two versions, folders in versions or folders of the disk (``artfs diff``)."""

    schema: ClassVar[str] = "artfs.diff/1"
    from_: str
    to: str
    changes: Sequence[ChangeItem]

    @classmethod
    def of(cls, old: str, new: str, changes: Iterable[Change]) -> DifferenceDocument:
        """Return the document of what leads from ``old`` to ``new``, sorted by path."""
        return cls(old, new, [ChangeItem.of(change) for change in changes])
