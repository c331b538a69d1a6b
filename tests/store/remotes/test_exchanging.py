"""Pushing, fetching, pulling and cloning by name: what is selected, in which order, and what a stop leaves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore.creating import create_workspace
from artstore.errors import ArtfsError, ExistsError, InvalidInputError, NotFoundError, RefusedError
from artstore.objects import probing
from artstore.objects.failures import UnreachableError
from artstore.objects.folders import Folder
from artstore.progress import Progress
from artstore.remotes import adding
from artstore.remotes.exchanging import Transferred, clone
from artstore.rows.views import is_lazy
from artstore.workspace import Workspace, init_workspace
from messages import raises
from store.oracle import assert_sound, model_of


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def full(workspace: Workspace, tmp_path: Path, place: Path) -> Workspace:
    """Return a workspace with three versions of ``data`` and one of ``team/model``, and an empty remote."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / "file").write_bytes(b"number %d" % number)
        (source / f"more-{number}").write_bytes(bytes(range(256)) * 500)
        aliases = ["clean"] if number == 1 else []
        workspace.put(source, "data", aliases=aliases, description=f"the {number}th", metadata={"n": number})
    workspace.put(source, "team/model", type="model")
    workspace.tags.add("data:v1", "good")
    workspace.remotes.add("origin", place.as_uri())
    return workspace


@pytest.fixture
def cloned(full: Workspace, place: Path, tmp_path: Path) -> Iterator[Workspace]:
    """Return a clone of the remote, made when everything was pushed."""
    full.remotes.push(every=True)
    other = Workspace(clone(place.as_uri(), tmp_path / "clone"))
    yield other
    other.close()


def names(versions: list[Transferred]) -> list[str]:
    return [version.name for version in versions]


def contents(workspace: Workspace, ref: str) -> object:
    version = workspace.version(ref)
    about = (version.digest, version.description, version.metadata, version.tags, version.record.created_ns)
    return about, model_of(workspace.store, version.record.root)


def test_what_is_pushed_is_read_from_a_clone(full: Workspace, cloned: Workspace) -> None:
    """Byte for byte, with digest, description, metadata, tags, aliases and times; a clone knows all names at once."""
    assert [each.name for each in cloned.artifacts()] == ["data", "team/model"]
    fetched = cloned.remotes.fetch()
    assert [(one.name, one.versions, one.local) for one in fetched.artifacts] == [
        ("data", [0, 1, 2], []),
        ("team/model", [0], []),
    ]
    assert names(cloned.remotes.pull("data").versions) == ["data:v2"]
    assert names(cloned.remotes.pull("data:clean").versions) == ["data:v1"]
    assert [(one.name, one.is_new) for one in cloned.remotes.pull(every=True).versions] == [
        ("data:v0", True),
        ("data:v1", False),
        ("data:v2", False),
        ("team/model:v0", True),
    ]
    for ref in ("data:v0", "data:v1", "data:clean", "data:latest", "team/model:v0"):
        assert contents(cloned, ref) == contents(full, ref)
    assert cloned.remotes.fetch().artifacts[0].local == [0, 1, 2]
    assert cloned.remotes.get("origin").artifacts == ["data", "team/model"]
    assert_sound(cloned)
    assert_sound(full)


@pytest.mark.parametrize(
    ("refs", "pushed"),
    [
        ("data", ["data:v0", "data:v1", "data:v2"]),
        (["data:v2", "data:v0"], ["data:v0", "data:v2"]),
        ("data:clean", ["data:v1"]),
        ("data:v1..v9", ["data:v1", "data:v2"]),
        ("team/*", ["team/model:v0"]),
        (["*", "data"], ["data:v0", "data:v1", "data:v2", "team/model:v0"]),
    ],
)
def test_what_references_select(full: Workspace, refs: str | list[str], pushed: list[str]) -> None:
    """Each version once, in the order in which they were made; a dry run says the same and sends nothing."""
    dry = full.remotes.push(refs, dry_run=True)
    assert (names(dry.versions), dry.dry_run) == (pushed, True)
    assert dry.objects and dry.sent_bytes
    assert full.remotes.fetch().artifacts == []
    seen: list[Transferred] = []
    done = full.remotes.push(refs, "origin", on_version=seen.append)
    assert names(done.versions) == names(seen) == pushed
    assert all(version.is_new for version in seen)
    assert 0 < done.sent_bytes <= dry.sent_bytes
    again = full.remotes.push(refs)
    assert (names(again.versions), again.sent_bytes) == (pushed, 0)
    assert not any(version.is_new for version in again.versions)


