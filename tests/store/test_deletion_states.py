"""Deletion against a model and brute force, whatever the order of what is done; and bugs that this must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from artstore.changes import deleting
from artstore.errors import ArtfsError
from artstore.ingest import batch, staging
from artstore.reclaim import compaction, leases, reaper
from artstore.records.events import Event, UndeleteEvent
from artstore.records.tables import Table
from artstore.retention import judging
from artstore.rows import drafts, nodes, space
from artstore.storage import manifest
from store.deletion_states import Deletion

EXAMPLES, STEPS = 300, 50
QUICK = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking takes minutes: scripts/soak states --shrink does it
    report_multiple_bugs=False,
)


def machine(folder: Path) -> type[Deletion]:
    return type("Deletion", (Deletion,), {"folder": folder})


@pytest.mark.timeout(900)
def test_deletion(quick_dir: Path) -> None:
    """Never a loss and never a leak, whatever is done in whatever order, with what dies in the middle."""
    run_state_machine_as_test(machine(quick_dir), settings=QUICK)


def child_keeps_a_count() -> AbstractContextManager[object]:
    real = reaper._Work._dismantle
    return mock.patch.object(reaper._Work, "_dismantle", lambda self, node, purge: real(self, node, purge)[:-1])


def freed_with_a_reference_left() -> AbstractContextManager[object]:
    real = nodes.CountOverlay.drop
    return mock.patch.object(nodes.CountOverlay, "drop", lambda self, node: real(self, node) // 2)


def freed_twice() -> AbstractContextManager[object]:
    real = space.condemn

    def condemn(transaction: Any, extents: Any, *, purge: bool = False) -> None:
        real(transaction, [*extents, *extents], purge=purge)

    return mock.patch.object(space, "condemn", condemn)


def undelete_forgets_the_entry() -> AbstractContextManager[object]:
    class Deadlist:
        def __getattr__(self, name: str) -> Any:
            return (lambda *_: None) if name == "remove_entry" else getattr(reaper.deadlist, name)

    return mock.patch.object(deleting, "deadlist", Deadlist())


def living_drafts_are_reaped() -> AbstractContextManager[object]:
    return mock.patch.object(drafts, "_is_alive", lambda run_dir, number: False)


def open_files_are_not_asked_for() -> AbstractContextManager[object]:
    return mock.patch.object(leases, "is_held", lambda store, serial: False)


def readers_are_not_waited_for() -> AbstractContextManager[object]:
    return mock.patch.object(manifest, "oldest_reader", lambda path: 1 << 60)


def a_base_is_not_held() -> AbstractContextManager[object]:
    return mock.patch.object(staging.Stager, "hold_base", lambda self, serial, root: None)


def a_draft_keeps_what_it_is_not_asked_for() -> AbstractContextManager[object]:
    return mock.patch.object(drafts, "abandon", lambda transaction, draft: True)


def a_step_keeps_the_tree_before() -> AbstractContextManager[object]:
    real = drafts.move_root

    def move_root(transaction: Any, record: Any, root: int, new_bytes: int, **changes: Any) -> frozenset[int]:
        return real(transaction, replace(record, root=record.start), root, new_bytes)

    return mock.patch.object(drafts, "move_root", move_root)


def open_drafts_are_reaped() -> AbstractContextManager[object]:
    def dead_drafts(transaction: Any, run_dir: Path, before_ns: int, **_: int) -> list[int]:
        return [draft.number for draft in drafts.list_drafts(transaction, run_dir) if draft.id]

    return mock.patch.object(drafts, "dead_drafts", dead_drafts)


def ends_come_too_early() -> AbstractContextManager[object]:
    real = judging._verdict

    def verdict(each: Any, *rest: Any) -> Any:
        return real(replace(each, expires_ns=each.expires_ns // 2), *rest)

    return mock.patch.object(judging, "_verdict", verdict)


def what_is_reaped_leaves_its_lineage() -> AbstractContextManager[object]:
    return mock.patch.object(reaper.lineage, "forget_version", lambda transaction, serial: None)


def links_hold_nothing() -> AbstractContextManager[object]:
    real = deleting.lineage.dependants
    return mock.patch.object(
        deleting.lineage, "dependants", lambda *pair: [one for one in real(*pair) if one[1] != "links to it"]
    )


def an_edge_has_one_end() -> AbstractContextManager[object]:
    def remove(transaction: Any, edge: Any) -> None:
        transaction.delete(Table.LINEAGE, deleting.lineage.edge_keys(edge)[0])

    return mock.patch.object(deleting.lineage, "_remove_edge", remove)


def aliases_stay() -> AbstractContextManager[object]:
    class Catalogue:
        def __getattr__(self, name: str) -> Any:
            return (lambda *_: None) if name == "remove_alias" else getattr(reaper.catalogue, name)

    return mock.patch.object(deleting, "catalogue", Catalogue())


def gaps_are_counted_twice() -> AbstractContextManager[object]:
    real = space.plan_merges

    def plan_merges(transaction: Any, rows: Any) -> list[space.Merge]:
        return [merge._replace(absorbed=[]) for merge in real(transaction, rows)]

    return mock.patch.object(space, "plan_merges", plan_merges)


def empty_packs_stay() -> AbstractContextManager[object]:
    return mock.patch.object(compaction, "remove_empty", lambda store: 0)


def an_index_is_off_by_one() -> AbstractContextManager[object]:
    real = batch.encode_tree

    def encode_tree(level: int, digest: bytes, form: bytes, totals: Any, extent: Any, rows: Any) -> bytes:
        late = [row._replace(inodes_before=row.inodes_before + (at == 1)) for at, row in enumerate(rows)]
        return real(level, digest, form, totals, extent, late)

    return mock.patch.object(batch, "encode_tree", encode_tree)


@contextmanager
def the_journal_is_not_told() -> Iterator[None]:
    real = deleting.journal.append

    def append(workspace: Path, transaction: Any, events: Iterable[Event]) -> None:
        real(workspace, transaction, [event for event in events if not isinstance(event, UndeleteEvent)])

    with mock.patch.object(deleting.journal, "append", append):
        yield


BUGS: list[Callable[[], AbstractContextManager[object]]] = [
    child_keeps_a_count,
    freed_with_a_reference_left,
    freed_twice,
    undelete_forgets_the_entry,
    living_drafts_are_reaped,
    open_files_are_not_asked_for,
    readers_are_not_waited_for,
    a_base_is_not_held,
    a_draft_keeps_what_it_is_not_asked_for,
    a_step_keeps_the_tree_before,
    open_drafts_are_reaped,
    ends_come_too_early,
    what_is_reaped_leaves_its_lineage,
    links_hold_nothing,
    an_edge_has_one_end,
    aliases_stay,
    gaps_are_counted_twice,
    empty_packs_stay,
    an_index_is_off_by_one,
    the_journal_is_not_told,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_bugs_are_found(quick_dir: Path, bug: Callable[[], AbstractContextManager[object]]) -> None:
    """Each of these bugs, put in on purpose, is found within four times the examples that the suite runs without it."""
    with bug(), pytest.raises((AssertionError, ArtfsError, OSError, KeyError, BaseExceptionGroup)) as found:
        run_state_machine_as_test(machine(quick_dir), settings=settings(QUICK, max_examples=4 * EXAMPLES))
    assert found.value is not None
