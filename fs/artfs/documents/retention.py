"""Documents about retention: rules, what they would do, and what they did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record, omittable
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.retention.applying import RetentionPlan, Retired
    from artstore.retention.judging import Verdict
    from artstore.retention.rules import Rule

__all__ = [
    "ExpiryDocument",
    "RetentionDocument",
    "RetentionPlanDocument",
    "RuleDocument",
    "RuleItem",
    "RuleRemovalDocument",
    "RulesDocument",
    "VerdictItem",
]


@dataclass(frozen=True, slots=True)
class RuleItem(Record):
    """One rule: what it selects by, and what it keeps; what it does not set is left out.

    ``within`` is in seconds; ``best`` keeps so many by the number ``field`` of the metadata, the least if ``lowest``.
    """

    name: str
    project: str | None = omittable()
    type: str | None = omittable()
    artifact: str | None = omittable()
    tag: str | None = omittable()
    metadata: Mapping[str, Any] | None = omittable()
    last: int | None = omittable()
    within: float | None = omittable()
    best: int | None = omittable()
    field: str | None = omittable()
    lowest: bool | None = omittable()
    hourly: int | None = omittable()
    daily: int | None = omittable()
    weekly: int | None = omittable()
    monthly: int | None = omittable()
    yearly: int | None = omittable()
    aliases: Sequence[str] | None = omittable()
    tags: Sequence[str] | None = omittable()
    everything: bool | None = omittable()
    aliased: bool | None = omittable()

    @classmethod
    def of(cls, rule: Rule) -> RuleItem:
        """Return the item of a rule."""
        return cls(**rule.record())


@dataclass(frozen=True, slots=True)
class RuleDocument(RuleItem, Document):
    """The rule that was set (``artfs retention set``)."""

    schema: ClassVar[str] = "artfs.retention_rule/1"

    @classmethod
    def of(cls, rule: Rule) -> RuleDocument:
        """Return the document of a rule."""
        return cls(**rule.record())


@dataclass(frozen=True, slots=True)
class RulesDocument(Document):
    """The rules of the workspace (``artfs retention show``)."""

    schema: ClassVar[str] = "artfs.retention_rules/1"
    rules: Sequence[RuleItem]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> RulesDocument:
        """Return the document of rules, in their order."""
        return cls([RuleItem.of(rule) for rule in rules])


@dataclass(frozen=True, slots=True)
class RuleRemovalDocument(Document):
    """The name of the rule that was removed (``artfs retention rm``)."""

    schema: ClassVar[str] = "artfs.retention_rule_removal/1"
    removed: str


@dataclass(frozen=True, slots=True)
class VerdictItem(Record):
    """Whether a version expires, why, and the names of the rules that select it."""

    name: str
    artifact: str
    version: str
    expires: bool
    reasons: Sequence[str]
    rules: Sequence[str]

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictItem:
        """Return the item of a verdict."""
        candidate = verdict.candidate
        label = version_label(candidate.number)
        return cls.from_attributes(verdict, name=candidate.name, artifact=candidate.artifact, version=label)


@dataclass(frozen=True, slots=True)
class RetentionPlanDocument(Document):
    """The effect of the rules: deleting the ``expiring`` versions would free ``freed_bytes`` (``retention plan``)."""

    schema: ClassVar[str] = "artfs.retention_plan/1"
    versions: Sequence[VerdictItem]
    expiring: int
    freed_bytes: int

    @classmethod
    def of(cls, plan: RetentionPlan, verdicts: Iterable[Verdict]) -> RetentionPlanDocument:
        """Return the document of a plan, with those of its verdicts that are to be listed."""
        return cls([VerdictItem.of(verdict) for verdict in verdicts], len(plan.expiring), plan.freed_bytes)


@dataclass(frozen=True, slots=True)
class RetentionDocument(Document):
    """What the rules deleted, or with ``dry_run`` would delete (``artfs retention apply``).

    The versions can be undeleted until ``due_at``. ``kept`` are versions that came into use at the last moment.
    """

    schema: ClassVar[str] = "artfs.retention/1"
    versions: Sequence[str]
    freed_bytes: int
    due_at: datetime | None
    kept: Sequence[str]
    dry_run: bool

    @classmethod
    def of(cls, retired: Retired, *, dry_run: bool) -> RetentionDocument:
        """Return the document of what was deleted."""
        return cls.from_attributes(retired, dry_run=dry_run)


@dataclass(frozen=True, slots=True)
class ExpiryDocument(Document):
    """When a version expires, null for never (``artfs retention ttl``)."""

    schema: ClassVar[str] = "artfs.expiry/1"
    name: str
    expires_at: datetime | None
