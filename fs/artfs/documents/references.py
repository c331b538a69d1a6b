"""Documents about files outside that versions refer to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, exact_name

if TYPE_CHECKING:
    from artstore.drafting.reference_ops import CheckedReference, Reference

__all__ = [
    "CheckedReferenceItem",
    "ReferenceCheckDocument",
    "ReferenceItem",
    "ReferenceRootsDocument",
    "ReferencesDocument",
]


@dataclass(frozen=True, slots=True)
class ReferenceItem(Record):
    """One file outside: its path in the version, where it is, and what identifies its content there.

    Secrets in the query of ``uri`` are replaced by ``***``.
    """

    path: str
    uri: str
    size: int
    etag: str | None
    version: str | None
    blake3: str | None
    endpoint: str | None
    region: str | None
    account: str | None
    anonymous: bool

    @classmethod
    def of(cls, reference: Reference) -> ReferenceItem:
        """Return the item of a reference."""
        return cls.from_attributes(reference.record, path=exact_name(reference.path), uri=reference.record.shown)


@dataclass(frozen=True, slots=True)
class CheckedReferenceItem(ReferenceItem):
    """One file outside that was checked: ``state`` is ok, changed or unknown."""

    state: str
    message: str

    @classmethod
    def checked(cls, checked: CheckedReference) -> CheckedReferenceItem:
        """Return the item of a reference that was checked."""
        item = ReferenceItem.of(checked.reference)
        return cls(**asdict(item), state=checked.state, message=checked.message)


@dataclass(frozen=True, slots=True)
class ReferencesDocument(Document):
    """The references of a version, or below a path of it (``artfs ref ls``)."""

    schema: ClassVar[str] = "artfs.references/1"
    references: Sequence[ReferenceItem]

    @classmethod
    def of(cls, references: Iterable[Reference]) -> ReferencesDocument:
        """Return the document of references, in their order."""
        return cls([ReferenceItem.of(reference) for reference in references])


@dataclass(frozen=True, slots=True)
class ReferenceCheckDocument(Document):
    """The references of a version as they were found; ``ok`` if none has changed or is unknown (``ref check``)."""

    schema: ClassVar[str] = "artfs.reference_check/1"
    references: Sequence[CheckedReferenceItem]
    ok: bool

    @classmethod
    def of(cls, checked: Sequence[CheckedReference]) -> ReferenceCheckDocument:
        """Return the document of references that were checked, in their order."""
        items = [CheckedReferenceItem.checked(each) for each in checked]
        return cls(items, all(item.state == "ok" for item in items))


@dataclass(frozen=True, slots=True)
class ReferenceRootsDocument(Document):
    """Where references may lead when this user reads them (``artfs config reference-roots``).

    ``file`` is the user's list; ``roots`` include those of the environment.
    """

    schema: ClassVar[str] = "artfs.reference_roots/1"
    file: str
    roots: Sequence[str]
