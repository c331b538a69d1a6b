"""Artifacts: put together, logged, used, changed, linked, deleted; and what is said to those who misuse them."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy
import pytest

import artfs
from artfs.tracking.downloading import copy_to_cache, download
from artstore.errors import (
    DamageError,
    ExistsError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RefusedError,
    SourceError,
)
from forgery import claim_digest, claim_id
from messages import missing, raises
from store.oracle import assert_sound


@pytest.fixture
def run(workspace: artfs.Workspace) -> artfs.Run:
    Path("data/sub").mkdir(parents=True)
    Path("data/a.txt").write_text("a")
    Path("data/sub/b.txt").write_text("b")
    return artfs.init(project="p")


def logged(run: artfs.Run, name: str = "data", text: str = "a", **said: object) -> artfs.Artifact:
    artifact = artfs.Artifact(name, "dataset", **said)  # type: ignore[arg-type]
    with artifact.new_file("file.txt") as file:
        file.write(text)
    return run.log_artifact(artifact)


def test_making_one_touches_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "none"))
    artfs.Artifact("data", "dataset", metadata={"a": 1})
    assert not (tmp_path / "none").exists()


def test_what_a_logged_artifact_says(run: artfs.Run, workspace: artfs.Workspace) -> None:
    artifact = artfs.Artifact("data", "dataset", "of two", {"n": numpy.int32(2), "scale": (0.5, 1)})
    assert (artifact.name, artifact.state, artifact.is_draft()) == ("data", "PENDING", True)
    artifact.add_dir("data")
    artifact.add_file("data/a.txt", "again/a.txt")
    assert (artifact.file_count, artifact.size) == (3, 3)
    digest = artifact.digest
    assert run.log_artifact(artifact, aliases=["best", "latest"], tags=["t"]) is artifact
    assert (artifact.name, artifact.qualified_name, artifact.version) == ("data:v0", "p/data:v0", "v0")
    assert artifact.digest == digest == workspace.version("p/data:v0").digest
    assert (artifact.aliases, artifact.tags, artifact.type) == (["best", "latest"], ["t"], "dataset")
    assert (artifact.metadata, artifact.description) == ({"n": 2, "scale": [0.5, 1]}, "of two")
    assert (artifact.state, artifact.project, artifact.entity) == ("COMMITTED", "p", "")
    assert artifact.collection.name == str(artifact.collection) == "data"
    assert artifact.created_at.endswith("Z")
    assert [file.path for file in artifact.files()] == ["a.txt", "again/a.txt", "sub/b.txt"]
    assert artifact.get_entry("sub/b.txt").size == 1
    assert artifact.wait() is artifact
    assert artifact.logged_by() == run
    assert int(artifact.id, 16)
    assert artfs.Api().artifact("p/data:best") == artifact
    assert_sound(workspace)


def test_the_same_again_is_no_new_version(run: artfs.Run) -> None:
    first = logged(run, metadata={"a": 1})
    assert logged(run, metadata={"a": 1}).version == first.version
    assert logged(run, metadata={"a": 2}).version == "v1"
    assert logged(run, text="other").version == "v2"


def test_a_path_is_logged_by_itself(run: artfs.Run) -> None:
    assert run.log_artifact("data", name="folder", type="dataset").name == "folder:v0"
    artifact = run.log_artifact("data/a.txt")
    assert (artifact.name, artifact.type) == (f"run-{run.id}-a.txt:v0", "unspecified")
    with raises(NotFoundError, names=["'nothing'"], reason="no such source"):
        run.log_artifact("nothing")


def test_the_next_version_begins_as_the_last(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", "dataset", metadata={"a": 1})
    artifact.add_dir("data")
    run.log_artifact(artifact)
    draft = artifact.new_draft()
    draft.remove("sub/")
    with draft.new_file("new.txt") as file:
        file.write("new")
    run.log_artifact(draft)
    assert (draft.name, [file.path for file in draft.files()]) == ("data:v1", ["a.txt", "new.txt"])
    assert draft.metadata == {"a": 1}
    more = artfs.Artifact("data", "dataset", incremental=True)
    more.add_file("data/sub/b.txt")
    run.log_artifact(more)
    assert [file.path for file in more.files()] == ["a.txt", "b.txt", "new.txt"]


def test_what_began_in_another_project_is_logged_in_ours(run: artfs.Run, workspace: artfs.Workspace) -> None:
    workspace.put("data", "q/deep/data", type="dataset")
    draft = run.use_artifact("q/deep/data:v0").new_draft()
    draft.remove("a.txt")
    assert run.log_artifact(draft).qualified_name == "p/data:v0"
    assert workspace.version("p/data:v0").base == "q/deep/data:v0"
    assert run.log_artifact(artfs_file("sub/data")).qualified_name == "p/sub/data:v0"


def artfs_file(name: str) -> artfs.Artifact:
    artifact = artfs.Artifact(name, "dataset")
    artifact.add_file("data/a.txt")
    return artifact


def test_names_are_looked_for_in_the_project_and_at_the_top(run: artfs.Run, workspace: artfs.Workspace) -> None:
    workspace.put("data", "top", type="dataset")
    workspace.put("data", "other/data", type="dataset")
    assert run.use_artifact("top:latest").qualified_name == "top:v0"
    assert run.use_artifact("other/data").qualified_name == "other/data:v0"
    assert run.use_artifact("someone/other/data:v0:v0").qualified_name == "other/data:v0"
    with raises(NotFoundError, names=["'data'", "'p'"]) as missing:
        run.use_artifact("data:latest")
    assert missing.value.hint == "elsewhere there is other/data"
    logged(run)
    assert run.use_artifact("data:latest").qualified_name == "p/data:v0"
    with raises(RefusedError, names=["'dataset'", "'model'"]):
        run.use_artifact("data", type="model")
    with raises(NotFoundError, names=["v7"]):
        run.use_artifact("data:v7")
    assert [artifact.qualified_name for artifact in run.used_artifacts()] == ["top:v0", "other/data:v0", "p/data:v0"]


def test_without_a_project_names_are_as_written(workspace: artfs.Workspace) -> None:
    run = artfs.init()
    artifact = logged(run, "some/where/data")
    assert (artifact.name, artifact.qualified_name) == ("data:v0", "some/where/data:v0")
    assert run.use_artifact("some/where/data").project == "some/where"


def test_changes_are_saved(run: artfs.Run, workspace: artfs.Workspace) -> None:
    artifact = logged(run, metadata={"a": 1})
    logged(run, text="b")
    artifact.metadata["b"] = numpy.float64(2)
    artifact.description = "said later"
    artifact.aliases.append("good")
    artifact.tags = ["x", "y"]
    artifact.ttl = timedelta(days=3)
    assert workspace.version("p/data:v0").metadata == {"a": 1}
    artifact.save()
    version = workspace.version("p/data:v0")
    assert (version.metadata, version.description) == ({"a": 1, "b": 2.0}, "said later")
    assert (version.aliases, version.tags) == (["good"], ["x", "y"])
    assert artifact.ttl == timedelta(days=3)
    artifact.aliases.remove("good")
    artifact.aliases.save()
    artifact.tags.remove("x")
    artifact.ttl = None
    artifact.save()
    version = workspace.version("p/data:v0")
    assert (version.aliases, version.tags, version.record.expires_ns) == ([], ["y"], 0)
    assert_sound(workspace)


def test_an_end_is_announced(run: artfs.Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    artifact = logged(run, metadata={"ttl_days": 30})
    assert artifact.ttl is not None
    assert artifact.ttl == timedelta(days=30)
    (notice,) = caplog.messages
    assert not missing(notice, ["p/data:v0"]) and re.search(r"20\d\d-\d\d-\d\d", notice)
    for days in (0, -1, "many", True):
        with raises(InvalidInputError, names=["ttl_days"]):
            logged(run, text="x", metadata={"ttl_days": days})
    with raises(InvalidInputError, reason="end in the past"):
        artifact.ttl = timedelta(days=-1)


def test_another_version_in_it(run: artfs.Run, workspace: artfs.Workspace) -> None:
    data = run.log_artifact("data", name="data", type="dataset")
    bundle = artfs.Artifact("bundle", "bundle")
    bundle.add_reference(f"wandb-artifact://{data.id}", name="dataset")
    bundle.add_reference("artfs://p/data:v0/sub/b.txt")
    bundle.add_reference(data.get_entry("a.txt"), name="alone.txt")
    run.log_artifact(bundle)
    assert [file.path for file in bundle.files()] == ["alone.txt", "b.txt", "dataset/a.txt", "dataset/sub/b.txt"]
    with raises(RefusedError, names=["p/bundle:v0", "p/data:v0"], reason="included"):
        data.delete()
    for text, error in (
        ("wandb-artifact://00", NotFoundError),
        (f"wandb-artifact://{data.id}/nothing", NotFoundError),
        ("artfs://p/none:v0", NotFoundError),
        ("nonsense", InvalidInputError),
        ("/no/such/file", NotFoundError),
    ):
        with pytest.raises(error):
            artfs.Artifact("x", "y").add_reference(text)


def test_files_outside(run: artfs.Run, workspace: artfs.Workspace, tmp_path: Path) -> None:
    data = tmp_path / "outside"
    (data / "sub").mkdir(parents=True)
    (data / "a").write_bytes(b"one")
    (data / "sub" / "b").write_bytes(b"two")
    artifact = artfs.Artifact("set", "dataset")
    found = artifact.add_reference(data.as_uri(), name="in")
    assert [(entry.path, entry.size) for entry in found] == [("in/a", 3), ("in/sub/b", 3)]
    assert found[0].ref_target() == (data / "a").as_uri()
    assert [entry.path for entry in artifact.add_reference(data / "a")] == ["a"]
    artifact.add_reference(data / "a", name="in/")  # the same again
    (data / "a").write_bytes(b"other")
    with raises(ExistsError, names=["'a'"], reason="added before"):
        artifact.add_reference(data / "a")
    artifact.add_reference(data / "a", overwrite=True)
    run.log_artifact(artifact)
    entry = artifact.get_entry("a")
    assert (entry.size, entry.ref_target()) == (5, (data / "a").as_uri())
    assert entry.ref_url() == "artfs://p/set:v0/a" and entry.ref == (data / "a").as_uri()
    assert artifact.files()[1].ref_target() == (data / "a").as_uri()
    with pytest.raises(artfs.errors.ChangedError):
        artifact.stored.read_bytes("in/a")  # type: ignore[union-attr]
    stored = run.log_artifact(str(data / "a"), name="own", type="dataset")
    with raises(InvalidInputError, names=["'a'"], reason="not a reference"):
        stored.get_entry("a").ref_target()
    (tmp_path / "copy").mkdir()
    (data / "a").write_bytes(b"one")
    fresh = artfs.Artifact("fresh", "dataset")
    fresh.add_reference(data)
    run.log_artifact(fresh)
    root = fresh.download(tmp_path / "copy")
    assert Path(root, "sub", "b").read_bytes() == b"two"
    fresh.verify(root)


def test_links(run: artfs.Run, workspace: artfs.Workspace) -> None:
    model = logged(run, "model")
    link = run.link_artifact(model, "registry/best", aliases=["production"])
    assert (link.qualified_name, link.is_link, link.source_qualified_name) == ("registry/best:v0", True, "p/model:v0")
    assert (model.is_link, model.linked_names) == (False, ["registry/best:v0"])
    assert [each.name for each in model.linked_artifacts] == ["best:v0"]
    with raises(RefusedError, names=["p/model:v0"], reason="not a link"):
        model.unlink()
    with raises(RefusedError, names=["registry/best:v0", "p/model:v0"], reason="linked"):
        model.delete()
    same = model.link("elsewhere/model")
    assert (same.name, same.is_link, same.source_name) == (model.name, True, "model:v0")
    link.unlink()
    assert model.linked_names == ["elsewhere/model:v0"]
    model.delete(cascade="orphan")
    assert (model.state, same.state) == ("DELETED", "COMMITTED")
    workspace.gc(now=True)
    assert (same.is_link, same.source_qualified_name) == (True, "p/model:v0")
    assert_sound(workspace)


def test_deleting(run: artfs.Run, workspace: artfs.Workspace) -> None:
    artifact = logged(run)
    artifact.aliases.append("good")
    artifact.save()
    with raises(RefusedError, names=["p/data:v0", "'good'"], reason="aliased"):
        artifact.delete()
    artifact.delete(delete_aliases=True)
    assert workspace.log("p/data")[0].state == "deleted"


def test_down_to_a_number_and_nothing_left(run: artfs.Run, workspace: artfs.Workspace) -> None:
    """One number everywhere: what the run says, what the artifact says, and what is on the disk."""
    for index in range(30):
        logged(run, text=f"{index}" * 2000)
    run.finish()
    workspace.configure(undelete_seconds=0)
    recorded = artfs.Api().run(f"p/{run.id}")
    before = recorded.logged_artifacts()
    for artifact in before[:-4]:
        artifact.delete()
    workspace.gc(now=True)
    assert len(recorded.logged_artifacts()) == len(workspace.versions("p/data")) == 4
    usage = workspace.usage()
    assert (usage.versions, usage.deadlist_entries, usage.deadlist_bytes, usage.condemned_bytes) == (4, 0, 0, 0)
    assert sum(each.attributed for each in workspace.usage_by_version("p/data")) == usage.stored_bytes
    graph = workspace.lineage(f"run:p/{run.id}")
    assert len(graph.nodes) == 5
    assert_sound(workspace)


def test_downloads(run: artfs.Run, workspace: artfs.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = run.log_artifact("data", name="data", type="dataset")
    cached = artifact.download()
    assert cached == str(tmp_path / "cache" / artifact.digest)
    assert Path(cached, "sub/b.txt").read_text() == "b"
    assert artifact.download() == cached
    artifact.verify()
    own = artifact.download(tmp_path / "own")
    Path(own, "a.txt").write_text("mine")
    with raises(DamageError, names=["'a.txt'"], reason="different"):
        artifact.verify(own)
    Path(own, "more").touch()
    assert artifact.checkout(own) == own
    assert (Path(own, "a.txt").read_text(), Path(own, "more").exists()) == ("a", True)
    with raises(DamageError, names=["'more'"], reason="not in the version"):
        artifact.verify(own)
    part = artifact.download(tmp_path / "part", path_prefix="sub")
    assert sorted(os.listdir(part)) == ["sub"]
    assert artifact.get_entry("a.txt").download() == f"{cached}/a.txt"
    with raises(InvalidInputError, names=["2 files"]):
        artifact.file()
    assert Path(logged(run, "one").file()).read_text() == "a"
    monkeypatch.setenv("WANDB_ARTIFACT_DIR", str(tmp_path / "artifacts"))
    assert artifact.download() == str(tmp_path / "artifacts" / "data:v0")
    monkeypatch.setenv("ARTFS_DOWNLOAD", "mount")
    with raises(InvalidInputError, names=["ARTFS_DOWNLOAD"], reason="not mounted"):
        artifact.download()
    monkeypatch.setenv("ARTFS_DOWNLOAD", "teleport")
    with raises(InvalidInputError, names=["ARTFS_DOWNLOAD", "'teleport'"]):
        artifact.download()


@pytest.mark.parametrize("is_given", [False, True], ids=["cache", "folder"])
def test_a_claimed_digest_enters_no_cache(
    run: artfs.Run, workspace: artfs.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_given: bool
) -> None:
    """A version of a foreign workspace whose record claims the digest of one's own, or whose file claims its id."""
    ours = run.log_artifact("data", name="data", type="dataset")
    foreign = artfs.init_workspace(tmp_path / "foreign")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "a.txt").write_text("X")
    for name, claim in (
        ("root", partial(claim_digest, digest=bytes.fromhex(ours.digest))),
        (
            "file",
            partial(claim_id, path=b"a.txt", ident=bytes.fromhex(workspace.version("p/data:v0").stat("a.txt").digest)),
        ),
    ):
        foreign.put(tmp_path / "evil", name)
        claim(foreign, f"{name}:v0")
    if is_given:
        monkeypatch.setenv("ARTFS_ARTIFACT_DIR", str(tmp_path / "artifacts"))
    for name in ("root", "file"):
        with suppress(DamageError):
            download(foreign, foreign.version(f"{name}:v0"), None, None)
        with pytest.raises(DamageError):
            copy_to_cache(foreign, foreign.version(f"{name}:v0"))
    assert not any(path.is_symlink() for path in (tmp_path / "cache").iterdir())
    monkeypatch.delenv("ARTFS_ARTIFACT_DIR", raising=False)
    assert Path(ours.download(), "a.txt").read_text() == "a"


