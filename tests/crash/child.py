"""The process that the rigs end: one operation on a workspace, which says on stdout what has been acknowledged.

    python -m crash.child [--batch-nodes N] [--bug NAME] init WORKSPACE
                                                         put WORKSPACE SOURCE NAME [ALIAS]
                                                         alias WORKSPACE REF ALIAS
                                                         artfs WORKSPACE COMMAND...

Small batches let a small folder pass through many states.  ``--bug`` seeds a fault in the engine, with which the rigs
show that they would notice it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artfs.cli.main import main as command_line
from artstore import committing, disk, drafts, journal, packs, staging
from artstore.workspace import init_workspace, open_workspace


def commit_before_pack() -> None:
    """Write segments only after the transaction that refers to them."""
    pending: list[tuple[int, bytes, int]] = []
    write = staging.Stager._write
    append = disk.append

    def later(fd: int, buffers: list[Any], offset: int) -> int:
        data = b"".join(buffers)
        pending.append((fd, data, offset))
        return offset + len(data)

    def write_segment(self: packs.PackWriter, segment: packs.Segment) -> None:
        disk.append = later
        try:
            original(self, segment)
        finally:
            disk.append = append

    def write_and_then_pack(self: staging.Stager, root: Any, action: Any) -> Any:
        result = write(self, root, action)
        while pending:
            fd, data, offset = pending.pop()
            append(fd, [data], offset)
        return result

    original = packs.PackWriter.write_segment
    packs.PackWriter.write_segment = write_segment  # type: ignore[method-assign]
    staging.Stager._write = write_and_then_pack  # type: ignore[method-assign]


def draft_not_held() -> None:
    """Count what a draft stages, but do not note that the draft holds it."""
    drafts.Draft.hold = lambda self, transaction, node: None  # type: ignore[method-assign]


def journal_after_commit() -> None:
    """Append to the journal only after the transaction has committed."""
    append = disk.append
    write = staging.Stager._write
    pending: list[tuple[int, bytes, int]] = []

    def append_later(fd: int, buffers: list[Any], offset: int) -> int:
        data = b"".join(buffers)
        pending.append((os.dup(fd), data, offset))
        return offset + len(data)

    def journal_append(*arguments: Any) -> None:
        disk.append = append_later
        try:
            original(*arguments)
        finally:
            disk.append = append

    def write_and_then_journal(self: staging.Stager, root: Any, action: Any) -> Any:
        result = write(self, root, action)
        while pending:
            fd, data, offset = pending.pop()
            append(fd, [data], offset)
        return result

    original = journal.append
    committing.journal.append = journal_append  # type: ignore[attr-defined]
    staging.Stager._write = write_and_then_journal  # type: ignore[method-assign]


def settled_twice() -> None:
    """Let the draft's references go in the counts, but keep the rows that say it has them."""
    drafts.Draft.release = lambda self, transaction, node: None  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "commit-before-pack": commit_before_pack,
    "draft-not-held": draft_not_held,
    "journal-after-commit": journal_after_commit,
    "settled-twice": settled_twice,
}


def _acknowledge(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-nodes", type=int, default=staging.BATCH_NODES)
    parser.add_argument("--bug", choices=sorted(BUGS))
    parser.add_argument("operation", choices=["init", "put", "alias", "artfs"])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    staging.BATCH_NODES = given.batch_nodes
    if given.bug:
        BUGS[given.bug]()
    if given.operation == "artfs":
        sys.exit(command_line(["-w", str(given.workspace), *given.arguments]))
    if given.operation == "init":
        _acknowledge(init_workspace(given.workspace).uuid)
    elif given.operation == "alias":
        open_workspace(given.workspace).alias_set(*given.arguments)
        _acknowledge(" ".join(given.arguments))
    else:
        source, name, *aliases = given.arguments
        version = open_workspace(given.workspace).put(source, name, aliases=aliases)
        _acknowledge(f"{version.name} {version.receipt.new_bytes if version.receipt else 0}")


if __name__ == "__main__":
    main()
