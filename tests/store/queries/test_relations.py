"""Relations: who includes, uses and logs a version, and the names below a project."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.changes.committing import Commit
from artstore.drafting.batches import Included, NewVersion
from artstore.workspace import Workspace

NAMES = st.lists(st.text("ab -0", min_size=1, max_size=3).filter(lambda name: name.strip() == name and name[0] != "-"))


def put(workspace: Workspace, name: str, content: bytes = b"1", **options: object) -> str:
    with workspace.drafts.batch(name) as batch:
        request = replace(Commit.checked(name), **options)  # type: ignore[arg-type]
        batch.add(NewVersion(request, {b"f": content}))
        return batch.commit()[0].name


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=NAMES, beginning=st.text("ab -", max_size=2), depth=st.integers(0, 2))
def test_names_below_are_those_of_all_artifacts(
    workspace: Workspace, names: list[str], beginning: str, depth: int
) -> None:
    """The components are those of the full names, however other names sort between them."""
    for name in names:
        full = "/".join(["top", name, "x", "y"][: depth + 2])
        if not workspace.is_project(full) and not any(
            workspace.has_artifact(full.rsplit("/", up)[0]) for up in range(1, full.count("/") + 1)
        ):
            put(workspace, full)
    found = {artifact.name.split("/")[1] for artifact in workspace.artifacts() if artifact.name.startswith("top/")}
    below = workspace.relations.names_below("top", beginning)
    assert sorted(below) == sorted(name for name in found if name.startswith(beginning))


def test_no_name_begins_with_what_utf8_lacks(workspace: Workspace) -> None:
    """A text that cannot be a name has nothing below it, and is not compared byte by byte with those that can."""
    put(workspace, "top/öl")
    for text in ("\ud800", "\udcc3", "ö\udc00"):
        assert workspace.relations.names_below("top", text) == workspace.relations.names_below(text) == []
    assert workspace.relations.names_below("top", "ö") == ["öl"]


def test_the_latest_version_or_none(workspace: Workspace) -> None:
    """Deleted versions and projects are none."""
    put(workspace, "a/b")
    put(workspace, "a/b", b"2")
    relations = workspace.relations
    assert relations.current("a/b").name == "a/b:v1"  # type: ignore[union-attr]
    workspace.delete("a/b:v1")
    assert relations.current("a/b").name == "a/b:v0"  # type: ignore[union-attr]
    assert relations.current("a") is None and relations.current("c") is None


def test_who_made_and_who_logged_a_version(workspace: Workspace) -> None:
    """A run that logs what is there has not made it."""
    numbers = []
    for _ in range(2):
        record, lease = workspace.runs.start("p")
        numbers.append(record.number)
        put(workspace, "a", runs=[record.number])
        lease.close()
    record, lease = workspace.runs.start("p")
    workspace.runs.made(record.number, workspace.version("a"))
    workspace.runs.made(record.number, workspace.version("a"))
    lease.close()
    logged = workspace.relations.logged_by(workspace.version("a"))
    assert [(each.run.number, each.made_it) for each in logged] == [
        (numbers[0], True),
        (numbers[1], False),
        (record.number, False),
    ]
    assert workspace.fsck().clean


def test_who_includes_a_version(workspace: Workspace) -> None:
    """Both directions, without deleted versions."""
    source = workspace.version(put(workspace, "a"))
    with workspace.drafts.batch("b") as batch:
        request = replace(Commit.checked("b"), included=[source.record.serial])
        batch.add(NewVersion(request, {}, {b"g": Included(source.record, b"f")}))
        (result,) = batch.commit()
    assert workspace.relations.included_by(result) == [source]
    assert workspace.relations.dependants_of(source) == [result]
    workspace.delete(source.name, cascade="orphan")
    assert workspace.relations.included_by(result) == []


def test_serials_by_value(workspace: Workspace) -> None:
    """From the index, and from records what is too long, looks like another kind, or has too many terms."""
    many = {f"k{number}": number for number in range(300)}
    given = [{"a": 5}, {"a": "x"}, {"a": "007"}, {"a": "y" * 300}, {"a": True}, {**many, "a": 6}, {"b": 1}, {"a": -2.5}]
    for number, metadata in enumerate(given):
        put(workspace, f"n{number}", metadata=metadata)
    serials = [workspace.version(f"n{number}").record.serial for number in range(len(given))]
    found = workspace.relations.serials_by_value("a", text=True)
    assert found == {given[place]["a"]: [serials[place]] for place in (0, 1, 2, 3, 5, 7)}
    assert workspace.relations.serials_by_value("a")[7] == [serials[2]]
    put(workspace, "later", metadata={"a": "x"})
    assert workspace.relations.serials_by_value("a")["x"] == [serials[1], workspace.version("later").record.serial]
    workspace.delete("n0:v0")
    assert 5 not in workspace.relations.serials_by_value("a")


def test_stored_bytes_of_contents(workspace: Workspace) -> None:
    """Each content once, and none for what is not there."""
    put(workspace, "a", b"1" * 10)
    digest = workspace.version("a").stat("f").digest
    assert workspace.relations.stored_bytes_of([digest, "00" * 32]) == 10