def test_progress_is_in_bytes(full: Workspace, place: Path, tmp_path: Path) -> None:
    """It rises to what was sent, or to the size of the version that is fetched."""
    sent: list[Progress] = []
    full.remotes.push("data", progress=sent.append)
    assert [each.bytes_done for each in sent] == sorted(each.bytes_done for each in sent)
    assert {each.current for each in sent} == {"data:v0", "data:v1", "data:v2"}
    objects = [path.stat().st_size for folder in "dt" for path in (place / folder).rglob("*") if path.is_file()]
    assert sent[-1].bytes_done == sum(objects)
    with Workspace(clone(place.as_uri(), tmp_path / "clone")) as cloned:
        fetched: list[Progress] = []
        cloned.remotes.pull("data", progress=fetched.append)
        size = full.version("data:v2").record.bytes
        assert {each.bytes_total for each in fetched} == {size}
        assert 0 < fetched[-1].bytes_done <= size


def test_what_is_wrong_is_refused(full: Workspace, place: Path, workspace: Workspace) -> None:
    """Unknown remotes, names and versions, one that is read-only, and several without a default."""
    for call, error, named in (
        (partial(full.remotes.push, "none"), NotFoundError, "none"),
        (partial(full.remotes.push, "none*"), NotFoundError, "none*"),
        (partial(full.remotes.push, "data:v9"), NotFoundError, "data:v9"),
        (partial(full.remotes.push, "data", "other"), NotFoundError, "other"),
        (partial(full.remotes.pull, "none"), NotFoundError, "none"),
        (partial(full.remotes.fetch, "other"), NotFoundError, "other"),
    ):
        with raises(error, names=[named]):
            call()
    full.remotes.push("data")
    for ref in ("data:v7", "data:none", "data:x*"):
        with raises(NotFoundError, names=[ref, "origin"]):
            full.remotes.pull(ref)
    full.remotes.remove("origin", keep_local=True)
    with pytest.raises(NotFoundError):
        full.remotes.fetch()
    full.remotes.add("one", place.as_uri(), read_only=True)
    with raises(RefusedError, names=["one"]):
        full.remotes.push("data")
    second = place.with_name("second")
    second.mkdir()
    full.remotes.add("two", second.as_uri())
    with raises(InvalidInputError, names=["one", "two"]):
        full.remotes.push("data")
    assert names(full.remotes.push("data:v0", "two").versions) == ["data:v0"]


