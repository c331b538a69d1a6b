"""What the journal tells, compared with the catalogue: a rebuild would make the catalogue of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artstore.checking.check_names import Names
from artstore.checking.report import Report, message_of
from artstore.errors import DamageError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.retention.rules import Rule, read_rules
from artstore.rows.journal_events import EVENTS, Told, told_of
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction

__all__ = ["History", "ToldArtifact", "ToldVersion", "check_journal"]


@dataclass(slots=True)
class ToldVersion:
    """A version as the journal tells of it; ``digest`` in hex."""

    serial: int
    digest: str
    metadata: dict[str, Any]
    description: str
    created_ns: int
    base: str | None
    tags: list[str] = field(default_factory=list)
    purged: list[dict[str, Any]] = field(default_factory=list)
    deleted: bool = False
    expires_ns: int = 0
    draft: str = ""


@dataclass(slots=True)
class ToldArtifact:
    """An artifact as the journal tells of it: versions by number, and the version that each alias names."""

    type: str | None = None
    description: str = ""
    created_ns: int = 0
    next_version: int = 0
    versions: dict[int, ToldVersion] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)


class History:
    """The catalogue that a journal's events lead to: artifacts by name, runs and lineage, and the next serial."""

    def __init__(self) -> None:
        self.artifacts: dict[str, ToldArtifact] = {}
        self.rules: list[dict[str, Any]] = []
        self.told = Told()
        self.next_serial = 1

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take one event in; raise `DamageError` for one that contradicts those before it."""
        try:
            self._apply(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DamageError(f"the event {event} cannot be: {message_of(error)}") from error

    def _apply(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "retention":
            self.rules = [Rule.of(rule).record() for rule in event["rules"]]
            return
        if event["event"] in EVENTS:
            self.told.apply(event)
            return
        if event["event"] == "rename":
            self.artifacts[event["to"]] = self.artifacts.pop(event["name"])
            return
        artifact = self.artifacts.setdefault(event["name"], ToldArtifact())
        match event["event"]:
            case "artifact":
                artifact.type, artifact.description = event["type"], event["description"]
                artifact.created_ns, artifact.next_version = event["created_ns"], event["next_version"]
                self.next_serial = max(self.next_serial, event["next_serial"])
            case "version":
                number = event["number"]
                artifact.versions[number] = ToldVersion(
                    serial=event["serial"],
                    digest=event["digest"],
                    metadata=event["metadata"],
                    description=event["description"],
                    created_ns=event["created_ns"],
                    base=event["base"],
                    draft=event.get("draft", ""),
                )
                artifact.created_ns = artifact.created_ns or event["created_ns"]
                artifact.next_version = max(artifact.next_version, number + 1)
                self.next_serial = max(self.next_serial, event["serial"] + 1)
            case "delete":
                artifact.versions[event["version"]].deleted = True
                for name in [name for name, number in artifact.aliases.items() if number == event["version"]]:
                    del artifact.aliases[name]
            case "undelete":
                artifact.versions[event["version"]].deleted = False
            case "revision":
                told = artifact.versions[event["version"]]
                told.description, told.metadata = event["description"], event["metadata"]
            case "ttl":
                artifact.versions[event["version"]].expires_ns = event["expires_ns"]
            case "purge":
                artifact.versions[event["version"]].digest = event["digest"]
                artifact.versions[event["version"]].purged += event["purged"]
            case "alias" if event["version"] is None:
                del artifact.aliases[event["alias"]]
            case "alias":
                artifact.aliases[event["alias"]] = event["version"]
            case "tags":
                artifact.versions[event["version"]].tags = event["tags"]
            case "type":
                artifact.type = event["type"]
            case "description":
                artifact.description = event["description"]
            case unknown:
                raise ValueError(f"{unknown!r} is no event")


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
        length = path.stat().st_size
    except FileNotFoundError:
        report.add("file", f"the journal {path} is missing: a rebuild would not know what was put")
        return
    if length < end:
        report.add("journal", f"the journal {path} ends at byte {length}, and {end} were acknowledged")
    history = History()
    if not _replay(path, min(end, length), history, report):
        return  # what is missing would only be named again
    for difference in _differences(history, names.artifacts, versions, names.aliases):
        report.add("journal", f"the journal and the manifest disagree: {difference}")
    with report.guard("record", "runs and lineage"):
        history.told.prune({version.serial for version in versions})
        for difference in history.told.differences(told_of(transaction)):
            report.add("journal", f"the journal and the manifest disagree: {difference} is another in each of them")
    with report.guard("record", "the retention rules"):
        if [rule.record() for rule in read_rules(transaction).rules] != history.rules:
            report.add("journal", "the journal and the manifest disagree: they have other retention rules")


def _replay(path: Path, end: int, history: History, report: Report) -> bool:
    """Apply the events up to an offset; return whether all of them were there and fit."""
    position, whole, events = 0, True, 0
    for after, event in journal.salvage(path):
        if position >= end:
            break
        if event is None:
            report.add("journal", f"bytes {position} to {min(after, end)} of the journal {path} do not read")
            whole = False
        elif after > end:
            report.add("journal", f"no record of the journal {path} ends at its acknowledged end {end}")
            return False
        else:
            try:
                history.apply(event)
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
    """Yield what the journal says otherwise than the catalogue."""
    recorded = {artifact.name: artifact for artifact in artifacts.values() if artifact.is_artifact}
    for name in sorted(recorded.keys() - history.artifacts.keys()):
        yield f"only the manifest has the artifact {name!r}"
    for name in sorted(history.artifacts.keys() - recorded.keys()):
        yield f"only the journal has the artifact {name!r}"
    for name in sorted(history.artifacts.keys() & recorded.keys()):
        told, artifact = history.artifacts[name], recorded[name]
        if (told.type, told.next_version) != (artifact.type, artifact.next_version):
            ours, theirs = f"{artifact.type!r} and v{artifact.next_version}", f"{told.type!r} and v{told.next_version}"
            yield f"type and next version of {name!r} are {ours}, by the journal {theirs}"
        if told.description != artifact.description:
            yield f"{name!r} has another description in the journal"
    yield from _version_differences(history, artifacts, versions)
    names = {
        (artifacts[alias.artifact].name, alias.name): alias.version for alias in aliases if alias.artifact in artifacts
    }
    told_names = {(name, alias): n for name, told in history.artifacts.items() for alias, n in told.aliases.items()}
    for key in sorted(names.keys() | told_names.keys()):
        if names.get(key) != told_names.get(key):
            ours, theirs = _label(names.get(key)), _label(told_names.get(key))
            yield f"the alias {key[0]}:{key[1]} names {ours}, by the journal {theirs}"


def _label(number: int | None) -> str:
    return "nothing" if number is None else f"v{number}"


def _version_differences(
    history: History, artifacts: Mapping[int, ArtifactRecord], versions: Iterable[VersionRecord]
) -> Iterator[str]:
    seen = set()
    for version in versions:
        artifact = artifacts.get(version.artifact)
        if artifact is None:
            continue  # named where the catalogue is checked
        label = f"{artifact.name}:v{version.number}"
        seen.add((artifact.name, version.number))
        told = history.artifacts.get(artifact.name, ToldArtifact()).versions.get(version.number)
        if told is None:
            yield f"only the manifest has {label}"
        elif told.deleted != (version.state == "deleted"):
            yield f"{label} is deleted by one of them only"
        elif (told.serial, told.digest) != (version.serial, version.digest.hex()):
            yield f"{label} has another digest or serial in the journal"
        elif (told.metadata, told.description, told.tags) != (version.metadata, version.description, version.tags):
            yield f"{label} has other metadata, description or tags in the journal"
        elif told.expires_ns != version.expires_ns:
            yield f"{label} has another end of its own in the journal"
    for name, artifact_told in history.artifacts.items():
        for number, version_told in artifact_told.versions.items():
            if not version_told.deleted and (name, number) not in seen:
                yield f"only the journal has {name}:v{number}"
