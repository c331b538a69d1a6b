"""Finding versions by their properties, over all artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final

from artstore.errors import InvalidInputError
from artstore.metadata import decimal_of, same_value
from artstore.queries.conditions import Condition, joint_spans, values_at
from artstore.queries.versions import Version
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.terms import METADATA, Kind, kind_prefix
from artstore.rows import catalogue, terms
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Matches", "Search", "Selector", "find"]

_PLAIN_ORDERS: Final = ("name", "created", "size")
_PIECE: Final = 64
"""Rows of the index that a search reads of one condition before it turns to the next."""
_NARROW: Final = 500
"""Versions that are found and sorted in a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on versions: all that are not None must hold.

    The artifact is in ``project`` or below, is of ``type``, and its full name matches the glob ``artifact``; the
    version has ``tag`` and all of ``metadata``.
    """

    project: str | None = None
    type: str | None = None
    artifact: str | None = None
    tag: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, artifact: str, type_name: str | None) -> bool:
        """Return whether versions of an artifact may be meant."""
        if self.project is not None:
            project = artifact.rpartition("/")[0]
            if project != self.project and not project.startswith(f"{self.project}/"):
                return False
        return (self.type is None or type_name == self.type) and (
            self.artifact is None or fnmatchcase(artifact, self.artifact)
        )

    def selects(self, artifact: str, type_name: str | None, tags: Sequence[str], metadata: Mapping[str, Any]) -> bool:
        """Return whether a version is meant."""
        return (
            self.takes(artifact, type_name)
            and (self.tag is None or self.tag in tags)
            and all(name in metadata and same_value(metadata[name], value) for name, value in self.metadata.items())
        )


class Matches(list[Version]):
    """The versions that a search found.

    ``left_out`` values could not be compared with the operand of a condition.  ``unordered`` of the versions come last,
    because they have no number where others have one, or no text where others have that.
    """

    left_out: int = 0
    unordered: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """What a search asks for: versions that match a selector and every condition, in an order.

    ``younger`` and ``older`` are ages in seconds.  ``sort`` is ``name``, ``created``, ``size``, or a path of metadata,
    which ``meta.`` may precede; versions without a value there come last.  ``limit`` is the most versions to return.
    """

    selector: Selector
    conditions: Sequence[Condition] = ()
    younger: float | None = None
    older: float | None = None
    latest: bool = False
    sort: str = "name"
    reverse: bool = False
    limit: int | None = None

    @property
    def sort_path(self) -> str | None:
        """The path of metadata that decides the order, or None."""
        return None if self.sort in _PLAIN_ORDERS else self.sort.removeprefix("meta.")

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for more than one condition, so that rows of the index do not show what matches."""
        ages = (self.younger, self.older)
        return self.selector != Selector() or len(self.conditions) > 1 or self.latest or ages != (None, None)


def find(store: Store, search: Search) -> Matches:
    """Return the living versions that a search asks for; see `Workspace.find`.

    With a condition, or an order by metadata and a limit, the index of terms leads to the versions: the time depends on
    how many satisfy the condition that the fewest satisfy.
    """
    for seconds in (search.younger, search.older):
        if seconds is not None and not seconds >= 0:
            raise InvalidInputError("an age cannot be negative")
    if search.limit is not None and search.limit < 1:
        raise InvalidInputError(f"the number of versions to list must be at least 1, not {search.limit}")
    with store.snapshot() as snapshot:
        return _Finding(store, snapshot, search).matches()


