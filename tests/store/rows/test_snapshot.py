"""`Snapshot` is what `ingest`, the mount and the API read through: each method, as of one moment."""

from __future__ import annotations

from pathlib import Path

from artstore.workspace import Workspace
from store.oracle import Model, model_of, write_folder

MODEL: Model = {b"a/b/file": ("file", b"content"), b"a/run": ("exec", b"#!"), b"link": ("link", b"a/run")}


def test_everything_as_of_one_moment(workspace: Workspace, tmp_path: Path) -> None:
    """What is put, aliased and moved after a snapshot began is not in it."""
    folder = write_folder(tmp_path / "data", MODEL)
    first = workspace.put(folder, "team/x", type="t", aliases=["best"])
    with workspace.store.snapshot() as snapshot:
        write_folder(folder, {b"more": ("file", b"more")})
        second = workspace.put(folder, "team/x", aliases=["best"])
        workspace.put(folder, "team/y")
        assert [(e.component, e.is_artifact) for e in snapshot.names_in("")] == [("team", False)]
        assert [e.component for e in snapshot.names_in("team")] == ["x"]
        number, is_artifact = snapshot.name_number("team/x") or (0, False)
        assert is_artifact and snapshot.name_number("team/y") is None
        artifact = snapshot.artifact(number)
        assert artifact is not None and (artifact.name, artifact.type, artifact.next_version) == ("team/x", "t", 1)
        assert snapshot.artifact(999) is None
        assert [v.number for v in snapshot.versions_of(number)] == [0]
        latest = snapshot.latest(number)
        assert latest == snapshot.version_by_number(number, 0) == snapshot.version(latest.serial if latest else 0)
        assert snapshot.version_by_number(number, 1) is None and snapshot.version(second.record.serial) is None
        (alias,) = snapshot.aliases_of(number)
        assert (alias.name, alias.version) == ("best", 0) and snapshot.alias(alias.serial) == alias
        assert snapshot.usage_totals().versions == 1
        assert snapshot.tree(first.record.root).total_directories == 2
        assert [path for path, _ in snapshot.walk(first.record.root, b"x/")] == [
            b"x/a",
            b"x/a/b",
            b"x/a/b/file",
            b"x/a/run",
            b"x/link",
        ]
        entry = snapshot.resolve(first.record.root, b"a/b")
        assert entry is not None and snapshot.identity(entry.node) == snapshot.tree(entry.node).digest
        assert snapshot.resolve(first.record.root, b"link/x") is None
    with workspace.store.snapshot() as snapshot:
        assert snapshot.alias(alias.serial) is None
        assert snapshot.usage_totals().versions == 3
    assert model_of(workspace.store, second.record.root).keys() == model_of(
        workspace.store, first.record.root
    ).keys() | {b"more"}
