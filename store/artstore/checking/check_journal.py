"""Comparing the journal with the catalogue, because a rebuild would make the catalogue from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from artstore import beneath
from artstore.checking.check_names import Names
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.names import version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.events import decode
from artstore.retention.rules import check_rules, read_rules
from artstore.rows.history import History, VersionHistory, read_provenance
from artstore.rows.remotes import read_tracking
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction

__all__ = ["check_journal"]


def check_journal(
    workspace: Path,
    transaction: ReadTransaction,
    names: Names,
    versions: Sequence[VersionRecord],
    report: Report,
) -> None:
    """Compare the acknowledged part of the journal with the catalogue as a transaction shows it."""
    counters = transaction.counters()
    end = counters.journal_end
    path = journal.journal_path(workspace, counters.journal_generation)
    try:
        length = beneath.status(workspace, path).st_size
    except FileNotFoundError:
        report.add("file", f"the journal {path} is missing: a rebuild could not restore the catalogue")
        return
    if length < end:
        report.add("journal", f"the journal {path} ends at byte {length}, before its acknowledged end {end}")
    history = History(check_rules)
    if not _replay(path, min(end, length), history, report):
        return  # a comparison would only report the missing events again
    for difference in _differences(history, names.artifacts, versions, names.aliases):
        report.add("journal", f"the journal and the manifest disagree: {difference}")
    with report.guard("record", "runs and lineage"):
        history.provenance.prune({version.serial for version in versions})
        for difference in history.provenance.differences(read_provenance(transaction)):
            report.add("journal", f"the journal and the manifest disagree on {difference}")
    with report.guard("record", "the remotes"):
        artifacts = {artifact.name: number for number, artifact in names.artifacts.items() if artifact.is_artifact}
        owners = {version.serial: version.artifact for version in versions}
        told = history.tracking(artifacts).without_loose(set(artifacts.values()), owners)
        for difference in told.differences(read_tracking(transaction).told()):
            report.add("journal", f"the journal and the manifest disagree on {difference}")
    with report.guard("record", "the retention rules"):
        if [rule.record() for rule in read_rules(transaction).rules] != history.rules:
            report.add("journal", "the journal and the manifest disagree on the retention rules")


def _replay(path: Path, end: int, history: History, report: Report) -> bool:
    """Apply the events up to an offset; return whether all of them were present and valid."""
    position, whole, events = 0, True, 0
    for after, event in journal.salvage(path):
        if position >= end:
            break
        if event is None:
            report.add("journal", f"bytes {position} to {min(after, end)} of the journal {path} are unreadable")
            whole = False
        elif after > end:
            report.add("journal", f"no record of the journal {path} ends at its acknowledged end {end}")
            return False
        else:
            try:
                history.apply(decode(event))
            except DamageError as error:
                report.add("journal", f"at byte {position} of the journal {path}: {error}")
                whole = False
        events += 1
        position = after
    report.count(journal_events=events)
    return whole


def _differences(
    history: History,
    artifacts: Mapping[int, ArtifactRecord],
    versions: Iterable[VersionRecord],
    aliases: Iterable[AliasRecord],
) -> Iterator[str]:
    """Yield the differences between journal and catalogue."""
    recorded = {artifact.name: artifact for artifact in artifacts.values() if artifact.is_artifact}
    for name in sorted(recorded.keys() - history.artifacts.keys()):
        yield f"only the manifest has the artifact {name!r}"
    for name in sorted(history.artifacts.keys() - recorded.keys()):
        yield f"only the journal has the artifact {name!r}"
    for name in sorted(history.artifacts.keys() & recorded.keys()):
        replayed, artifact = history.artifacts[name], recorded[name]
        found, told = ((one.type, one.next_version, one.next_pending) for one in (artifact, replayed))
        if found != told:
            actual = f"{artifact.type!r} and v{artifact.next_version}"
            expected = f"{replayed.type!r} and v{replayed.next_version}"
            yield f"{name!r} has the type and next version {actual} in the manifest, {expected} in the journal"
        if replayed.description != artifact.description:
            yield f"the description of {name!r} differs"
    yield from _version_differences(history, artifacts, versions)
    names = {
        (artifacts[alias.artifact].name, alias.name): alias.version for alias in aliases if alias.artifact in artifacts
    }
    named = history.aliases
    for key in sorted(names.keys() | named.keys()):
        if names.get(key) != named.get(key):
            actual, expected = _label(names.get(key)), _label(named.get(key))
            yield f"{key[0]}:{key[1]} points to {actual} in the manifest, to {expected} in the journal"


def _label(number: int | None) -> str:
    return "nothing" if number is None else version_label(number)


def _times(version: VersionHistory) -> tuple[int, int, int]:
    return version.made.mtime_ns, version.made.mode, version.made.newest_ns


def _version_differences(
    history: History, artifacts: Mapping[int, ArtifactRecord], versions: Iterable[VersionRecord]
) -> Iterator[str]:
    seen = set()
    for version in versions:
        artifact = artifacts.get(version.artifact)
        if artifact is None:
            continue  # the check of the catalogue reports it
        label = f"{artifact.name}:{version_label(version.number)}"
        seen.add((artifact.name, version.number))
        replayed = history.version(artifact.name, version.number)
        if replayed is None:
            yield f"only the manifest has {label}"
        elif replayed.is_deleted != (version.state == "deleted"):
            yield f"{label} is deleted in only one of them"
        elif (replayed.made.serial, replayed.digest) != (version.serial, version.digest.hex()):
            yield f"the digest or serial of {label} differs"
        elif replayed.made.former != version.former:
            yield f"the former number of {label} differs"
        elif replayed.form != version.form.hex() or _times(replayed) != (
            version.mtime_ns,
            version.mode,
            version.newest_ns,
        ):
            yield f"the times or modes of {label} differ"
        elif replayed.mount != version.mount:
            yield f"the mount serial of {label} differs"
        elif (replayed.metadata, replayed.description, replayed.tags) != (
            version.metadata,
            version.description,
            version.tags,
        ):
            yield f"the metadata, description or tags of {label} differ"
        elif (replayed.made.origin or {}) != version.origin:
            yield f"the origin of {label} differs"
        elif replayed.expires_ns != version.expires_ns:
            yield f"the expiry time of {label} differs"
    for name, artifact_history in history.artifacts.items():
        for number, version_history in artifact_history.versions.items():
            if not version_history.is_deleted and (name, number) not in seen:
                yield f"only the journal has {name}:{version_label(number)}"
