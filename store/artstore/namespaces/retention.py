"""``ws.retention``: rules that select the versions to keep, and operations that delete the others."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from artstore.arguments import Duration, seconds_of
from artstore.clock import utc
from artstore.interrupts import deferring
from artstore.queries.resolving import local_version
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.retention.applying import RetentionPlan, Retired
    from artstore.retention.rules import Rule

__all__ = ["Retention"]


@deferring()
class Retention:
    """The retention rules of a workspace."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def rules(self) -> list[Rule]:
        """Return the rules, by name."""
        from artstore.retention.rules import read_rules

        with self._store.snapshot() as snapshot:
            return list(read_rules(snapshot.transaction).rules)

    def set(self, name: str, **fields: Any) -> Rule:
        """Set the rule ``name``; `artstore.retention.rules.Rule` lists the fields.

        Raises `InvalidInputError` for an invalid rule, or one that would keep nothing.
        """
        from artstore.retention.rules import Rule, set_rule

        if "within" in fields:
            fields["within"] = seconds_of(fields["within"], "within")
        rule = Rule.of({"name": name, **fields})
        set_rule(self._store, rule)
        return rule

    def remove(self, name: str) -> None:
        """Remove a rule; raise `NotFoundError` if no rule has that name."""
        from artstore.retention.rules import remove_rule

        remove_rule(self._store, name)

    def plan(self) -> RetentionPlan:
        """Return whether the rules keep each living version, and why; change nothing."""
        from artstore.retention.applying import plan

        return plan(self._store)

    def apply(self, *, trust_clock: bool = False, dry_run: bool = False) -> Retired:
        """Delete the versions that the rules do not keep, and those that have expired; they can be undeleted.

        Those that were pushed or pulled are deleted in the remote, too, and stay while it does not answer, or if its
        clock and this machine's differ.  ``dry_run`` returns what would be deleted.  Raises `RefusedError` if the clock
        may be wrong, unless ``trust_clock``.
        """
        from artstore.remotes.everywhere import retire

        return retire(self._store, trust_clock=trust_clock, dry_run=dry_run)

    def set_ttl(self, ref: str, ttl: Duration | None) -> datetime | None:
        """Set the time from now after which a version expires, None for never; return when it expires.

        ``ttl`` is a number of seconds, a text such as ``30d``, or a timedelta.
        """
        from artstore.retention.applying import set_ttl

        seconds = None if ttl is None else seconds_of(ttl, "ttl")
        expires_ns = set_ttl(self._store, local_version(self._store, ref).record, seconds)
        return utc(expires_ns) if expires_ns else None
