"""Retention rules, and their storage: in the manifest, and in the journal for a rebuild."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from artstore.errors import DamageError, InvalidInputError, NotFoundError
from artstore.names import check_new_rule, check_rule
from artstore.queries.query import Selector
from artstore.records.catalogue import checked_metadata
from artstore.records.events import RetentionEvent
from artstore.records.tables import Table
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store

__all__ = ["PERIODS", "Rule", "Rules", "check_rules", "read_rules", "remove_rule", "set_rule", "write_rules"]

_KEY: Final = b"retention"
PERIODS: Final = ("hourly", "daily", "weekly", "monthly", "yearly")
_MOST: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an empty value, 0 or None selects everything, and keeps nothing.

    It selects versions of artifacts in ``project`` or below, of ``type``, whose full name matches the glob
    ``artifact``, that have ``tag``, and that have all of ``metadata``.  Of those, for each artifact, it keeps the
    ``last`` ones by number; those made within the last ``within`` seconds; the ``best`` by the number ``field`` of
    their metadata, the greatest first unless ``lowest``; the last one of each of the latest ``hourly``, ``daily``,
    ``weekly`` (ISO weeks), ``monthly`` and ``yearly`` periods in UTC that have any; those with an alias or tag that
    matches a glob of ``aliases`` or ``tags``; or ``everything``.  With ``aliased``, only ``aliases`` protects versions
    by their aliases.
    """

    name: str
    project: str | None = None
    type: str | None = None
    artifact: str | None = None
    tag: str | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    last: int = 0
    within: float = 0.0
    best: int = 0
    field: str = ""
    lowest: bool = False
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False
    aliased: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the rule that JSON values describe; raise `InvalidInputError` for an invalid rule."""
        known = {item.name: item for item in fields(cls)}
        given = dict(values)
        for name in given.keys() - known.keys():
            raise InvalidInputError(f"a retention rule has no field {name!r}")
        for name in ("aliases", "tags"):
            globs = given.get(name, ())
            if not isinstance(globs, list | tuple):  # a string would be taken letter by letter
                raise InvalidInputError(f"the {name} to keep must be a list of globs")
            given[name] = tuple(globs)
        rule = cls(**given)
        rule._check()
        return rule

    def _check(self) -> None:
        check_rule(self.name)
        for name in ("last", "best", *PERIODS):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < _MOST:
                raise InvalidInputError(f"{name} must be a whole number that is not negative")
        if isinstance(self.within, bool) or not isinstance(self.within, int | float) or not 0 <= self.within < _MOST:
            raise InvalidInputError("the time within which versions are kept is out of range")
        if bool(self.best) != bool(self.field):
            raise InvalidInputError("keeping the best needs a number and a metadata field to rank by")
        for name in ("project", "type", "artifact", "tag"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidInputError(f"the {name} that a rule selects must not be empty")
        for name in ("aliases", "tags"):
            if not all(isinstance(glob, str) and glob for glob in getattr(self, name)):
                raise InvalidInputError(f"the {name} to keep must not be empty")
        if not isinstance(self.metadata, Mapping):
            raise InvalidInputError("the metadata that a rule selects by must be names with values")
        checked_metadata(self.metadata)
        if not self.keeps_something:
            raise InvalidInputError(
                f"the rule {self.name!r} would keep nothing", hint="add what to keep, such as --keep-last 3"
            )

    @property
    def keeps_something(self) -> bool:
        """Whether it keeps anything at all."""
        counts = any(getattr(self, name) for name in ("last", "within", "best", *PERIODS))
        return bool(counts or self.aliases or self.tags or self.everything)

    def selects(self, artifact: str, type_name: str | None, tags: Sequence[str], metadata: Mapping[str, Any]) -> bool:
        """Return whether the rule selects a version with these properties."""
        selector = Selector(self.project, self.type, self.artifact, self.tag, self.metadata)
        return selector.selects(artifact, type_name, tags, metadata)

    def record(self) -> dict[str, Any]:
        """Return the rule as JSON values; fields that are not set are left out."""
        values = {name: value for name, value in asdict(self).items() if value or name == "name"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a workspace by name, and ``seen_ns``: when the clock was last found to be right."""

    rules: tuple[Rule, ...] = ()
    seen_ns: int = 0


def read_rules(transaction: ReadTransaction) -> Rules:
    """Return the rules; raise `DamageError` if they are unreadable: versions must not expire by a part of the rules."""
    payload = transaction.get(Table.META, _KEY)
    if payload is None:
        return Rules()
    try:
        values = json.loads(payload)
        seen_ns = values["seen_ns"]
        if type(seen_ns) is not int:
            raise ValueError("the time is not a number")
        return Rules(tuple(map(Rule.of, values["rules"])), seen_ns)
    except (ValueError, TypeError, KeyError, AttributeError, InvalidInputError) as error:
        raise DamageError("the retention rules of the workspace are malformed") from error


def check_rules(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules of an event in normal form; raise `InvalidInputError` or `TypeError` for an invalid one."""
    return [Rule.of(rule).record() for rule in rules]


def write_rules(transaction: WriteTransaction, rules: Rules) -> None:
    """Store rules; the caller writes the journal."""
    values = {"rules": [rule.record() for rule in rules.rules], "seen_ns": rules.seen_ns}
    transaction.put(Table.META, _KEY, json.dumps(values).encode())


def set_rule(store: Store, rule: Rule) -> bool:
    """Set a rule, replacing the one of the same name; return whether there was one."""
    with store.write() as transaction:
        before = read_rules(transaction)
        others = tuple(other for other in before.rules if other.name != rule.name)
        if len(others) == len(before.rules):
            check_new_rule(rule.name)
        _change(store, transaction, (*others, rule), before.seen_ns)
    return len(others) < len(before.rules)


def remove_rule(store: Store, name: str) -> None:
    """Remove a rule; raise `NotFoundError` if there is none of that name."""
    with store.write() as transaction:
        before = read_rules(transaction)
        others = tuple(other for other in before.rules if other.name != name)
        if len(others) == len(before.rules):
            raise NotFoundError(f"there is no retention rule {name!r}", hint="list them: artfs retention show")
        _change(store, transaction, others, before.seen_ns)


def _change(store: Store, transaction: WriteTransaction, rules: tuple[Rule, ...], seen_ns: int) -> None:
    ordered = tuple(sorted(rules, key=lambda rule: rule.name))
    write_rules(transaction, Rules(ordered, seen_ns))
    journal.append(store.path, transaction, [RetentionEvent(rules=[rule.record() for rule in ordered])])
