"""Drafts: alive while their process holds the lock, dead after, and never mistaken for another."""

from __future__ import annotations

import os

import pytest

from artstore.rows import deadlist
from artstore.rows.drafts import Draft, list_drafts, staged_nodes
from artstore.store import Store
from artstore.workspace import Workspace


def make(store: Store, *, commit: bool = True) -> Draft:
    draft = None
    try:
        with store.write() as transaction:
            draft = Draft(transaction, store.run_dir, 0o600, "team/x", "/data")
            for node in (30, 20):
                draft.hold(transaction, node)
            if not commit:
                raise KeyError
    except KeyError:
        assert draft is not None
    return draft


def test_a_draft_lives_as_long_as_its_lock(workspace: Workspace) -> None:
    """Its record says whose it is; closing it declares it dead, and what it holds stays."""
    draft = make(workspace.store)
    (info,) = workspace.drafts.states()
    assert (info.number, info.artifact, info.pid, info.alive, info.staged_nodes) == (1, "team/x", os.getpid(), True, 2)
    draft.close()
    draft.close()
    assert [info.alive for info in workspace.drafts.states()] == [False]
    with workspace.store.write() as transaction:
        assert list(staged_nodes(transaction, 1)) == [20, 30]
        draft.release(transaction, 20)
        draft.remove(transaction)
    assert workspace.drafts.states() == []
    with workspace.store.snapshot() as snapshot:
        assert [entry.nodes for entry in deadlist.entries(snapshot.transaction)] == [(30,)]


def test_the_draft_of_an_aborted_transaction_does_not_hide_the_next(workspace: Workspace) -> None:
    """A number is given again after an abort; whoever closes the lost draft must not end the living one."""
    lost = make(workspace.store, commit=False)
    living = make(workspace.store)
    assert living.number == lost.number
    assert [info.alive for info in workspace.drafts.states()] == [True]
    lost.close()
    assert [info.alive for info in workspace.drafts.states()] == [True]
    living.close()
    assert [info.alive for info in workspace.drafts.states()] == [False]
    assert [path.name for path in (workspace.store.run_dir / "drafts").iterdir()] == ["1"]  # says when it was at work


def test_a_killed_process_leaves_a_dead_draft(workspace: Workspace) -> None:
    """The lock goes with the process, whatever becomes of the file; asking twice at once does not look like life."""
    pid = os.fork()
    if not pid:
        try:
            make(workspace.store)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert (workspace.store.run_dir / "drafts" / "1").exists()
    import fcntl

    with (workspace.store.run_dir / "drafts" / "1").open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        (info,) = workspace.drafts.states()
    assert (info.alive, info.pid, info.staged_nodes) == (False, pid, 2)


@pytest.mark.parametrize("count", [0, 3])
def test_drafts_are_listed_in_order(workspace: Workspace, count: int) -> None:
    """By number, each with its own nodes."""
    made = [make(workspace.store) for _ in range(count)]
    with workspace.store.snapshot() as snapshot:
        found = list_drafts(snapshot.transaction, workspace.store.run_dir)
    assert [info.number for info in found] == [draft.number for draft in made] == list(range(1, count + 1))
    for draft in made:
        draft.close()
