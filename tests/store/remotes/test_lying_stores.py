"""A store that answers for one object with other bytes: exact content, or an error that names what is wrong."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from artstore.errors import ArtfsError
from artstore.objects.failures import WrongAnswerError
from artstore.remotes import pushing
from artstore.remotes.collecting import collect_remote
from artstore.remotes.connection import Connection
from artstore.remotes.identity import IDENTITY
from artstore.remotes.log.appending import Machine
from artstore.remotes.log.checkpoints import HINT
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import LIVE, SAVED_EVERY
from artstore.remotes.packs.checking import check_version
from artstore.remotes.packs.output import PackOutput
from artstore.workspace import Workspace, init_workspace
from store.objects.model_store import Bucket, ModelStore
from store.oracle import model_of
from store.remotes.shared_bucket import SharedBucket

DAY = 86_400.0
Harm = Callable[[bytes, bytes], bytes]
KINDS = ("identity", "hint", "checkpoint", "entry", "t", "d")
HARMS: dict[str, Harm] = {
    "swapped": lambda body, sibling: sibling,
    "cut": lambda body, sibling: body[: len(body) * 2 // 3],
    "flipped": lambda body, sibling: bytes(byte ^ (place % 97 == 5) for place, byte in enumerate(body)),
    "empty": lambda body, sibling: b"",
    "longer": lambda body, sibling: body + sibling[:100],
}


class Pushed(NamedTuple):
    """A bucket with versions of one artifact, and what they are."""

    bucket: Bucket
    uuid: bytes
    older: dict[str, bytes]
    models: dict[str, object]


class LyingStore(ModelStore):
    """A store that has other bytes for some objects."""

    def __init__(self, bucket: Bucket, lies: dict[str, bytes]) -> None:
        super().__init__(bucket)
        self.lies = lies

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        """Return a part of the wrong body."""
        body = self.lies.get(name)
        if body is None:
            return super().read(name, start, length, fresh=fresh)
        end = len(body) if length is None else start + length
        if not start <= end <= len(body):
            raise WrongAnswerError(f"{self.url}/{name} has {len(body)} bytes and not those from {start} on")
        return body[start:end]


def _model(workspace: Workspace, name: str) -> object:
    return model_of(workspace.store, workspace.version(f"data:{name}").record.root)


def _source(folder: Path, number: int) -> Path:
    noise = random.Random(number // 20)
    folder.mkdir(exist_ok=True)
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "large").write_bytes(noise.randbytes(300_000))
    (folder / "sub/small").write_bytes(b"small %d" % number)
    (folder / "sub/other").write_bytes(noise.randbytes(5000))
    return folder


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    path = tmp_path_factory.mktemp("lying")
    with pytest.MonkeyPatch.context() as patch:
        shared = SharedBucket(patch)
        patch.setattr(pushing, "PackOutput", lambda sink: PackOutput(sink, data_target=100_000))
        workspace = init_workspace(path / "ws")
        shared.join(workspace)
        for number in range(SAVED_EVERY + 3):
            os.utime(_source(path / "source", number) / "sub/small", (number + 1, number + 1))
            workspace.put(path / "source", "data")
            workspace.remotes.push("data")
            if number == 40:
                older = {name: body for name, (body, _) in shared.bucket.objects.items()}
        workspace.delete("data:v30", force=True)
        models = {name: _model(workspace, name) for name in ("v0", "v45", f"v{SAVED_EVERY + 2}")}
        yield Pushed(shared.bucket, shared.uuid, older, models)
        workspace.close()


def _objects_of(pushed: Pushed, kind: str) -> list[str]:
    """Return the objects of a kind."""
    prefix = {"identity": IDENTITY, "hint": HINT, "checkpoint": "state/0", "entry": "log/"}.get(kind, f"{kind}/")
    return sorted(name for name in pushed.bucket.objects if name.startswith(prefix))


def _lies(pushed: Pushed, kind: str, harm: str) -> dict[str, bytes]:
    """Return wrong bodies for objects of a kind: of entries for one, else for all."""
    names = _objects_of(pushed, kind)
    bodies = {name: body for name, (body, _) in pushed.bucket.objects.items()}
    if harm == "older":
        return {name: pushed.older.get(name, bodies[names[0]]) for name in names[-2:]}
    chosen = names[50:51] if kind == "entry" else names
    beside = [*names[1:], *names[:1]] if len(names) > 1 else [sorted(bodies)[-1]]
    sibling = dict(zip(names, beside, strict=True))
    return {name: HARMS[harm](bodies[name], bodies[sibling[name]]) for name in chosen}


@pytest.fixture
def shared(pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> SharedBucket:
    shared = SharedBucket(monkeypatch)
    shared.bucket, shared.uuid = pushed.bucket.copy(), pushed.uuid
    shared.store = ModelStore(shared.bucket)
    return shared


@pytest.fixture
def other(shared: SharedBucket, tmp_path: Path) -> Iterator[Workspace]:
    """Another machine, which knows the remote."""
    with init_workspace(tmp_path / "other") as workspace:
        shared.join(workspace)
        yield workspace


def _named(error: ArtfsError, kind: str, lies: dict[str, bytes]) -> bool:
    """Return whether an error says which object is wrong, and of content which version and file."""
    said = f"{error.message} {error.hint}"
    if kind == "entry":
        return "entry " in said or "log/" in said
    if kind in "dt":
        return any(name in said for name in lies) and "data:v" in said and (kind == "t" or "/" in said)
    return any(name in said for name in lies) or "another remote" in said


def _check_all(shared: SharedBucket) -> None:
    """Every version that lives is whole, for a reader to whom the store does not lie."""
    store = ModelStore(shared.bucket)
    remote = Connection(shared.uuid, store, Log(store, shared.uuid), Machine(bytes(16), "reader"))
    remote.log.read_on()
    assert remote.log.trouble is None
    for row in remote.state.versions.values():
        if row.state == LIVE:
            checked = check_version(*remote.tree_and_packs(row), content=True)
            assert not checked.damage and not checked.unlisted, checked


CASES = [(kind, harm) for kind in KINDS for harm in (*HARMS, *(["older"] if kind in ("hint", "entry") else []))]


@pytest.mark.parametrize(("kind", "harm"), CASES)
def test_a_pull_has_exact_bytes_or_says_what_is_wrong(
    pushed: Pushed, shared: SharedBucket, other: Workspace, kind: str, harm: str
) -> None:
    """Hint and checkpoint only save time: with wrong ones all is pulled, or the log is said to be broken."""
    lies = _lies(pushed, kind, harm)
    shared.store = LyingStore(shared.bucket, lies)
    for name, model in pushed.models.items():
        try:
            other.remotes.pull(f"data:{name}")
        except ArtfsError as error:
            assert _named(error, kind, lies), (name, error.message, error.hint)
            assert kind not in ("hint", "checkpoint") or "log" in error.message, error.message
        else:
            assert _model(other, name) == model


@pytest.mark.parametrize(
    ("kind", "harm"), [case for case in CASES if case[1] in ("swapped", "flipped", "empty", "older")]
)
def test_collecting_and_pushing_lose_nothing(
    pushed: Pushed, shared: SharedBucket, other: Workspace, tmp_path: Path, kind: str, harm: str
) -> None:
    """What a collector or pusher is shown wrongly harms no version that lives, also not a week later."""
    other.remotes.pull("data:v45")
    shared.store = LyingStore(shared.bucket, _lies(pushed, kind, harm))
    for _ in range(2):
        shared.bucket.now += 7 * DAY
        try:
            collect_remote(other.store)
        except ArtfsError as error:
            assert error.message
    try:
        other.put(_source(tmp_path / "source", 46), "data")
        other.remotes.push("data")
    except ArtfsError as error:
        assert error.message
    _check_all(shared)
