"""Adding remotes: one place is one remote, refused ones are not recorded, and another log than before is noticed."""

from __future__ import annotations

import random
import threading
import uuid as uuids
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import (
    ArtfsError,
    DamageError,
    ExistsError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RefusedError,
    UnsupportedError,
)
from artstore.objects import probing
from artstore.objects.failures import BrokenPromiseError
from artstore.objects.opening import open_store
from artstore.remotes import adding
from artstore.remotes.identity import IDENTITY
from artstore.remotes.log.appending import Machine, append
from artstore.remotes.log.operations import Rules
from artstore.remotes.log.reading import Log
from artstore.repairing.rebuild import rebuild
from artstore.storage.environment import Environment
from artstore.workspace import Workspace, init_workspace
from messages import raises
from store.lived import reopened
from store.oracle import assert_sound


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of four threads: what a probe finds is tested in `objects.test_probing`."""
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=2))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_remote_is_made_once_and_found_again(workspace: Workspace, place: Path, tmp_path: Path) -> None:
    """The first machine makes it; the next one finds it, also for reading only, and writes nothing."""
    made = workspace.remotes.add("origin", place.as_uri())
    assert (made.name, made.url, made.read_only, made.entries) == ("origin", place.as_uri(), False, 0)
    assert (made.artifacts, made.broken, made.probe["verdict"]) == ([], "", "writable")
    assert files(place) == [IDENTITY]
    body = (place / IDENTITY).read_bytes()
    other = init_workspace(tmp_path / "other")
    found = other.remotes.add("backup", str(place), read_only=True)
    assert (found.uuid, found.url, found.read_only) == (made.uuid, made.url, True)
    assert (files(place), (place / IDENTITY).read_bytes()) == ([IDENTITY], body)
    assert [one.name for one in other.remotes.all()] == ["backup"]
    assert other.remotes.get("backup") == found
    assert_sound(other)
    assert_sound(workspace)


def test_one_place_is_one_remote(workspace: Workspace, place: Path, tmp_path: Path) -> None:
    """However its URL is written, by whatever link, and whatever other workspaces call it."""
    workspace.remotes.add("origin", place.as_uri())
    (tmp_path / "link").symlink_to(place)
    for url in (place.as_uri(), f"{place}/", f"file://{tmp_path}/./bucket", f"file://{tmp_path}/link"):
        with raises(ExistsError, names=["origin"]):
            workspace.remotes.add("second", url)
    (tmp_path / "empty").mkdir()
    with raises(ExistsError, names=["origin"]):
        workspace.remotes.add("origin", (tmp_path / "empty").as_uri())
    assert files(tmp_path / "empty") == []
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / IDENTITY).write_bytes((place / IDENTITY).read_bytes())
    with raises(ExistsError, names=["origin"]):
        workspace.remotes.add("copy", (tmp_path / "copy").as_uri())
    assert [one.name for one in workspace.remotes.all()] == ["origin"]


@pytest.mark.parametrize(
    ("url", "error", "names"),
    [
        ("bucket", InvalidInputError, ["'bucket'"]),
        ("s3:/bucket", InvalidInputError, ["s3:/bucket"]),
        ("ftp://host/x", InvalidInputError, ["ftp://host/x"]),
        ("https://host/x", InvalidInputError, ["https://host/x"]),
        ("s3://key:hunter2@bucket/x", InvalidInputError, ["bucket/x"]),
        ("s3://bucket/x?token=hunter2hunter2", InvalidInputError, ["token"]),
        ("s3://bucket/x?versionId=3", InvalidInputError, ["s3://bucket/x"]),
        ("s3://bucket/x?a=b", InvalidInputError, ["s3://bucket/x"]),
        ("gs://bucket/x#12", InvalidInputError, ["gs://bucket/x"]),
        ("file:///nowhere/at/all", NotFoundError, ["/nowhere/at/all"]),
        ("", InvalidInputError, []),
        (5, InvalidInputError, ["5"]),
    ],
)
def test_wrong_urls_are_refused(workspace: Workspace, url: Any, error: type[ArtfsError], names: list[str]) -> None:
    """Before any request, without the secret, and nothing is recorded."""
    with raises(error, names=names) as caught:
        workspace.remotes.add("origin", url)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert workspace.remotes.all() == []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "a:b", "v1", 5])
def test_wrong_names_are_refused(workspace: Workspace, place: Path, name: Any) -> None:
    with pytest.raises(InvalidNameError):
        workspace.remotes.add(name, place.as_uri())
    assert files(place) == []


def test_what_is_no_remote_is_refused(workspace: Workspace, place: Path) -> None:
    """A folder with other files, an empty one that may only be read, another format, and what does not read."""
    with raises(NotFoundError, names=[str(place)]):
        workspace.remotes.add("origin", place.as_uri(), read_only=True)
    assert files(place) == []
    (place / "photo.jpg").write_bytes(b"photo")
    with raises(RefusedError, names=["photo.jpg"]):
        workspace.remotes.add("origin", place.as_uri())
    assert files(place) == ["photo.jpg"]
    for text, error in (('{"format": 9}', UnsupportedError), ("{", DamageError)):
        (place / IDENTITY).write_text(text)
        with raises(error, names=[str(place)]):
            workspace.remotes.add("origin", place.as_uri())
    assert files(place) == [IDENTITY, "photo.jpg"]
    assert workspace.remotes.all() == []


def test_a_store_that_breaks_a_promise(workspace: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with the promise, taken for reading, and a check of one that broke later says so."""
    workspace.remotes.add("origin", place.as_uri())
    kept = probing.probe

    def broken(store: Any, *, writing: bool = True) -> probing.Probe:
        found = kept(store, writing=False)
        sentence = "of 16 creates of one name at the same time 3 succeeded, not one"
        changes: dict[str, Any] = {"verdict": "read-only", "reason": sentence, "broken": {"one winner": sentence}}
        return replace(found, **changes) if writing else found

    monkeypatch.setattr(adding, "probe", broken)
    with pytest.raises(BrokenPromiseError) as caught:
        workspace.remotes.check("origin")
    assert "3 succeeded" in caught.value.message
    assert "3 succeeded" in workspace.remotes.get("origin").broken
    workspace.remotes.remove("origin")
    with pytest.raises(BrokenPromiseError) as caught:
        workspace.remotes.add("origin", place.as_uri())
    assert "--read-only" in (caught.value.hint or "")
    assert workspace.remotes.all() == []
    assert workspace.remotes.add("origin", place.as_uri(), read_only=True).broken == ""


