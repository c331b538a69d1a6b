"""Names, versions and aliases as rows, against plain dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError, InvalidInputError
from artstore.records.catalogue import VersionRecord
from artstore.records.tables import Table, key32, key64
from artstore.rows import catalogue
from artstore.storage import manifest
from artstore.storage.manifest import ReadTransaction
from artstore.workspace import Workspace

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]
COMPONENTS = st.sampled_from(["a", "a-b", "a.b", "a0", "b", "é", "a b", "\U0001f408"])
NAMES = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, max_size=12))
def test_names_are_a_tree(new_workspace: NewWorkspace, names: list[str]) -> None:
    """Artifacts and projects list as a tree does, and no name is ever both, whatever the order of making them."""
    artifacts: set[str] = set()
    with new_workspace() as workspace:
        with manifest.write(workspace.path) as transaction:
            for name in names:
                parts = name.split("/")
                above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
                is_project = any(other.startswith(name + "/") for other in artifacts)
                if is_project or above & artifacts:
                    with pytest.raises(InvalidInputError):
                        catalogue.ensure_artifact(transaction, name, 1)
                else:
                    catalogue.ensure_artifact(transaction, name, 1)
                    artifacts.add(name)
        everything = {
            "/".join(name.split("/")[:depth]) for name in artifacts for depth in range(1, name.count("/") + 2)
        }
        with manifest.read(workspace.path) as transaction:
            for project in ["", *everything, "nothing"]:
                prefix = f"{project}/" if project else ""
                below = {name[len(prefix) :] for name in everything if name.startswith(prefix)}
                children = {(name, prefix + name in artifacts) for name in below if "/" not in name}
                found = catalogue.names_in(transaction, project)
                assert {(entry.component, entry.is_artifact) for entry in found} == children
                assert [entry.number for entry in found] == sorted(entry.number for entry in found)
                all_below = sorted((name for name in artifacts if name.startswith(prefix)), key=str.encode)
                assert [record.name for record in catalogue.all_artifacts(transaction, project)] == all_below
            numbers = {catalogue.find_name(transaction, name).number for name in everything}  # type: ignore[union-attr]
            assert len(numbers) == len(everything)
            assert catalogue.find_name(transaction, "nothing") is None


def test_a_listing_reads_the_record_of_each_child_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is below the children and beside their project; that a project is not empty shows its first child."""
    reads: list[int] = []
    read = ReadTransaction.get_numbered

    def counted(self: ReadTransaction, table: Table, number: int) -> bytes | None:
        reads.append(number)
        return read(self, table, number)

    with manifest.write(workspace.path) as transaction:
        for number in range(40):
            catalogue.ensure_artifact(transaction, f"many/{number}/a/b", 7)
            catalogue.ensure_artifact(transaction, f"other/{number}", 7)
        monkeypatch.setattr(ReadTransaction, "get_numbered", counted)
        found = catalogue.names_in(transaction, "many")
        assert len(found) == len(reads) == len(set(reads)) == 40 and {each.created_ns for each in found} == {7}
        gone = catalogue.find_name(transaction, "other/0")
        assert gone is not None
        reads.clear()
        assert catalogue.retire(transaction, gone) == ["other/0"] and reads == []


def record(artifact: int, serial: int, number: int) -> VersionRecord:
    return VersionRecord(serial, artifact, number, 16, bytes(32), bytes(32), 1, 1, 0o755, 1, 0, 0, serial)


@pytest.mark.parametrize("state", ["live", "deleted"])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"description": '"state":"deleted"'},
        {"metadata": {"state": "deleted"}},
        {"metadata": {"x": {"state": "deleted", "y": '"state":"live"'}}},
        {"tags": ["state", "deleted", '","state":"deleted']},
    ],
)
def test_what_lives_is_counted_whatever_texts_say(workspace: Workspace, state: str, said: dict[str, Any]) -> None:
    with manifest.write(workspace.path) as transaction:
        catalogue.put_version(transaction, replace(record(1, 1, 1), state=state, **said))
        assert catalogue.count_versions(transaction, 1) == (state == "live")