class _Finding:
    """A search in one snapshot."""

    def __init__(self, store: Store, snapshot: Snapshot, search: Search) -> None:
        self._store = store
        self._snapshot = snapshot
        self._search = search
        self._now_ns = time.time_ns()
        self._artifacts: dict[int, ArtifactRecord | None] = {}
        self._latest: dict[int, int] = {}

    def matches(self) -> Matches:
        search = self._search
        found = self._in_order()
        if found is None:
            serials = self._candidates()
            records = self._everything() if serials is None else self._records(serials)
            found = self._ordered(record for record in records if self._takes(record) and self._holds(record))
        matches = Matches(
            Version(self._store, artifact.name, record, artifact.type)
            for record in found
            if (artifact := self._artifact(record.artifact)) is not None
        )
        if search.sort_path is not None:
            matches.unordered = _unordered(found, search.sort_path)
        matches.left_out = sum(self._left_out(condition) for condition in search.conditions if condition.is_comparison)
        return matches

    # -- where matching versions may be ----------------------------------------------------------------------------

    def _candidates(self) -> list[int] | None:
        """Return serials, in order, that contain all of the matching versions; None for all versions.

        All conditions are followed at once, and the one that ends first has the fewest.
        """
        if not self._search.conditions:
            return None
        transaction = self._snapshot.transaction
        races: list[Iterator[int]] = [
            chain.from_iterable(terms.serials_between(transaction, *span) for span in spans)
            for spans in joint_spans(self._search.conditions)
        ]
        if (artifact := self._named_artifact()) is not None:
            races.append(catalogue.serials_of(transaction, artifact.number))
        found: list[set[int]] = [set() for _ in races]
        while True:
            for serials, race in zip(found, races, strict=True):
                piece = list(islice(race, _PIECE))
                serials.update(piece)
                if len(piece) < _PIECE:
                    return sorted(serials | terms.partial(transaction))

    def _named_artifact(self) -> ArtifactRecord | None:
        name = self._search.selector.artifact
        if name is None or set(name) & set("*?["):
            return None
        record = catalogue.find_name(self._snapshot.transaction, name)
        return record if record is not None and record.is_artifact else None

    def _in_order(self) -> list[VersionRecord] | None:
        """Return the first versions in an order by metadata, read from the index in that order.

        None if it is better to find all matching versions: there is no limit, a condition is narrow, or fewer versions
        than the limit have a number or text there.
        """
        search, transaction = self._search, self._snapshot.transaction
        path = search.sort_path
        if path is None or search.limit is None or self._is_narrow():
            return None
        found: dict[int, VersionRecord] = {}
        for kind in (Kind.NUMBER, Kind.TEXT):
            prefix = kind_prefix(METADATA, path, kind)
            serials = terms.serials_between(transaction, prefix, prefix + b"\xff", reverse=search.reverse)
            for record in self._records(serial for serial in serials if serial not in found):
                if self._takes(record) and self._holds(record):
                    found[record.serial] = record
                    if len(found) == search.limit:
                        break
            if len(found) == search.limit:
                break
        else:
            return None
        partial = terms.partial(transaction) - found.keys()
        others = [record for record in self._records(partial) if self._takes(record) and self._holds(record)]
        return self._ordered([*found.values(), *others])

    def _is_narrow(self) -> bool:
        """Return whether some condition has so few candidates that sorting them takes no time."""
        transaction = self._snapshot.transaction
        for spans in joint_spans(self._search.conditions):
            serials = chain.from_iterable(terms.serials_between(transaction, *span) for span in spans)
            if len(list(islice(serials, _NARROW))) < _NARROW:
                return True
        return self._named_artifact() is not None

    def _ordered(self, records: Iterable[VersionRecord]) -> list[VersionRecord]:
        """Sort versions and return the first; equal ones are in the order of names and numbers."""
        search, by_name = self._search, sorted(records, key=self._by_name)
        path = search.sort_path
        if path is not None:
            return _ordered_by_metadata(by_name, path, reverse=search.reverse)[: search.limit]
        if search.sort == "name":
            return (by_name[::-1] if search.reverse else by_name)[: search.limit]
        attribute = {"created": "created_ns", "size": "bytes"}[search.sort]
        return sorted(by_name, key=attrgetter(attribute), reverse=search.reverse)[: search.limit]

    # -- reading records -------------------------------------------------------------------------------------------

    def _records(self, serials: Iterable[int]) -> Iterator[VersionRecord]:
        for serial in serials:
            record = self._snapshot.version(serial)
            if record is not None:
                yield record

    def _everything(self) -> Iterator[VersionRecord]:
        for artifact in self._snapshot.all_artifacts():
            self._artifacts[artifact.number] = artifact
            if not self._search.selector.takes(artifact.name, artifact.type):
                continue
            if not self._search.latest:
                yield from self._snapshot.versions_of(artifact.number)
            elif (latest := self._snapshot.latest(artifact.number)) is not None:
                yield latest

    def _artifact(self, number: int) -> ArtifactRecord | None:
        if number not in self._artifacts:
            self._artifacts[number] = self._snapshot.artifact(number)
        return self._artifacts[number]

    def _by_name(self, record: VersionRecord) -> tuple[str, int]:
        artifact = self._artifact(record.artifact)
        return "" if artifact is None else artifact.name, record.number

    def _takes(self, record: VersionRecord) -> bool:
        """Return whether a version matches in all but the conditions."""
        search = self._search
        age = (self._now_ns - record.created_ns) / 1e9
        if (search.younger is not None and age >= search.younger) or (search.older is not None and age < search.older):
            return False
        artifact = self._artifact(record.artifact)
        if artifact is None or not search.selector.selects(artifact.name, artifact.type, record.tags, record.metadata):
            return False
        return not search.latest or self._latest_of(record.artifact) == record.serial

    def _latest_of(self, artifact: int) -> int:
        if artifact not in self._latest:
            latest = self._snapshot.latest(artifact)
            self._latest[artifact] = 0 if latest is None else latest.serial
        return self._latest[artifact]

    def _holds(self, record: VersionRecord, but: Condition | None = None) -> bool:
        conditions = self._search.conditions
        return all(condition.selects(record) for condition in conditions if condition is not but)

    def _left_out(self, condition: Condition) -> int:
        """Return how many values a comparison leaves out, of the versions that match in all else."""
        transaction = self._snapshot.transaction
        spans = (terms.serials_between(transaction, *span) for span in condition.other_spans())
        serials = chain.from_iterable(spans)
        partial = terms.partial(transaction)
        if self._search.is_narrowed:
            partial |= set(serials)
            alone = 0
        else:  # the rows are counted, and no record is read
            alone = sum(serial not in partial for serial in serials)
        return alone + sum(
            condition.left_out(record)
            for record in self._records(partial)
            if self._takes(record) and self._holds(record, but=condition)
        )