def test_a_stop_leaves_whole_versions(full: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pushed before is there and was told of; the same call goes on with the rest."""
    create, tries = Folder.create, []

    def failing(folder: Folder, name: str, body: bytes) -> bool:
        tries.append(name)
        if len(tries) == 4:
            raise UnreachableError("the store is gone", hint="try again")
        return create(folder, name, body)

    monkeypatch.setattr(Folder, "create", failing)
    seen: list[Transferred] = []
    with pytest.raises(UnreachableError):
        full.remotes.push("data", on_version=seen.append)
    assert 0 < len(seen) < 3
    monkeypatch.undo()
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))
    assert full.remotes.fetch().artifacts[0].versions == list(range(len(seen)))
    again = full.remotes.push("data")
    assert [one.is_new for one in again.versions] == [place >= len(seen) for place in range(3)]
    assert full.remotes.fetch().artifacts[0].versions == [0, 1, 2]
    assert_sound(full)


def test_two_machines_take_turns(full: Workspace, cloned: Workspace, tmp_path: Path) -> None:
    """Each pulls what the other one pushed, and the log's order numbers them."""
    cloned.remotes.pull("data")
    (tmp_path / "source" / "file").write_bytes(b"of the clone")
    assert cloned.put(tmp_path / "source", "data", push=False).name == "data:p1"
    [pushed] = [one for one in cloned.remotes.push("data").versions if one.is_new]
    assert pushed.remote_name == "data:v3"
    assert names(full.remotes.pull("data").versions) == ["data:v3"]
    assert contents(full, "data:v3") == contents(cloned, "data:v3")
    (tmp_path / "source" / "file").write_bytes(b"of the first one")
    assert full.put(tmp_path / "source", "data").number == 4
    assert not any(one.is_new for one in full.remotes.push("data").versions)
    assert_sound(full)


def test_a_name_that_means_something_else(full: Workspace, place: Path, tmp_path: Path) -> None:
    """An artifact that was made before the remote was known is not mixed with the remote's, in either direction."""
    full.remotes.push(every=True)
    apart = init_workspace(tmp_path / "apart")
    apart.put(tmp_path / "source", "data")
    apart.remotes.add("origin", place.as_uri())
    with raises(RefusedError, names=["data"]):
        apart.remotes.pull("data")
    with raises(RefusedError, names=["data"]):
        apart.remotes.push("data")
    assert len(apart.versions("data")) == 1


def test_what_cannot_be_cloned_leaves_nothing(full: Workspace, place: Path, tmp_path: Path) -> None:
    """An empty prefix, a missing folder, a path in use, a URL of another kind."""
    (tmp_path / "empty").mkdir()
    for url, target, error in (
        ((tmp_path / "empty").as_uri(), tmp_path / "new", NotFoundError),
        ((tmp_path / "missing").as_uri(), tmp_path / "new", NotFoundError),
        ("https://host/x", tmp_path / "new", InvalidInputError),
        (place.as_uri(), full.path, ExistsError),
        (place.as_uri(), tmp_path / "source", ArtfsError),
    ):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(error):
            clone(url, target)
        assert sorted(tmp_path.iterdir()) == before
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_clone_takes_an_empty_workspace(full: Workspace, place: Path, tmp_path: Path) -> None:
    """A clone that was killed leaves one; one with an artifact, or a remote, is refused."""
    full.remotes.push("data")
    create_workspace(tmp_path / "killed").close()
    other = Workspace(clone(place.as_uri(), tmp_path / "killed"))
    assert names(other.remotes.pull("data").versions) == ["data:v2"]
    other.close()
    with raises(ExistsError, names=[str(tmp_path / "killed")]):
        clone(place.as_uri(), tmp_path / "killed")
    with raises(ExistsError):
        clone(place.as_uri(), full.path)


def test_a_copy_is_given_back(full: Workspace, cloned: Workspace, tmp_path: Path) -> None:
    """It is gone here at once, is read from the remote again, and can be pulled; what is only here is refused."""
    cloned.remotes.pull(["data:v1", "data:v2"])
    before = contents(cloned, "data:v1")
    assert cloned.remotes.drop("data:clean") == ["data:v1"]
    assert [is_lazy(version.record) for version in cloned.versions("data")] == [True, True, False]
    assert contents(cloned, "data:clean") == before
    assert cloned.remotes.fetch().artifacts[0].versions == [0, 1, 2]
    assert_sound(cloned)
    assert [one.is_new for one in cloned.remotes.pull("data:v1").versions] == [True]
    assert contents(cloned, "data:v1") == before
    (tmp_path / "mine").write_bytes(b"mine")
    cloned.put(tmp_path / "mine", "mine")
    with raises(RefusedError, names=["mine:v0", "origin"]):
        cloned.remotes.drop("mine:v0")
    assert cloned.version("mine").read_bytes("mine") == b"mine"
