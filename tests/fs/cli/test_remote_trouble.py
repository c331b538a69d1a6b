"""What goes wrong with a remote: each command fails with one sentence and the right code, and nothing is lost.

After each trouble is over, the same commands succeed, and the remote has all versions.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from artstore.creating import create_workspace
from artstore.objects import probing
from artstore.remotes import adding
from artstore.storage import disk
from artstore.workspace import Workspace
from messages import missing, refused, reported
from servers.fake import FakeStore

Run = Callable[..., Any]
URL = "s3://bucket/team"
ALL = {"data:v0", "data:v1", "data:v2"}


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))


class Later(dict[str, tuple[int, str]]):
    """What is denied from the n-th request on."""

    def __init__(self, after: int, denied: dict[str, tuple[int, str]]) -> None:
        super().__init__(denied)
        self.left = after

    def __contains__(self, what: object) -> bool:
        self.left -= 1
        return self.left < 0 and super().__contains__(what)


@dataclass
class Place:
    """A workspace whose artifact ``data`` is in the remote but for its newest version, and the store."""

    artfs: Run
    store: FakeStore
    folder: Path
    objects: dict[str, Any] = field(default_factory=dict)

    def heal(self) -> None:
        """End the trouble."""
        self.store.denied = {}
        self.store.objects.update({key: each for key, each in self.objects.items() if key not in self.store.objects})

    def versions(self) -> set[str]:
        """Return what a fresh clone pulls."""
        with closing(Workspace(create_workspace(self.folder / f"clone-{os.urandom(4).hex()}"))) as other:
            other.remotes.add("origin", URL, read_only=True)
            return {each.name for each in other.remotes.pull(every=True).versions}


@pytest.fixture
def place(artfs: Run, fake_s3: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "2")
    made = Place(artfs, fake_s3, tmp_path)
    for _ in range(3):
        (tmp_path / "file").write_bytes(os.urandom(3000))
        artfs("put", tmp_path / "file", "data")
    assert artfs("remote", "add", "origin", URL).code == 0
    assert artfs("push", "data:v0..v1").code == 0
    made.objects = dict(fake_s3.objects)
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake_s3.url)
    yield made


DENIED = (403, "AccessDenied")
EVERYTHING = ("GET", "HEAD", "LIST", "PUT")
PUSH, PULL, FETCH = ("push", "data"), ("pull", "--all"), ("fetch",)
FSCK, CHECK = ("fsck", "--remote"), ("remote", "check", "origin")

ALL_COMMANDS = (PUSH, PULL, FETCH, FSCK, CHECK)
EXPIRED = (400, "ExpiredToken")
MALFORMED = (400, "AuthorizationHeaderMalformed")

REFUSALS: list[tuple[str, dict[str, tuple[int, str]], int, dict[tuple[str, ...], int], list[str]]] = [
    ("no right to read", dict.fromkeys(("GET", "HEAD"), DENIED), 0, dict.fromkeys(ALL_COMMANDS, 4), ["read"]),
    ("no right to list", {"LIST": DENIED}, 0, dict.fromkeys(ALL_COMMANDS, 4), ["list"]),
    ("no right to write", {"PUT": DENIED}, 0, {PUSH: 4, CHECK: 4}, ["create"]),
    ("expired", dict.fromkeys(EVERYTHING, EXPIRED), 0, dict.fromkeys(ALL_COMMANDS, 4), ["expired", "renew"]),
    ("expired in the middle", dict.fromkeys(EVERYTHING, EXPIRED), 4, {PUSH: 4, FSCK: 4}, ["expired", "renew"]),
    ("expired at an object", {"PUT": EXPIRED}, 1, {PUSH: 4}, ["expired", "renew"]),
    ("region", dict.fromkeys(EVERYTHING, MALFORMED), 0, dict.fromkeys(ALL_COMMANDS, 1), ["region", "AWS_REGION"]),
    ("full", {"PUT": (403, "QuotaExceeded")}, 0, {PUSH: 6, CHECK: 6}, ["space"]),
    ("no bucket", dict.fromkeys(EVERYTHING, (404, "NoSuchBucket")), 0, dict.fromkeys(ALL_COMMANDS, 3), ["bucket"]),
    ("busy", dict.fromkeys(EVERYTHING, (503, "SlowDown")), 0, {PUSH: 1, FETCH: 1}, [URL]),
]
"""The trouble; what is refused, with what, after how many requests; the commands and their exit codes; words said."""


@pytest.mark.parametrize(("what", "denied", "after", "commands", "words"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_what_a_store_refuses(
    place: Place,
    what: str,
    denied: dict[str, tuple[int, str]],
    after: int,
    commands: dict[tuple[str, ...], int],
    words: list[str],
) -> None:
    for command, code in commands.items():
        place.store.denied = Later(after, denied)
        done = place.artfs(*command)
        refused(done, code=code)
        assert not missing(done.message.lower(), [word.lower() for word in words]), (command, done.message)
        assert len(done.message) < 600 and "Error" not in done.message.partition("the store says")[0], done.message
        place.heal()
    assert place.artfs("ls", "data").code == 0
    assert place.artfs(*PUSH).code == 0
    assert place.versions() == ALL
    assert place.artfs("fsck", "--remote", "--data").code == 0
    assert place.artfs("fsck").code == 0


def test_no_right_to_delete_and_kept_versions(place: Place) -> None:
    """Pushing needs no right to delete; a bucket that keeps versions is warned of when it is added."""
    place.store.keeps = True
    assert place.artfs(*PUSH).code == 0 and place.versions() == ALL
    place.store.versioned = True
    place.artfs("remote", "rm", "origin", "--keep-local")
    done = place.artfs("remote", "add", "again", URL)
    assert done.code == 0 and not missing(done.message, ["versions", "again"])


def test_a_place_that_is_no_remote(place: Place) -> None:
    """Objects of something else, nothing, and a remote of a later format: adding and cloning are refused by name."""
    place.store.put("other/readme.txt", b"something else")
    refused(
        place.artfs("remote", "add", "second", "s3://bucket/other"), code=4, names=["s3://bucket/other", "readme.txt"]
    )
    refused(place.artfs("clone", "s3://bucket/other", place.folder / "x"), code=3, names=["s3://bucket/other"])
    refused(
        place.artfs("clone", "s3://bucket/empty", place.folder / "x"),
        code=3,
        names=["s3://bucket/empty", "artfs remote add"],
    )
    assert not (place.folder / "x").exists()
    identity = json.loads(place.store.objects["team/artfs-remote.json"].body)
    place.store.put("team/artfs-remote.json", json.dumps({**identity, "format": 9}).encode())
    for command in (PUSH, PULL, FETCH, FSCK, CHECK, ("clone", URL, place.folder / "x")):
        refused(place.artfs(*command), code=4, names=["9", "upgrade"])
    assert not (place.folder / "x").exists()
    place.store.put("team/artfs-remote.json", json.dumps(identity).encode())
    assert place.artfs(*PUSH).code == 0 and place.versions() == ALL


def test_a_full_disk_here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull that runs out of space leaves no half version, and goes on when there is space again."""
    place.artfs(*PUSH)
    append = disk.append
    with closing(Workspace(create_workspace(place.folder / "full"))) as other:
        other.remotes.add("origin", URL, read_only=True)
    monkeypatch.setenv("ARTFS_WORKSPACE", str(place.folder / "full"))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "append", full)
    refused(place.artfs(*PULL), code=6)
    monkeypatch.setattr(disk, "append", append)
    assert place.artfs("fsck", "--data").code == 0
    assert set(place.artfs(*PULL).text.split()) <= ALL and place.artfs(*PULL).code == 0
    assert place.artfs("fsck", "--data").code == 0


