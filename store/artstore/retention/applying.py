"""Planning and applying retention: the verdicts of the rules on a workspace, and the deletion of expired versions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from artstore.changes.deleting import Deletion, delete
from artstore.clock import doubt
from artstore.errors import ArtfsError, NotFoundError, RefusedError
from artstore.names import is_pending
from artstore.records.catalogue import ArtifactRecord, VersionRecord, end_after
from artstore.records.events import TtlEvent
from artstore.retention.judging import Candidate, Verdict, judge
from artstore.retention.rules import Rule, Rules, read_rules, write_rules
from artstore.rows import catalogue, drafts
from artstore.rows.catalogue import label
from artstore.rows.lineage import dependants
from artstore.rows.settings import read_settings
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Deleter", "RetentionPlan", "Retired", "apply", "plan", "set_ttl"]

_NOTE_NS: Final = 3600 * 10**9
"""How far the clock advances before it is recorded as right again."""
_BATCH: Final = 500
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Deleter:
    """How versions are deleted: a function like `artstore.changes.deleting.delete`.

    ``groups`` has, by serial, a key for versions that are deleted apart from others, as those in one remote: what
    hinders one group does not hinder the others.
    """

    delete: Callable[..., Deletion]
    groups: Mapping[int, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """A verdict on every living version, by artifact, the newest first; ``freed_bytes`` is what expiry would free.

    There are no verdicts if there is no rule and no version has an expiry time.  What expires can be undeleted until
    ``due_at``; None if there is no window.  ``doubt`` says why the clock may be wrong.
    """

    verdicts: list[Verdict]
    rules: tuple[Rule, ...]
    freed_bytes: int
    due_at: datetime | None = None
    doubt: str | None = None

    def __repr__(self) -> str:
        expiring = f"{len(self.expiring)} of {len(self.verdicts)} versions expire"
        return f"<RetentionPlan {expiring}, {self.freed_bytes} bytes would be freed>"

    @property
    def expiring(self) -> list[Verdict]:
        """The verdicts on expiring versions."""
        return [verdict for verdict in self.verdicts if verdict.expires]

    def steps(self, groups: Mapping[int, object] | None = None) -> Iterator[tuple[list[Verdict], bool]]:
        """Yield the versions to delete together, and whether they have aliases; ``groups`` are those of a `Deleter`."""
        expiring = self.expiring
        for start in range(0, len(expiring), _BATCH):
            parts: dict[tuple[object, bool], list[Verdict]] = {}
            for verdict in expiring[start : start + _BATCH]:
                key = (groups or {}).get(verdict.candidate.serial), bool(verdict.candidate.aliases)
                parts.setdefault(key, []).append(verdict)
            for (_, aliased), some in sorted(parts.items(), key=lambda item: item[0][1]):
                yield some, aliased


@dataclass(slots=True)
class Retired:
    """The deleted versions, as ``NAME:v3``, and the stored bytes to be freed; they can be undeleted until ``due_at``.

    ``kept`` names versions that came into use at the last moment, and why.
    """

    versions: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    due_at: datetime | None = None
    kept: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


def plan(store: Store, now_ns: int | None = None) -> RetentionPlan:
    """Return the verdicts of the rules and of the versions' expiry times now; nothing is changed."""
    planned = _judged(store, time.time_ns() if now_ns is None else now_ns)
    names = [verdict.candidate.name for verdict in planned.expiring]
    if not names:
        return planned
    deletion = delete(store, names, force=True, now=False, dry_run=True, recursive=False)
    return replace(planned, freed_bytes=deletion.freed_bytes, due_at=deletion.due_at)


def _judged(store: Store, now_ns: int) -> RetentionPlan:
    """Return a plan without what it would free."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        rules = read_rules(transaction)
        living = _living(transaction)
        newest_ns = max((version.created_ns for _, versions in living for version in versions), default=now_ns)
        verdicts = list(_verdicts(store, transaction, living, rules, now_ns))
    return RetentionPlan(verdicts, rules.rules, 0, doubt=doubt(max(newest_ns, rules.seen_ns), now_ns))


def apply(
    store: Store,
    *,
    trust_clock: bool = False,
    dry_run: bool = False,
    now_ns: int | None = None,
    deleter: Deleter | None = None,
) -> Retired:
    """Delete the versions that expire by the rules or by their own expiry time; ``dry_run`` stops at the plan.

    A version that has come into use meanwhile stays, and so do those whose group cannot be deleted now.  Unless
    ``trust_clock``, raises `RefusedError` if a version would expire and the clock is behind the recorded time, or over
    30 days ahead of it: a wrong clock must not delete anything.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    planned = plan(store, now_ns) if dry_run else _judged(store, now_ns)
    wrong = None if trust_clock else planned.doubt
    if planned.expiring and wrong is not None:
        raise RefusedError(wrong, hint="if the clock is right: artfs retention apply --trust-clock")
    if dry_run:
        names = [verdict.candidate.name for some, _ in planned.steps() for verdict in some]
        return Retired(names, planned.freed_bytes, planned.due_at)
    retired = Retired()
    deleter = deleter or Deleter(delete)
    for some, aliased in planned.steps(deleter.groups):
        _delete(store, some, aliased, retired, deleter)
    if (planned.expiring or planned.rules) and wrong is None:
        _note_time(store, now_ns)
    return retired


