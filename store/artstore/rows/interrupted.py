"""Interrupted puts: what an operation had stored when its process died, and until when another put can reuse it."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from artstore.rows import drafts
from artstore.rows.planner import Plan
from artstore.storage.manifest import ReadTransaction

__all__ = ["Interrupted", "are_there", "interrupted"]


class Interrupted(NamedTuple):
    """A put, or another operation that stores content, whose process died.

    ``bytes`` are the stored bytes that only it holds; they are due to be freed at ``until_ns``.  ``source`` is the path
    that was put, or empty.
    """

    draft: int
    artifact: str
    source: str
    pid: int
    created_ns: int
    until_ns: int
    bytes: int


def _dead(transaction: ReadTransaction, run_dir: Path) -> list[drafts.DraftInfo]:
    return [draft for draft in drafts.list_drafts(transaction, run_dir) if not (draft.alive or draft.id)]


def are_there(transaction: ReadTransaction, run_dir: Path) -> bool:
    """Return whether any operation was interrupted, also one that holds nothing."""
    return bool(_dead(transaction, run_dir))


def interrupted(
    transaction: ReadTransaction, run_dir: Path, plan: Plan, without: Collection[int] = ()
) -> list[Interrupted]:
    """Return the interrupted operations that hold bytes, the oldest first, without the drafts of some numbers.

    ``plan`` goes on to release what they hold: bytes that others hold too are not theirs, unless the plan has released
    those.
    """
    found = []
    for draft in _dead(transaction, run_dir):
        if draft.number in without:
            continue
        held = plan.release(list(drafts.staged_nodes(transaction, draft.number))).bytes
        until_ns = max(draft.active_ns + int(drafts.RESUME_SECONDS * 1e9), time.time_ns())
        if held:
            found.append(
                Interrupted(draft.number, draft.artifact, draft.source, draft.pid, draft.created_ns, until_ns, held)
            )
    return found
