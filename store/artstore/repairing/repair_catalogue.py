"""Repairing the catalogue: unreadable records are restored from the journal, derived rows are derived again.

Artifacts, versions and aliases are the records; names, numbers, alias serials and the counters of the catalogue are
derived from them.  If journal and catalogue still disagree after that, the journal is rewritten, for a later rebuild.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from artstore import beneath
from artstore.checking.check_journal import check_journal
from artstore.checking.check_names import read_names
from artstore.checking.check_versions import root_view
from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.names import PENDING, is_pending, version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, CatalogueRecord, VersionRecord
from artstore.records.deadlist import DeadEntry, decode_entry
from artstore.records.events import decode
from artstore.records.journal_frames import encode_events
from artstore.records.packing import CLASS_TREE
from artstore.records.tables import Table, key32, key64
from artstore.records.terms import terms_of
from artstore.records.trees import MODE_BITS
from artstore.repairing.repair_folders import modes_of, own
from artstore.repairing.repair_remotes import repair_remotes
from artstore.repairing.repair_runs import repair_runs
from artstore.repairing.replace_rows import put_row, replace_rows
from artstore.repairing.replay_journal import Root, events_of, version_record
from artstore.retention.rules import Rule, Rules, check_rules, read_rules, write_rules
from artstore.rows import catalogue
from artstore.rows.history import History
from artstore.rows.nodes import find_node
from artstore.storage import disk, journal
from artstore.storage.manifest import WriteTransaction

__all__ = ["repair_catalogue", "repair_journal"]

_RETIRED = b"\0"


def repair_catalogue(workspace: Path, transaction: WriteTransaction) -> list[str]:
    """Restore unreadable records and rewrite the rows derived from them; return a sentence for each repair."""
    work = _Work(transaction, *_history(workspace, transaction))
    work.restore_artifacts()
    work.restore_versions()
    work.restore_aliases()
    work.derive()
    work.restore_rules()
    work.restore_runs()
    work.restore_remotes()
    return work.repairs


def _history(workspace: Path, transaction: WriteTransaction) -> tuple[History, bool]:
    """Return the history in the acknowledged part of the journal, and whether it is complete."""
    history = History(check_rules)
    state = transaction.state
    path = journal.journal_path(workspace, state.journal_generation)
    position, is_whole = 0, True
    for end, event in journal.salvage(path) if beneath.exists(workspace, path) else ():
        if end > state.journal_end:
            break
        position = end
        try:
            history.apply(decode(event or {}))
        except DamageError:
            is_whole = False
    return history, is_whole and position == state.journal_end


class _Work:
    """The inside of `repair_catalogue`.

    An unreadable row is restored from the readable part of the journal.  A missing row is restored only from a complete
    journal: otherwise the event that removed the row may be the missing one.
    """

    def __init__(self, transaction: WriteTransaction, history: History, is_whole: bool) -> None:
        self.repairs: list[str] = []
        self._transaction = transaction
        self._history = history
        self._is_whole = is_whole
        self._unread: dict[Table, set[bytes]] = {}
        self._recorded = {
            version.made.serial: (name, number)
            for name, artifact in history.artifacts.items()
            for number, version in artifact.versions.items()
        }
        self._artifacts: dict[int, ArtifactRecord] = {}
        self._versions: dict[int, VersionRecord] = {}

    def _read(self, table: Table, kind: type[CatalogueRecord]) -> list[tuple[bytes, CatalogueRecord]]:
        """Return the readable rows of a table, and remove the others."""
        rows = []
        for key, payload in list(readable_rows(self._transaction, table, Report())):
            try:
                rows.append((key, kind.decode(payload)))
            except DamageError:
                continue
        good = {key for key, _ in rows}
        with self._transaction.raw.cursor(self._transaction.handles[table]) as cursor:
            keys = list(cursor.iternext(values=False))
        self._unread[table] = {key for key in keys if key not in good}
        for key in self._unread[table]:
            self._transaction.delete(table, key)
            self.repairs.append(f"removed the unreadable {kind.kind} record {key.hex()}")
        return rows

    def restore_artifacts(self) -> None:
        """Read the artifacts; recreate missing ones, by the numbers that names and versions refer to."""
        for key, record in self._read(Table.ARTIFACTS, ArtifactRecord):
            assert isinstance(record, ArtifactRecord)
            self._artifacts[int.from_bytes(key, "big")] = replace(record, number=int.from_bytes(key, "big"))
        wanted: dict[int, str] = {}
        for key, payload in readable_rows(self._transaction, Table.NAMES, Report()):
            wanted[int.from_bytes(payload, "big")] = key.removeprefix(_RETIRED).decode("utf-8", "replace")
        for key, record in self._read(Table.VERSIONS, VersionRecord):
            assert isinstance(record, VersionRecord)
            self._versions[int.from_bytes(key, "big")] = record
            if record.serial in self._recorded:
                wanted.setdefault(record.artifact, self._recorded[record.serial][0])
        named = self._artifact_names()
        for number, name in wanted.items():
            if number not in self._artifacts and name not in named and name in self._history.artifacts:
                self._make_artifact(number, name)
        for name, artifact in self._history.artifacts.items():
            if self._is_whole and artifact.versions and name not in self._artifact_names():
                self._make_artifact(max([*self._artifacts, self._transaction.state.next_name - 1]) + 1, name)

    def _artifact_names(self) -> set[str]:
        return {artifact.name for artifact in self._artifacts.values()}

    def _living(self) -> list[VersionRecord]:
        return [version for version in self._versions.values() if version.state == "live"]

    def _make_artifact(self, number: int, name: str) -> None:
        artifact = self._history.artifacts[name]
        self._artifacts[number] = ArtifactRecord(
            number,
            name,
            True,
            artifact.created_ns,
            artifact.type,
            artifact.next_version,
            artifact.description,
            next_pending=artifact.next_pending,
        )
        self.repairs.append(f"rebuilt the record of the artifact {name!r} from the journal")

    def restore_versions(self) -> None:
        """Recreate missing versions from the journal if their trees exist."""
        numbers = {artifact.name: number for number, artifact in self._artifacts.items() if artifact.is_artifact}
        entries = self._waiting()
        known = {int.from_bytes(key, "big") for key in self._unread[Table.VERSIONS]}
        for _, payload in readable_rows(self._transaction, Table.NUMBERS, Report()):
            known.add(int.from_bytes(payload, "big"))
        for serial, (name, number) in sorted(self._recorded.items()):
            version = self._history.artifacts[name].versions[number]
            entry = entries.get(serial)
            if serial in self._versions or name not in numbers or (version.is_deleted and entry is None):
                continue
            if not self._is_whole and serial not in known:
                continue
            try:
                row = find_node(self._transaction, CLASS_TREE, bytes.fromhex(version.form))
            except DamageError:
                row = None
            if row is None:
                self.repairs.append(f"{name}:{version_label(number)} is lost: its directory has no surviving record")
                continue
            record = version_record(self._transaction, numbers[name], number, version, Root(row[0], 0))
            if entry is not None:
                record = replace(
                    record, state="deleted", deleted_ns=entry.added_ns, due_ns=entry.due_ns, entry=entry.number
                )
            self._versions[serial] = record
            self.repairs.append(f"rebuilt the record of {name}:{version_label(number)} from the journal")
        for serial, record in list(self._versions.items()):
            if record.artifact in self._artifacts:
                self._versions[serial] = self._agreeing(record)
            else:
                del self._versions[serial]
                self._transaction.delete(Table.VERSIONS, key32(serial))
                self.repairs.append(f"removed the version with serial {serial}, which belonged to no artifact")

    def _agreeing(self, version: VersionRecord) -> VersionRecord:
        """Return a version's record corrected by its root, where there is one."""
        view = root_view(self._transaction, version)
        if view is None:
            return version
        corrected = replace(
            version,
            digest=view.digest,
            form=view.form,
            files=view.total_files,
            bytes=view.total_bytes,
            mode=version.mode & MODE_BITS,
            newest_ns=max(version.newest_ns, view.totals.newest_ns),
        )
        if corrected != version:
            self.repairs.append(f"corrected the record of the version with serial {version.serial} by its root")
        return corrected

    def _number_mounts(self) -> None:
        """Give each version a mount serial of its own, which only a purge draws, and write the rows of MOUNTS."""
        state = self._transaction.state
        state.next_serial = max([state.next_serial, *(one.mount + 1 for one in self._versions.values())])
        taken = set(self._versions)
        for serial, version in sorted(self._versions.items()):
            if version.mount == serial:
                continue
            if not version.purged:
                version = replace(version, mount=serial)
            elif version.mount in taken:
                version = replace(version, mount=state.next_serial)
                state.next_serial += 1
            if version != self._versions[serial]:
                self.repairs.append(f"gave the version with serial {serial} another mount serial")
            self._versions[serial] = version
            taken.add(version.mount)
        mounts = {key32(one.mount): key32(one.serial) for one in self._versions.values() if one.mount != one.serial}
        self._replace(Table.MOUNTS, mounts)

    def _waiting(self) -> dict[int, DeadEntry]:
        entries = {}
        for key, payload in readable_rows(self._transaction, Table.DEADLIST, Report()):
            try:
                entry = decode_entry(key, payload)
            except DamageError:
                continue
            if entry.serial and not entry.started:
                entries[entry.serial] = entry
        return entries

    def restore_aliases(self) -> None:
        """Keep the aliases of living versions, and restore missing ones from the journal."""
        transaction = self._transaction
        living = {(version.artifact, version.number): version for version in self._living()}
        aliases: dict[tuple[int, str], AliasRecord] = {}
        for key, record in self._read(Table.ALIASES, AliasRecord):
            assert isinstance(record, AliasRecord)
            place = (record.artifact, record.version)
            if place in living and key == key64(record.artifact) + record.name.encode():
                aliases[record.artifact, record.name] = record
            else:
                transaction.delete(Table.ALIASES, key)
                self.repairs.append(f"removed the alias {record.name!r}, which pointed to no living version")
        for number, artifact in self._artifacts.items():
            recorded = self._history.artifacts.get(artifact.name)
            for name, version in recorded.aliases.items() if recorded is not None else ():
                key = key64(number) + name.encode()
                is_known = self._is_whole or key in self._unread[Table.ALIASES]
                if is_known and (number, name) not in aliases and (number, version) in living:
                    serial = transaction.state.next_alias
                    transaction.state.next_alias += 1
                    created_ns = living[number, version].created_ns
                    aliases[number, name] = AliasRecord(serial, number, name, version, created_ns)
                    self.repairs.append(f"rebuilt the alias {artifact.name}:{name} from the journal")
        rows = {key64(alias.artifact) + alias.name.encode(): alias for alias in aliases.values()}
        for key, alias in rows.items():
            put_row(self._transaction, Table.ALIASES, key, alias.encode())
            transaction.state.next_alias = max(transaction.state.next_alias, alias.serial + 1)
        self._replace(Table.ALIAS_SERIALS, {key32(alias.serial): key for key, alias in rows.items()})

    def derive(self) -> None:
        """Write the rows derived from artifacts and versions: projects, names, numbers, counters."""
        transaction, state = self._transaction, self._transaction.state
        versions = self._versions.values()
        living = self._living()
        for number, record in list(self._artifacts.items()):
            taken = [version.number for version in versions if version.artifact == number]
            self._artifacts[number] = replace(
                record,
                next_version=max([record.next_version, *(each + 1 for each in taken if not is_pending(each))]),
                next_pending=max([record.next_pending, *(each + 1 - PENDING for each in taken if is_pending(each))]),
            )
        self._repair_projects({self._artifacts[version.artifact].name for version in living})
        state.next_name = max([state.next_name, *(number + 1 for number in self._artifacts)])
        state.next_serial = max(
            [state.next_serial, self._history.next_serial, *(serial + 1 for serial in self._versions)]
        )
        state.versions = len(living)
        state.logical_bytes = sum(version.bytes for version in living)
        self._number_mounts()
        for serial, version in self._versions.items():
            put_row(transaction, Table.VERSIONS, key32(serial), version.encode())
        numbers = {key64(version.artifact) + key32(version.number): key32(version.serial) for version in versions}
        self._replace(Table.NUMBERS, numbers)
        self._replace(Table.TERMS, {key: b"" for version in versions for key in terms_of(version)})
        with_living = {version.artifact for version in living}
        names = {}
        for number, record in self._artifacts.items():
            catalogue.put_artifact(transaction, record)
            retired = record.is_artifact and number not in with_living
            names[(_RETIRED if retired else b"") + record.name.encode()] = key64(number)
        self._replace(Table.NAMES, names)

    def _repair_projects(self, living: set[str]) -> None:
        """Keep exactly the projects above living artifacts."""
        wanted = {
            "/".join(components[:depth])
            for components in (name.split("/") for name in living)
            for depth in range(1, len(components))
        }
        for number, record in list(self._artifacts.items()):
            if not record.is_artifact and record.name not in wanted:
                del self._artifacts[number]
                self._transaction.delete(Table.ARTIFACTS, key64(number))
                self.repairs.append(f"removed the project {record.name!r}, which contained no artifact")
            wanted.discard(record.name)
        for name in sorted(wanted):
            number = max([self._transaction.state.next_name, *(number + 1 for number in self._artifacts)])
            below = (record for record in self._artifacts.values() if record.name.startswith(f"{name}/"))
            created_ns = min(record.created_ns for record in below)
            self._artifacts[number] = ArtifactRecord(number, name, False, created_ns)
            self.repairs.append(f"recreated the project {name!r}")

    def restore_rules(self) -> None:
        """Restore unreadable or missing retention rules from a complete journal.

        Without one all rules are removed: with a part of the rules more versions could expire, without rules none do.
        """
        rules = tuple(map(Rule.of, self._history.rules)) if self._is_whole else ()
        try:
            if read_rules(self._transaction).rules or not rules:
                return
        except DamageError:
            pass
        write_rules(self._transaction, Rules(rules))
        self.repairs.append("restored the retention rules" if rules else "removed the retention rules: set them again")

    def restore_runs(self) -> None:
        """Restore runs and lineage that are unreadable or inconsistent."""
        self.repairs += repair_runs(
            self._transaction, self._history.provenance, is_whole=self._is_whole, serials=self._versions.keys()
        )

    def restore_remotes(self) -> None:
        """Restore remotes and what tracks them where that is unreadable or belongs to nothing."""
        numbers = {artifact.name: number for number, artifact in self._artifacts.items() if artifact.is_artifact}
        owners = {serial: version.artifact for serial, version in self._versions.items()}
        told = self._history.tracking(numbers)
        self.repairs += repair_remotes(
            self._transaction, told, is_whole=self._is_whole, artifacts=set(numbers.values()), owners=owners
        )

    def _replace(self, table: Table, rows: dict[bytes, bytes]) -> None:
        if replace_rows(self._transaction, table, rows):
            self.repairs.append(f"rewrote the table {table.name.lower()}")


def repair_journal(workspace: Path, transaction: WriteTransaction) -> list[str]:
    """Rewrite the journal from the catalogue if the two disagree; return a sentence if so."""
    transaction.save_state()
    state = transaction.state
    trial = Report()
    if beneath.exists(workspace, journal.journal_path(workspace, state.journal_generation)):
        names = read_names(transaction, trial)
        versions = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
        check_journal(workspace, transaction, names, versions, trial)
        if trial.clean:
            return []
    data = encode_events(events_of(transaction))
    state.journal_generation = journal.generation_of(journal.journal_path(workspace)) + 1
    state.journal_end = len(data)
    mode = modes_of(workspace)[1]
    with disk.out_of_space(workspace, "the journal"):
        path = journal.journal_path(workspace, state.journal_generation)
        disk.write_file(workspace, path, data, mode)
        own(workspace, path, mode)
    return ["rewrote the journal from the catalogue"]