def _note_time(store: Store, now_ns: int) -> None:
    """Record that the clock was right, unless that was recorded lately."""
    with store.snapshot() as snapshot:
        seen_ns = read_rules(snapshot.transaction).seen_ns
    if not seen_ns <= now_ns < seen_ns + _NOTE_NS:
        with store.write() as transaction:
            write_rules(transaction, Rules(read_rules(transaction).rules, now_ns))


def _delete(store: Store, some: Sequence[Verdict], force: bool, retired: Retired, deleter: Deleter) -> None:
    """Delete versions together, or one by one if one of them has come into use."""
    try:
        deletion = deleter.delete(
            store,
            [verdict.candidate.name for verdict in some],
            force=force,
            now=False,
            dry_run=False,
            recursive=False,
            reasons={verdict.candidate.serial: "; ".join(verdict.reasons) for verdict in some},
        )
    except (RefusedError, NotFoundError) as error:
        if len(some) == 1:
            retired.kept.append(f"{some[0].candidate.name}: {error}")
        else:
            for verdict in some:
                _delete(store, [verdict], force, retired, deleter)
        return
    except ArtfsError as error:
        if some[0].candidate.serial not in deleter.groups:
            raise
        retired.kept += [f"{verdict.candidate.name}: {error}" for verdict in some]
        return
    retired.versions += deletion.versions
    retired.freed_bytes += deletion.freed_bytes
    retired.due_at = deletion.due_at
    retired.silent = sorted({*retired.silent, *deletion.silent})


def _verdicts(
    store: Store,
    transaction: ReadTransaction,
    living: list[tuple[ArtifactRecord, list[VersionRecord]]],
    rules: Rules,
    now_ns: int,
) -> Iterator[Verdict]:
    if not rules.rules and not any(version.expires_ns for _, versions in living for version in versions):
        return
    needed: dict[int, list[str]] = {}
    for draft in drafts.list_drafts(transaction, store.run_dir):
        if draft.alive and draft.base:
            needed.setdefault(draft.base, []).append(f"is the base of {draft.title}")
    settings = read_settings(transaction)
    for artifact, versions in living:
        aliases: dict[int, list[str]] = {}
        for alias in catalogue.aliases_of(transaction, artifact.number):
            aliases.setdefault(alias.version, []).append(alias.name)
        candidates = [
            Candidate(
                artifact.name,
                version.number,
                version.serial,
                version.created_ns,
                artifact.type,
                version.metadata,
                version.tags,
                aliases.get(version.number, ()),
                version.expires_ns,
                [
                    *needed.get(version.serial, ()),
                    *_made_from(transaction, version),
                    *(
                        f"has the protected alias {name!r}"
                        for name in aliases.get(version.number, ())
                        if settings.protects(name)
                    ),
                ],
            )
            for version in versions
            if not is_pending(version.number)  # what only this workspace has is never deleted by a rule
        ]
        yield from judge(candidates, rules.rules, now_ns)


def _made_from(transaction: ReadTransaction, version: VersionRecord) -> list[str]:
    """Return phrases that name the versions and runs made from a version, at most a few of them."""
    dependent = dependants(transaction, version)
    phrases = [f"{label(transaction, successor)} {how}" for successor, how in dependent[:_MOST_NAMED]]
    if len(dependent) > _MOST_NAMED:
        phrases.append(f"{len(dependent) - _MOST_NAMED} more were made from it")
    return phrases


def _living(transaction: ReadTransaction) -> list[tuple[ArtifactRecord, list[VersionRecord]]]:
    return [
        (artifact, catalogue.versions_of(transaction, artifact.number))
        for artifact in catalogue.all_artifacts(transaction)
    ]


def set_ttl(store: Store, version: VersionRecord, seconds: float | None) -> int:
    """Set or remove the expiry time of a version, ``seconds`` from now; return it, in nanoseconds since 1970."""
    expires_ns = 0 if seconds is None else end_after(seconds)
    with store.write() as transaction:
        current = catalogue.version(transaction, version.serial)
        artifact = None if current is None else catalogue.artifact(transaction, current.artifact)
        if current is None or artifact is None:
            raise NotFoundError("the version has been deleted in the meantime")
        catalogue.put_version(transaction, replace(current, expires_ns=expires_ns))
        event = TtlEvent(name=artifact.name, version=current.number, expires_ns=expires_ns)
        journal.append(store.path, transaction, [event])
    return expires_ns
