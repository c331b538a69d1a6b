"""Checking the catalogue: names, artifacts, versions and aliases must refer to each other, in both directions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.names import version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.counters import Counters
from artstore.records.tables import Table, key32, key64
from artstore.storage.manifest import ReadTransaction

__all__ = ["Names", "check_names", "read_names"]

_RETIRED = b"\0"


@dataclass
class Names:
    """The rows of the catalogue: artifacts and projects by number, names as they are keyed, and aliases."""

    artifacts: dict[int, ArtifactRecord] = field(default_factory=dict)
    names: dict[bytes, int] = field(default_factory=dict)
    aliases: list[AliasRecord] = field(default_factory=list)

    def label(self, artifact: int, number: int) -> str:
        """Return ``NAME:vN`` of a version."""
        record = self.artifacts.get(artifact)
        return f"{record.name if record else f'artifact {artifact}'}:{version_label(number)}"


def read_names(transaction: ReadTransaction, report: Report) -> Names:
    """Read the rows of the catalogue except versions; unreadable ones go to the report."""
    names = Names()
    for key, payload in readable_rows(transaction, Table.ARTIFACTS, report):
        number = int.from_bytes(key, "big")
        with report.guard("record", f"the record of artifact number {number}"):
            record = ArtifactRecord.decode(payload)
            names.artifacts[number] = record
            if record.number != number:
                report.add("catalogue", f"the record of artifact number {number} has the number {record.number}")
    for key, payload in readable_rows(transaction, Table.NAMES, report):
        names.names[key] = int.from_bytes(payload, "big")
    serials = dict(readable_rows(transaction, Table.ALIAS_SERIALS, report))
    for key, payload in readable_rows(transaction, Table.ALIASES, report):
        with report.guard("record", f"the alias {key.hex()}"):
            alias = AliasRecord.decode(payload)
            names.aliases.append(alias)
            if key != key64(alias.artifact) + alias.name.encode():
                report.add("catalogue", f"the alias {alias.name!r} of artifact {alias.artifact} has a wrong key")
            if serials.pop(key32(alias.serial), None) != key:
                report.add("catalogue", f"the serial {alias.serial} does not point to the alias {alias.name!r}")
    for serial in serials:
        report.add("catalogue", f"the alias serial {int.from_bytes(serial, 'big')} belongs to no alias")
    return names


def check_names(
    transaction: ReadTransaction, names: Names, versions: Sequence[VersionRecord], counters: Counters, report: Report
) -> None:
    """Check the result of `read_names` against the versions."""
    _check_versions(transaction, names, versions, counters, report)
    living = {(version.artifact, version.number) for version in versions if version.state == "live"}
    for alias in names.aliases:
        if (alias.artifact, alias.version) not in living:
            named = names.label(alias.artifact, alias.version)
            report.add("catalogue", f"the alias {alias.name!r} points to {named}, which is not a living version")
        if alias.serial >= counters.next_alias:
            report.add("counter", f"the serial of the alias {alias.name!r} has not been assigned yet")
    _check_artifacts(names, {artifact for artifact, _ in living}, counters, report)


def _check_versions(
    transaction: ReadTransaction, names: Names, versions: Sequence[VersionRecord], counters: Counters, report: Report
) -> None:
    numbers = dict(readable_rows(transaction, Table.NUMBERS, report))
    for version in versions:
        label = names.label(version.artifact, version.number)
        if version.state not in ("live", "deleted"):
            report.add("catalogue", f"{label} is in the unknown state {version.state!r}", versions=[label])
        if numbers.pop(key64(version.artifact) + key32(version.number), None) != key32(version.serial):
            report.add("catalogue", f"the number of {label} does not point to it", versions=[label])
        artifact = names.artifacts.get(version.artifact)
        if artifact is None or not artifact.is_artifact:
            report.add("catalogue", f"the version with serial {version.serial} has no artifact", versions=[label])
        elif not artifact.has_given(version.number):
            report.add("counter", f"the number of {label} has not been assigned yet", versions=[label])
        if version.serial >= counters.next_serial:
            report.add("counter", f"the serial of {label} has not been assigned yet", versions=[label])
    for key in numbers:
        artifact_number, number = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
        report.add(
            "catalogue", f"the table of numbers has {names.label(artifact_number, number)}, which does not exist"
        )


def _check_artifacts(names: Names, living: Collection[int], counters: Counters, report: Report) -> None:
    """Check that names lead only to living artifacts, retired artifacts, and projects above living artifacts."""
    expected: dict[bytes, int] = {}
    projects: set[str] = set()
    for number, artifact in names.artifacts.items():
        if number >= counters.next_name:
            report.add("counter", f"the number of {artifact.name!r} has not been assigned yet")
        if artifact.is_artifact and number not in living:
            expected[_RETIRED + artifact.name.encode()] = number
            continue
        expected[artifact.name.encode()] = number
        if artifact.is_artifact:
            components = artifact.name.split("/")
            projects.update("/".join(components[:depth]) for depth in range(1, len(components)))
    _compare_names(expected, names.names, names, report)
    recorded = {artifact.name for artifact in names.artifacts.values() if not artifact.is_artifact}
    for name in sorted(projects - recorded):
        report.add("catalogue", f"the project {name!r} contains an artifact but has no record")
    for name in sorted(recorded - projects):
        report.add("catalogue", f"the project {name!r} contains no artifact")


def _compare_names(expected: Mapping[bytes, int], present: Mapping[bytes, int], names: Names, report: Report) -> None:
    for key in sorted(expected.keys() | present.keys()):
        if expected.get(key) == present.get(key):
            continue
        name = key.removeprefix(_RETIRED).decode("utf-8", "replace")
        what = f"{'the retired name' if key.startswith(_RETIRED) else 'the name'} {name!r}"
        if key not in present:
            report.add("catalogue", f"{what} of artifact number {expected[key]} is not in the table of names")
        elif present[key] not in names.artifacts:
            report.add("catalogue", f"{what} points to artifact number {present[key]}, which does not exist")
        else:
            report.add("catalogue", f"{what} points to artifact number {present[key]}, which has another name")