@pytest.mark.fuse
def test_a_download_is_the_mount_where_there_is_one(
    run: artfs.Run, workspace: artfs.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = run.log_artifact("data", name="data", type="dataset")
    (tmp_path / "mnt").mkdir()
    with workspace.mount(tmp_path / "mnt"):
        assert artifact.download() == str(tmp_path / "mnt" / "p" / "data" / "v0")
        assert Path(tmp_path, "cache", artifact.digest, "a.txt").read_text() == "a"
        monkeypatch.setenv("ARTFS_DOWNLOAD", "copy")
        copy = artifact.download()
        assert (copy, Path(copy).is_symlink()) == (str(tmp_path / "cache" / artifact.digest), False)
        monkeypatch.delenv("ARTFS_DOWNLOAD")
        artifact.download()
        assert not Path(copy).is_symlink()
    assert artifact.download() == copy


def test_misuse(run: artfs.Run, workspace: artfs.Workspace) -> None:
    for name in ("a/v3", "latest", "", "a:b", "../x"):
        with pytest.raises(InvalidNameError):
            artfs.Artifact(name, "dataset")
    with raises(InvalidInputError, names=["type"]):
        artfs.Artifact("data", "")
    with raises(InvalidInputError, names=["metadata"]):
        artfs.Artifact("data", "dataset", metadata=["x"])  # type: ignore[arg-type]
    artifact = artfs.Artifact("data", "dataset")
    for action in (
        lambda: artifact.version,
        lambda: artifact.id,
        artifact.download,
        artifact.new_draft,
        artifact.delete,
        artifact.logged_by,
        artifact.used_by,
        artifact.wait,
    ):
        with raises(RefusedError, names=["'data'"], reason="not logged yet"):
            action()
    with raises(SourceError, names=["'nothing'"], reason="no such source"):
        artifact.add_file("nothing")
    with raises(SourceError, names=["'data'"], reason="file expected"):
        artifact.add_file("data")
    with raises(SourceError, names=["'data/a.txt'"], reason="folder expected"):
        artifact.add_dir("data/a.txt")
    artifact.add_file("data/a.txt", "x")
    with raises(ExistsError, names=["'x'"]):
        artifact.add_file("data/sub/b.txt", "x")
    artifact.add_file("data/sub/b.txt", "x", overwrite=True)
    with raises(NotFoundError, names=["'nothing'"]):
        artifact.remove("nothing")
    with raises(InvalidInputError, names=["mode"]), artifact.new_file("y", mode="r"):
        pass
    with raises(ValueError, names=["inside"]), artifact.new_file("y") as file:
        file.write("half")
        raise ValueError("inside")
    with pytest.raises(NotFoundError):
        artifact.get_entry("y")
    run.log_artifact(artifact)
    for late in (lambda: artifact.add_file("data/a.txt"), lambda: artifact.remove("x")):
        with raises(RefusedError, names=["p/data:v0"], reason="logged already"):
            late()
    other = artfs.Artifact("data", "model")
    other.add_dir("data")
    with raises(RefusedError, names=["'dataset'", "'model'"]):
        run.log_artifact(other)
    inside = artfs.Artifact("data/inside", "dataset")
    inside.add_dir("data")
    with raises(InvalidInputError, names=["p/data"], reason="inside an artifact"):
        run.log_artifact(inside)
    assert_sound(workspace)


def test_api_looks_from_outside(run: artfs.Run, workspace: artfs.Workspace) -> None:
    logged(run, "data")
    logged(run, "data", "b")
    workspace.put("data", "q/data", type="model")
    api = artfs.Api()
    assert [each.qualified_name for each in api.artifacts("dataset", project="p")] == ["p/data:v1", "p/data:v0"]
    assert [each.qualified_name for each in api.artifacts(name="q/data")] == ["q/data:v0"]
    assert [each.qualified_name for each in artfs.Api({"project": "p"}).artifacts(name="data")] == [
        "p/data:v1",
        "p/data:v0",
    ]
    assert len(api.artifacts()) == 3
    assert api.artifact_exists("q/data:v0")
    assert not api.artifact_exists("q/data:v0", type="dataset")
    assert not api.artifact_exists("nothing")
    assert api.artifact("p/data:v0").used_by() == []
    run.use_artifact("data:v0")
    assert api.artifact("p/data:v0").used_by() == [run]