def test_versions_of_neighbouring_artifacts(workspace: Workspace) -> None:
    """Each artifact has its own, by number; `latest` is the highest that lives, and there may be none."""
    with manifest.write(workspace.path) as transaction:
        serial = 0
        for number in range(300):
            for artifact in (1, 2, 4):
                serial += 1
                catalogue.put_version(transaction, record(artifact, serial, number))
    with manifest.write(workspace.path) as transaction:
        for serial in (300 * 3, 300 * 3 - 3, 5):
            dead = replace(catalogue.recorded_version(transaction, serial), state="deleted")  # type: ignore[type-var]
            catalogue.put_version(transaction, dead)
    with manifest.read(workspace.path) as transaction:
        assert [v.number for v in catalogue.versions_of(transaction, 1)] == list(range(300))
        assert [v.number for v in catalogue.versions_of(transaction, 2)] == [0, *range(2, 300)]
        assert catalogue.count_versions(transaction, 4) == 298
        assert catalogue.count_versions(transaction, 1) == 300 and catalogue.count_versions(transaction, 3) == 0
        assert len(list(catalogue.recorded_versions(transaction, 4))) == 300
        found = [catalogue.latest(transaction, artifact) for artifact in (0, 1, 2, 3, 4, 5)]
        assert [v and v.number for v in found] == [None, 299, 299, None, 297, None]
        assert catalogue.version(transaction, 900) is None
        assert catalogue.version_by_number(transaction, 4, 299) is None
        assert catalogue.version_by_number(transaction, 4, 2**40) is None
        by_number = catalogue.version_by_number(transaction, 2, 256)
        assert by_number is not None and (by_number.artifact, by_number.number) == (2, 256)


def test_aliases_move_to_new_serials(workspace: Workspace) -> None:
    """A moved alias leaves its old serial behind; one that stays keeps it; one that goes is found no more."""
    with manifest.write(workspace.path) as transaction:
        assert catalogue.set_aliases(transaction, 1, 0, ["a", "b", "a"], 1) == ["a", "b"]
        first = {alias.name: alias.serial for alias in catalogue.aliases_of(transaction, 1)}
        assert catalogue.set_aliases(transaction, 1, 0, ["a"], 2) == []
        assert catalogue.set_aliases(transaction, 1, 7, ["b", "c"], 3) == ["b", "c"]
        assert catalogue.set_aliases(transaction, 2, 7, ["b"], 3) == ["b"]
    with manifest.read(workspace.path) as transaction:
        second = {alias.name: alias.serial for alias in catalogue.aliases_of(transaction, 1)}
        assert second["a"] == first["a"] and second["b"] not in first.values()
        assert catalogue.alias_by_serial(transaction, first["b"]) is None
        moved = catalogue.alias_by_serial(transaction, second["b"])
        assert moved is not None and (moved.name, moved.version, moved.artifact) == ("b", 7, 1)
    with manifest.write(workspace.path) as transaction:
        assert catalogue.remove_alias(transaction, 1, "b") == moved
        assert catalogue.remove_alias(transaction, 1, "b") is None
        assert catalogue.alias_by_serial(transaction, second["b"]) is None
        assert [alias.name for alias in catalogue.aliases_of(transaction, 2)] == ["b"]
        assert len(list(transaction.rows(Table.ALIASES))) == len(list(transaction.rows(Table.ALIAS_SERIALS))) == 3


def test_missing_records_are_damage(workspace: Workspace) -> None:
    """A name without its artifact and a number without its version are not passed over."""
    with manifest.write(workspace.path) as transaction:
        artifact = catalogue.ensure_artifact(transaction, "a", 1)
        catalogue.put_version(transaction, record(artifact.number, 1, 0))
        transaction.delete(Table.VERSIONS, key32(1))
    with manifest.read(workspace.path) as transaction, pytest.raises(DamageError):
        catalogue.versions_of(transaction, artifact.number)
    with manifest.write(workspace.path) as transaction:
        transaction.delete(Table.ARTIFACTS, key64(artifact.number))
    with manifest.read(workspace.path) as transaction, pytest.raises(DamageError):
        catalogue.find_name(transaction, "a")
