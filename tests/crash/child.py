"""The process that the rigs end: operations on a workspace, each acknowledged by one line on stdout.

    python -m crash.child [OPTION...] OPERATION WORKSPACE [WORD...]
    python -m crash.child [OPTION...] play WORKSPACE OPERATION [WORD...] + OPERATION [WORD...] ...
    python -m crash.child [OPTION...] artfs WORKSPACE COMMAND...

Words that begin with two dashes are options of the operation.  Small batches and packs let a small folder pass through
many states.  ``--bug`` seeds a fault in the engine, with which the rigs show that they would notice it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from artstore.changes import recording
from artstore.changes.committing import Commit
from artstore.drafting.gathering import Gathering
from artstore.errors import ArtfsError, NotFoundError
from artstore.ingest import staging
from artstore.reclaim import reaper
from artstore.storage import packs
from artstore.workspace import init_workspace, open_workspace
from crash.bugs import BUGS
from crash.states import content_of_version, forget

Operation = Callable[[Path, Sequence[str]], str]
"""Does something to a workspace, given its words; returns what to say of it."""


def _options(words: Sequence[str]) -> tuple[list[str], dict[str, bool]]:
    options = {word.removeprefix("--"): True for word in words if word.startswith("--")}
    return [word for word in words if not word.startswith("--")], options


def _init(workspace: Path, words: Sequence[str]) -> str:
    return init_workspace(workspace).uuid


def _put(workspace: Path, words: Sequence[str]) -> str:
    source, name, *aliases = words
    version = open_workspace(workspace).put(source, name, aliases=aliases)
    return f"{version.name} {version.receipt.new_bytes if version.receipt else 0}"


def _alias(workspace: Path, words: Sequence[str]) -> str:
    open_workspace(workspace).aliases.set(*words)
    return " ".join(words)


def _note(workspace: Path, words: Sequence[str]) -> str:
    """Set the description and a key of the metadata of a version."""
    ref, text = words
    opened = open_workspace(workspace)
    opened.metadata.set(ref, {"note": text})
    opened.describe(ref, "noted")
    return ref


def _forget_note(workspace: Path, words: Sequence[str]) -> str:
    open_workspace(workspace).metadata.remove(words[0], "note", purge=True)
    return words[0]


def _delete(workspace: Path, words: Sequence[str]) -> str:
    refs, options = _options(words)
    return " ".join(open_workspace(workspace).delete(*refs, **options).versions)


def _undelete(workspace: Path, words: Sequence[str]) -> str:
    return open_workspace(workspace).undelete(words[0]).version.name


def _gc(workspace: Path, words: Sequence[str]) -> str:
    return str(open_workspace(workspace).gc(**_options(words)[1]).freed_bytes)


def _fsck(workspace: Path, words: Sequence[str]) -> str:
    return str(len(open_workspace(workspace).fsck(**_options(words)[1]).problems))


def _check(workspace: Path, words: Sequence[str]) -> str:
    """Check everything; any problem ends this process."""
    report = open_workspace(workspace).fsck(data=True)
    assert report.clean, report.problems
    return "clean"


def _rebuild(workspace: Path, words: Sequence[str]) -> str:
    from artstore.repairing.rebuild import rebuild

    rebuild(workspace)
    return "rebuilt"


def _purge(workspace: Path, words: Sequence[str]) -> str:
    [target], options = _options(words)
    open_workspace(workspace).purge(target, reason="of the rig", **options)
    return target


def _draft(workspace: Path, words: Sequence[str]) -> str:
    """Build a version from the latest one in steps; resume where an earlier run was interrupted."""
    source, name = words
    opened = open_workspace(workspace)
    if len(opened.versions(name)) > 1:
        return "done before"
    try:
        draft = opened.drafts.get("rig")
    except NotFoundError:
        draft = opened.drafts.new(name, base="latest", id="rig")
    draft.add(source, "added")
    with suppress(NotFoundError):
        draft.remove("class-0")
    with suppress(NotFoundError):
        draft.move("class-1", "moved")
    return draft.commit().name


def _draft_new(workspace: Path, words: Sequence[str]) -> str:
    name, ident = words
    return open_workspace(workspace).drafts.new(name, base="latest", id=ident).id


def _draft_add(workspace: Path, words: Sequence[str]) -> str:
    ident, source, to = words
    return str(open_workspace(workspace).drafts.get(ident).add(source, to).files)


def _draft_bring(workspace: Path, words: Sequence[str]) -> str:
    """Add a part to an open draft, as one of several programs that make a version together."""
    ident, source = words
    opened = open_workspace(workspace)
    gathering = Gathering(opened.store, "data")
    gathering.add(source)
    opened.drafts.get(ident).merge(gathering.root().id, "rig", fields={"metadata": {"by": ["rig"]}})
    gathering.close()
    return ident


def _draft_commit(workspace: Path, words: Sequence[str]) -> str:
    return open_workspace(workspace).drafts.get(words[0]).commit().name


def _rule(workspace: Path, words: Sequence[str]) -> str:
    return open_workspace(workspace).retention.set(words[0], last=1).name


def _retain(workspace: Path, words: Sequence[str]) -> str:
    return " ".join(open_workspace(workspace).retention.apply().versions)


def _link(workspace: Path, words: Sequence[str]) -> str:
    return open_workspace(workspace).link(words[0], words[1]).name


def _refer(workspace: Path, words: Sequence[str]) -> str:
    return open_workspace(workspace).refer(words[0], words[1]).name


def _work(workspace: Path, words: Sequence[str]) -> str:
    """Act as a run that uses a version, logs a row, and makes a version from a folder."""
    name, used, source = words
    opened = open_workspace(workspace)
    record, lease = recording.start_run(opened.store, "rig", "", config={"lr": 0.1})
    recording.record_use(opened.store, record.number, opened.version(used).record, "v0")
    recording.log_rows(opened.store, record.number, [{"loss": 0.5}], {"loss": 0.5})
    gathering = Gathering(opened.store, name)
    gathering.add(source)
    version = gathering.commit(Commit(name, runs=(record.number,)))
    recording.change_run(opened.store, record.number, state="finished")
    lease.close()
    return version.name


def _watch(workspace: Path, words: Sequence[str]) -> str:
    """Read every version in a loop until a file exists; a version deleted meanwhile may be unreadable."""
    opened, seen = open_workspace(workspace), 0
    while not Path(words[0]).exists():
        for version in [version for item in opened.artifacts() for version in opened.versions(item.name)]:
            try:
                content = content_of_version(version)
            except ArtfsError:
                with suppress(NotFoundError):
                    opened.version(version.name)
                    raise
                continue
            assert all(entry.kind in ("file", "link", "reference", "directory") for entry in content.values()), (
                version.name
            )
            seen += 1
    return str(seen)


def _repeat(workspace: Path, words: Sequence[str]) -> str:
    """Repeat another operation until a file exists."""
    stop, operation, *rest = words
    count = 0
    while not Path(stop).exists():
        OPERATIONS[operation](workspace, rest)
        count += 1
    return str(count)


OPERATIONS: Mapping[str, Operation] = {
    "init": _init,
    "put": _put,
    "alias": _alias,
    "note": _note,
    "forget-note": _forget_note,
    "delete": _delete,
    "undelete": _undelete,
    "gc": _gc,
    "fsck": _fsck,
    "check": _check,
    "rebuild": _rebuild,
    "purge": _purge,
    "draft": _draft,
    "draft-new": _draft_new,
    "draft-add": _draft_add,
    "draft-bring": _draft_bring,
    "draft-commit": _draft_commit,
    "link": _link,
    "refer": _refer,
    "work": _work,
    "rule": _rule,
    "retain": _retain,
    "watch": _watch,
    "repeat": _repeat,
}


def perform(workspace: Path, words: Sequence[str]) -> str:
    """Run an operation in this process, then close the workspace; return the line that acknowledges it."""
    try:
        return OPERATIONS[words[0]](workspace, words[1:])
    finally:
        forget(workspace)


def _acknowledge(said: str) -> None:
    os.write(1, f"{said}\n".encode())


def main() -> None:
    """Perform the operation that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-nodes", type=int, default=staging.BATCH_NODES)
    parser.add_argument("--pack-limit", type=int, default=packs.PACK_LIMIT)
    parser.add_argument("--bug", choices=sorted(BUGS))
    parser.add_argument("operation", choices=[*OPERATIONS, "play", "artfs"])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    staging.BATCH_NODES = reaper.STEP_NODES = given.batch_nodes
    packs.PACK_LIMIT = given.pack_limit
    if given.bug:
        BUGS[given.bug](given.workspace)
    if given.operation == "artfs":
        from artfs.cli.main import main as command_line

        sys.exit(command_line(["-w", str(given.workspace), *given.words]))
    if given.operation != "play":
        _acknowledge(OPERATIONS[given.operation](given.workspace, given.words))
        return
    words = given.words
    while words:
        end = words.index("+") if "+" in words else len(words)
        _acknowledge(OPERATIONS[words[0]](given.workspace, words[1:end]))
        words = words[end + 1 :]


if __name__ == "__main__":
    main()
