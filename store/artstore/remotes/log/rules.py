"""What each operation needs, and what it changes: the rules of the fold, one function for each kind.

A function changes the state or raises `VoidError`; the fold takes back whatever a void transaction changed.  No rule
reads a clock, an object or a table of Unicode: all machines and releases come to the same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from artstore.names import version_label
from artstore.remotes.log.operations import (
    BASE,
    ORPHANS_DEPENDANTS,
    RELEASES_ALIASES,
    Alias,
    Commit,
    Condemn,
    Delete,
    Hold,
    Meta,
    Moved,
    Operation,
    Place,
    Rename,
    Rules,
    Run,
    Stage,
    Ttl,
    Undelete,
    Upgrade,
)
from artstore.remotes.log.state import (
    DELETED,
    LIVE,
    NEVER,
    REAPED,
    AliasRow,
    ArtifactRow,
    CondemnRow,
    HoldRow,
    Mark,
    MoveRow,
    RunRow,
    StageRow,
    State,
    VersionRow,
)
from artstore.remotes.log.voids import Reason, VoidError, who

__all__ = ["MOVING_WRITER", "Step", "apply", "is_component"]

MOVING_WRITER: Final = 2
"""The least writer from which on content may be moved."""

_COMPONENT: Final = re.compile(r"[^\x00-\x1f\x7f/:\\*?\[\]#%@]+")
_RESERVED: Final = re.compile(r"latest|[vp][0-9]+|[.\- ].*|.* ", re.DOTALL)
_LONGEST_COMPONENT: Final = 255


class Step(NamedTuple):
    """One operation of a transaction: its position in the entry, the entry's mark, and the revisions before.

    ``revisions`` are those of the artifacts that the transaction has changed so far, as they were before it.
    """

    position: int
    mark: Mark
    revisions: dict[bytes, int]


def apply(state: State, operation: Operation, step: Step) -> None:
    """Change a state by an operation; raise `VoidError` if it is void.  An ignorable one changes nothing."""
    rule = _RULES.get(type(operation))
    if rule is not None:
        rule(state, operation, step)


def is_component(text: str) -> bool:
    """Return whether a text can be an alias or a component of a name, by the log's rule.

    `artstore.names` allows fewer: its rule depends on tables of Unicode.
    """
    return (
        _COMPONENT.fullmatch(text) is not None
        and _RESERVED.fullmatch(text) is None
        and len(text.encode()) <= _LONGEST_COMPONENT
    )


# -- artifacts and versions --------------------------------------------------------------------------------------------


def _commit(state: State, commit: Commit, step: Step) -> None:
    earlier = state.version_of(commit.version)
    if earlier is not None:
        raise VoidError(
            Reason.SAME_VERSION,
            f"it is {state.title(earlier.artifact, earlier.number)} already, pushed {who(state, earlier.made)}",
            earlier.made,
        )
    artifact = state.artifacts.get(commit.artifact) or _new_artifact(state, commit, step.mark)
    if commit.next != artifact.next or commit.number < commit.next:
        last = state.versions.get((artifact.uuid, artifact.next - 1))
        made = NEVER if last is None else last.made
        raise VoidError(
            Reason.NUMBER,
            f"the next version of {artifact.name} is {version_label(artifact.next)}, not {version_label(commit.next)}"
            + (f": the one before was pushed {who(state, made)}" if last is not None else ""),
            made,
        )
    for source in commit.sources:
        _check_source(state, source.kind, source.version)
    state.put_artifact(artifact._replace(next=commit.number + 1))
    state.put_version(
        VersionRow(
            artifact=commit.artifact,
            number=commit.number,
            uuid=commit.version,
            digest=commit.digest,
            root=commit.root,
            entries=commit.entries,
            files=commit.files,
            bytes=commit.bytes,
            created_ns=commit.created_ns,
            mtime_ns=commit.mtime_ns,
            mode=commit.mode,
            record=commit.record,
            recorded=step.mark,
            manifest=commit.manifest,
            sources=commit.sources,
            made=step.mark,
            position=step.position,
            state=LIVE,
            changed=step.mark,
            due_ns=0,
            reason="",
            released=(),
            expires_ns=0,
        )
    )
    for source in commit.sources:
        linked = state.version_of(source.version)
        if linked is not None and source.kind != BASE:
            _revise(state, linked.artifact, step)


def _new_artifact(state: State, commit: Commit, mark: Mark) -> ArtifactRow:
    _check_name(commit.name)
    _check_free(state, commit.name)
    artifact = ArtifactRow(commit.artifact, commit.name, commit.type, 0, mark.number, mark, mark, None, NEVER)
    state.put_artifact(artifact)
    return artifact


def _check_source(state: State, kind: int, uuid: bytes) -> None:
    row = state.version_of(uuid)
    if kind == BASE or (row is not None and row.state == LIVE):
        return
    if row is None:
        raise VoidError(Reason.SOURCE_GONE, f"the version {uuid.hex()[:8]} that it includes or links to is not there")
    title = state.title(row.artifact, row.number)
    raise VoidError(Reason.SOURCE_GONE, f"{title}, which it needs, was deleted {who(state, row.changed)}", row.changed)


def _delete(state: State, delete: Delete, step: Step) -> None:
    row = _live(state, delete.artifact, delete.number)
    artifact = state.artifacts[delete.artifact]
    title = state.title(delete.artifact, delete.number)
    if delete.revision != step.revisions.get(delete.artifact, artifact.revision):
        mark = Mark(artifact.revision, *_author(state, artifact))
        raise VoidError(
            Reason.REVISION,
            f"aliases, links, tags or holds of {artifact.name} have changed since they were read (entry {mark.number})",
            mark,
        )
    aliases = state.aliases_of(delete.artifact, delete.number)
    if aliases and not delete.flags & RELEASES_ALIASES:
        mark = state.aliases[delete.artifact, aliases[0]].changed
        raise VoidError(Reason.HAS_ALIASES, f"{title} has the alias {aliases[0]!r}, set {who(state, mark)}", mark)
    dependant = None if delete.flags & ORPHANS_DEPENDANTS else next(state.dependants(row), None)
    if dependant is not None:
        other = state.title(dependant.artifact, dependant.number)
        raise VoidError(Reason.HAS_DEPENDANTS, f"{other} was made from {title}", dependant.made)
    for alias in aliases:
        state.put_alias(AliasRow(delete.artifact, alias, None, step.mark))
    state.put_version(
        row._replace(
            state=DELETED,
            changed=step.mark,
            due_ns=delete.due_ns,
            reason=delete.reason,
            released=tuple(aliases),
        )
    )
    _revise(state, delete.artifact, step)


def _author(state: State, artifact: ArtifactRow) -> tuple[bytes, int]:
    """Return the machine and time of the entry that last revised an artifact, as far as a row still shows them."""
    marks = [artifact.named, artifact.recorded]
    marks += [row.changed for row in state.aliases.values() if row.artifact == artifact.uuid]
    marks += [row.changed for row in state.holds.values() if row.artifact == artifact.uuid]
    newest = next((mark for mark in marks if mark.number == artifact.revision), NEVER)
    return newest.machine, newest.at_ns


def _undelete(state: State, undelete: Undelete, step: Step) -> None:
    row = _existing(state, undelete.artifact, undelete.number)
    title = state.title(undelete.artifact, undelete.number)
    if row.state == REAPED:
        raise VoidError(Reason.REAPED, f"the content of {title} was given up {who(state, row.changed)}", row.changed)
    if row.state == LIVE:
        raise VoidError(Reason.NOT_DELETED, f"{title} is not deleted", row.changed)
    state.put_version(row._replace(state=LIVE, changed=step.mark, due_ns=0, reason="", released=()))
    _revise(state, undelete.artifact, step)


def _rename(state: State, rename: Rename, step: Step) -> None:
    artifact = _artifact(state, rename.artifact)
    if artifact.name != rename.expected:
        raise VoidError(
            Reason.RENAMED,
            f"{rename.expected} was renamed to {artifact.name} {who(state, artifact.named)}",
            artifact.named,
        )
    _check_name(rename.name)
    _check_free(state, rename.name)
    state.put_artifact(artifact._replace(name=rename.name, named=step.mark))


def _meta(state: State, meta: Meta, step: Step) -> None:
    artifact = _artifact(state, meta.artifact)
    if meta.number is None:
        _check_mark(state, artifact.name, "description or type", meta.expected, artifact.recorded)
        state.put_artifact(artifact._replace(type=meta.type, record=meta.record, recorded=step.mark))
    else:
        row = _live(state, meta.artifact, meta.number)
        title = state.title(meta.artifact, meta.number)
        if meta.type:
            raise VoidError(Reason.CHANGED, f"{title} is a version, which has no type")
        _check_mark(state, title, "metadata", meta.expected, row.recorded)
        state.put_version(row._replace(record=meta.record, recorded=step.mark))
    _revise(state, meta.artifact, step)


def _ttl(state: State, ttl: Ttl, step: Step) -> None:
    row = _live(state, ttl.artifact, ttl.number)
    if row.expires_ns != ttl.expected_ns:
        title = state.title(ttl.artifact, ttl.number)
        raise VoidError(Reason.CHANGED, f"the expiry time of {title} has changed since it was read")
    state.put_version(row._replace(expires_ns=ttl.expires_ns))


# -- names -------------------------------------------------------------------------------------------------------------


def _alias(state: State, alias: Alias, step: Step) -> None:
    artifact = _artifact(state, alias.artifact)
    if not is_component(alias.alias):
        raise VoidError(Reason.NAME_INVALID, f"{alias.alias!r:.60} cannot be an alias")
    row = state.aliases.get((alias.artifact, alias.alias))
    now, mark = (None, NEVER) if row is None else (row.version, row.changed)
    if now != alias.expected:
        title = f"the alias {artifact.name}:{alias.alias}"
        change = "was removed" if now is None else f"was set to {version_label(now)}"
        raise VoidError(
            Reason.ALIAS_MOVED, f"{title} {change} {who(state, mark)}" if row else f"{title} is not set", mark
        )
    if alias.version is not None:
        _live(state, alias.artifact, alias.version)
    state.put_alias(AliasRow(alias.artifact, alias.alias, alias.version, step.mark))
    _revise(state, alias.artifact, step)


def _check_name(name: str) -> None:
    if not all(is_component(component) for component in name.split("/")):
        raise VoidError(Reason.NAME_INVALID, f"{name!r:.60} cannot be the name of an artifact")


def _check_free(state: State, name: str) -> None:
    taken = state.artifact(name)
    if taken is not None:
        made = max(taken.made, taken.named)
        text = f"the name {name} belongs to another artifact, which got it {who(state, made)}"
        raise VoidError(Reason.NAME_TAKEN, text, made)


# -- holds, runs, rules ------------------------------------------------------------------------------------------------


def _hold(state: State, hold: Hold, step: Step) -> None:
    row = _existing(state, hold.artifact, hold.number)
    if row.state == REAPED:
        title = state.title(hold.artifact, hold.number)
        raise VoidError(Reason.REAPED, f"the content of {title} was given up {who(state, row.changed)}", row.changed)
    held = state.holds.get(hold.hold)
    if held is not None and (held.artifact, held.number) != (hold.artifact, hold.number):
        raise VoidError(Reason.CHANGED, f"the hold {hold.hold.hex()[:8]} is one on another version", held.changed)
    kept = HoldRow(hold.hold, hold.artifact, hold.number, hold.until_ns, hold.reason, step.mark)
    state.put_hold(hold.hold, kept if hold.until_ns else None)
    _revise(state, hold.artifact, step)


def _stage(state: State, stage: Stage, step: Step) -> None:
    kept = StageRow(stage.stage, stage.manifest, stage.until_ns, step.mark)
    state.put_stage(stage.stage, kept if stage.until_ns else None)


def _run(state: State, run: Run, step: Step) -> None:
    row = state.runs.get(run.run)
    _check_mark(state, f"the run {run.name}", "record", run.expected, NEVER if row is None else row.changed)
    before = () if row is None else row.edges
    edges = before + tuple(edge for edge in run.edges if edge not in before)
    state.put_run(RunRow(run.run, run.name, run.record, edges, step.mark))
    for edge in edges[len(before) :]:
        version = state.version_of(edge.version)
        if version is not None:
            _revise(state, version.artifact, step)


def _rules(state: State, rules: Rules, step: Step) -> None:
    _check_mark(state, "the remote", "retention rules", rules.expected, state.ruled)
    state.assign(rules=rules.rules, ruled=step.mark)


# -- collection --------------------------------------------------------------------------------------------------------


def _condemn(state: State, condemn: Condemn, step: Step) -> None:
    for place in condemn.reaped:
        key = state.places.get(place)
        if key is None:
            raise VoidError(Reason.NO_VERSION, f"entry {place.number} makes no version at operation {place.position}")
        row = state.versions[key]
        if row.state == LIVE:
            raise VoidError(Reason.NOT_DELETED, f"{state.title(*key)} is not deleted", row.changed)
        if row.state == DELETED:
            state.put_version(row._replace(state=REAPED, changed=step.mark))
    state.put_condemn(CondemnRow(step.position, condemn.listed, condemn.packs, condemn.bytes, step.mark))


def _moved(state: State, moved: Moved, step: Step) -> None:
    if state.least < MOVING_WRITER:
        raise VoidError(Reason.NOT_UPGRADED, f"content may be moved only after an upgrade to writer {MOVING_WRITER}")
    if Place(step.mark.number, step.position - 1) not in state.condemned:
        raise VoidError(Reason.MIXED, "content may be moved only right after its condemn, in the same transaction")
    state.put_move(MoveRow(step.position, moved.map, step.mark))


def _upgrade(state: State, upgrade: Upgrade, step: Step) -> None:
    if upgrade.least < state.least:
        raise VoidError(Reason.CHANGED, f"the least writer is {state.least} already, and never falls")
    state.assign(least=upgrade.least)


# -- shared checks -----------------------------------------------------------------------------------------------------


def _artifact(state: State, uuid: bytes) -> ArtifactRow:
    row = state.artifacts.get(uuid)
    if row is None:
        raise VoidError(Reason.NO_ARTIFACT, f"the remote has no artifact with the uuid {uuid.hex()[:8]}")
    return row


def _existing(state: State, artifact: bytes, number: int) -> VersionRow:
    name = _artifact(state, artifact).name
    row = state.versions.get((artifact, number))
    if row is None:
        raise VoidError(Reason.NO_VERSION, f"{name}:{version_label(number)} never existed on the remote")
    return row


def _live(state: State, artifact: bytes, number: int) -> VersionRow:
    row = _existing(state, artifact, number)
    if row.state != LIVE:
        title = state.title(artifact, number)
        raise VoidError(Reason.NOT_LIVE, f"{title} was deleted {who(state, row.changed)}", row.changed)
    return row


def _check_mark(state: State, title: str, what: str, expected: int, mark: Mark) -> None:
    if mark.number != expected:
        raise VoidError(Reason.CHANGED, f"the {what} of {title} changed {who(state, mark)}", mark)


def _revise(state: State, artifact: bytes, step: Step) -> None:
    row = state.artifacts[artifact]
    step.revisions.setdefault(artifact, row.revision)
    state.put_artifact(row._replace(revision=step.mark.number))


_RULES: Final[dict[type, Callable[[State, Any, Step], None]]] = {
    Commit: _commit,
    Stage: _stage,
    Alias: _alias,
    Delete: _delete,
    Undelete: _undelete,
    Rename: _rename,
    Meta: _meta,
    Ttl: _ttl,
    Rules: _rules,
    Hold: _hold,
    Run: _run,
    Condemn: _condemn,
    Moved: _moved,
    Upgrade: _upgrade,
}