def test_a_check_notices_another_remote(workspace: Workspace, place: Path) -> None:
    """One that was made anew at the same place, and one that is gone."""
    workspace.remotes.add("origin", place.as_uri())
    before = workspace.remotes.check("origin")
    assert before.probed_at is not None
    body = (place / IDENTITY).read_bytes()
    uuid = before.uuid.encode()
    (place / IDENTITY).write_bytes(body.replace(uuid, b"0" * 8 + uuid[8:]))
    with raises(DamageError, names=["origin"]):
        workspace.remotes.check("origin")
    (place / IDENTITY).unlink()
    with raises(NotFoundError, names=["origin", IDENTITY]):
        workspace.remotes.check("origin")
    with raises(NotFoundError, names=["none"]):
        workspace.remotes.check("none")


class _NoNotes:
    def note(self, entry: bytes, number: int) -> None: ...
    def noted(self) -> list[tuple[bytes, int]]:
        return []

    def settle(self, entry: bytes, *, landed: bool) -> None: ...


def test_a_check_notices_another_log(workspace: Workspace, place: Path) -> None:
    """One that was rolled back, and one whose last entry that was read is another one now."""
    added = workspace.remotes.add("origin", place.as_uri())
    log = Log(open_store(place.as_uri()), uuids.UUID(added.uuid).bytes)
    for _ in range(3):
        append(log, Machine(b"m" * 16, "a@b"), _rules, _NoNotes())
    assert workspace.remotes.check("origin").entries == 3
    assert workspace.remotes.get("origin").entries == 3
    last = place / "log" / f"{3:020}"
    kept = last.read_bytes()
    last.unlink()
    with pytest.raises(DamageError) as caught:
        workspace.remotes.check("origin")
    assert "entry 2" in caught.value.message or "entry 3" in caught.value.message
    other = Log(open_store(place.as_uri()), uuids.UUID(added.uuid).bytes)
    append(other, Machine(b"n" * 16, "c@d"), _rules, _NoNotes())
    with pytest.raises(DamageError) as caught:
        workspace.remotes.check("origin")
    assert "entry 3" in caught.value.message
    last.write_bytes(kept)
    assert workspace.remotes.check("origin").entries == 3


def _rules(state: Any) -> list[Any]:
    return [state.transaction(Rules(state.ruled.number, b"[%d]" % random.randrange(1 << 60)))]


def test_a_rebuild_keeps_remotes(workspace: Workspace, place: Path) -> None:
    """But for the probe and the position in the log, which a check finds again."""
    before = workspace.remotes.add("origin", place.as_uri())
    workspace.remotes.add("anonymous", "file://" + str(_second(place)), anonymous=True)
    Environment.of(workspace.path).drop()
    rebuild(workspace.path)
    again = reopened(workspace)
    first, second = again.remotes.all()
    assert (first.name, first.read_only, second.name, second.uuid) == ("anonymous", True, "origin", before.uuid)
    assert second.probed_at is None
    again.remotes.check("origin")
    assert again.remotes.get("origin").probe["verdict"] == "writable"
    assert again.remotes.remove("origin") == []
    assert [one.name for one in again.remotes.all()] == ["anonymous"]
    assert_sound(again)


def _second(place: Path) -> Path:
    other = place.with_name("second")
    other.mkdir()
    text = (place / IDENTITY).read_text()
    (other / IDENTITY).write_text(text.replace('"uuid": "', f'"uuid": "{uuids.UUID(int=5)}", "former": "'))
    return other


def test_two_that_add_at_once(workspace: Workspace, place: Path) -> None:
    """One of them adds it; the other one is told so."""
    outcomes: list[object] = []

    def add(name: str) -> None:
        try:
            outcomes.append(workspace.remotes.add(name, place.as_uri()).name)
        except ExistsError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=add, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(workspace.remotes.all()) == 1
    assert outcomes.count(ExistsError) == 1
    assert files(place) == [IDENTITY]