def _numbers_and_texts(record: VersionRecord, path: str) -> tuple[list[Decimal], list[str]]:
    values = list(values_at(record.metadata, path))
    numbers = [number for number in map(decimal_of, values) if number is not None]
    return numbers, [value for value in values if isinstance(value, str) and decimal_of(value) is None]


def _ordered_by_metadata(records: Iterable[VersionRecord], path: str, *, reverse: bool) -> list[VersionRecord]:
    """Sort by the numbers at a path, then by the texts; what has neither comes last, whatever the direction."""
    with_numbers: list[tuple[Any, VersionRecord]] = []
    with_texts: list[tuple[Any, VersionRecord]] = []
    rest: list[VersionRecord] = []
    first: Any = max if reverse else min
    for record in records:
        numbers, texts = _numbers_and_texts(record, path)
        if numbers:
            with_numbers.append((first(numbers), record))
        elif texts:
            with_texts.append((first(texts), record))
        else:
            rest.append(record)
    for group in (with_numbers, with_texts):
        group.sort(key=itemgetter(0), reverse=reverse)
    return [*(record for _, record in with_numbers + with_texts), *rest]


def _unordered(records: Iterable[VersionRecord], path: str) -> int:
    """Return how many versions have no number at a path, or no text if none has a number."""
    values = [_numbers_and_texts(record, path) for record in records]
    numbers = sum(bool(numbers) for numbers, _ in values)
    return len(values) - (numbers or sum(bool(texts) for _, texts in values))