def test_a_name_that_two_machines_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused with a way out, and both artifacts are there afterwards."""
    with closing(Workspace(create_workspace(place.folder / "other"))) as other:
        other.put(place.folder / "file", "data")
    monkeypatch.setenv("ARTFS_WORKSPACE", str(place.folder / "other"))
    assert place.artfs("remote", "add", "origin", URL).code == 0
    for command in (PUSH, PULL):
        refused(place.artfs(*command), code=4, names=["data", "artfs artifact rename data NAME"])
    assert place.artfs("artifact", "rename", "data", "mine").code == 0
    assert place.artfs("push", "mine").code == 0
    assert place.versions() == {"data:v0", "data:v1", "mine:v0"}


def test_two_remotes(place: Place) -> None:
    """Each has what was pushed to it; where none is called origin, the name is asked for."""
    reported(place.artfs("remote", "add", "second", "s3://bucket/second"), names=["second"])
    assert place.artfs("push", "data", "second").code == 0
    assert len(place.artfs("push", "data").text.split()) == 1
    place.artfs("remote", "rm", "origin", "--keep-local")
    place.artfs("remote", "add", "third", URL)
    for command in (PUSH, FETCH, FSCK):
        refused(place.artfs(*command), code=2, names=["second", "third"])
    refused(place.artfs("push", "data", "none"), code=3, names=["none"])
    assert place.artfs("fsck", "--remote", "third").code == 0
    assert place.versions() == ALL


def test_a_remote_that_is_gone_for_good(place: Place) -> None:
    """Each command says how to forget it; the versions here stay, and can be pushed elsewhere."""
    place.store.objects.clear()
    for command in (PUSH, PULL, FETCH, FSCK, CHECK):
        refused(place.artfs(*command), code=3, names=["origin", "--keep-local"])
    refused(place.artfs("remote", "rm", "origin"), code=4, names=["data", "--keep-local"])
    assert place.artfs("remote", "rm", "origin", "--keep-local").code == 0
    assert place.artfs("remote", "add", "origin", URL).code == 0
    assert place.artfs("push", "data").code == 0
    assert place.versions() == ALL
    assert place.artfs("fsck", "--data").code == 0
