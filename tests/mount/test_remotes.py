"""A mount of a clone shows every version of the remote, fetches what is read, and fails in time where it cannot."""

from __future__ import annotations

import errno
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from artstore.objects import probing
from artstore.remotes import adding
from artstore.remotes.connecting import join
from artstore.workspace import Workspace, init_workspace
from mount.inventory import inventory
from servers.fake import FakeStore
from servers.faults import Fault, FaultProxy, first


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def probe(*given: Any, **named: Any) -> Any:
        return probing.probe(*given, **named, threads=4, rounds=1)

    monkeypatch.setattr(adding, "probe", probe)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    noise = random.Random(7)
    folder = tmp_path / "source"
    (folder / "many").mkdir(parents=True)
    (folder / "a" / "b").mkdir(parents=True)
    for number in range(600):
        (folder / "many" / f"{number:04}").write_bytes(noise.randbytes(300))
    (folder / "large").write_bytes(noise.randbytes(5_000_000))
    (folder / "text").write_bytes(b"many words " * 100_000)
    (folder / "a" / "b" / "deep").write_bytes(b"deep")
    (folder / "link").symlink_to("a/b/deep")
    (folder / "text").chmod(0o755)
    return folder


def other(tmp_path: Path, source: Path, url: str) -> Workspace:
    """Return another machine's workspace, which has pushed a version."""
    made = init_workspace(tmp_path / "other")
    made.put(source, "team/data", aliases=["good"])
    made.remotes.add("origin", url)
    made.remotes.push(every=True)
    return made


def follow(workspace: Workspace, url: str) -> None:
    """Have the mounted workspace know the remote, as a clone does."""
    objects, identity = adding.open_remote(url)
    join(workspace.store, "origin", objects, identity, read_only=False, anonymous=False)


def test_every_version_of_the_remote_is_a_folder(
    workspace: Workspace, mounts: Any, tmp_path: Path, source: Path
) -> None:
    """Its listing, attributes and bytes are those of the source; new and pulled versions appear at once."""
    (tmp_path / "bucket").mkdir()
    url = (tmp_path / "bucket").as_uri()
    elsewhere = other(tmp_path, source, url)
    (tmp_path / "local").write_bytes(b"local")
    workspace.put(tmp_path / "local", "mine")
    mount = mounts()
    assert os.listdir(mount.directory) == ["mine"]
    follow(workspace, url)
    folder = mount.directory / "team" / "data"
    assert sorted(os.listdir(mount.directory)) == ["mine", "team"]
    assert sorted(os.listdir(folder)) == ["good", "latest", "v0"]
    assert inventory(folder / "v0") == inventory(source)
    assert (folder / "good" / "link").read_bytes() == b"deep"
    with ThreadPoolExecutor(8) as pool:
        names = sorted(os.listdir(source / "many"))
        read = list(pool.map(lambda name: (folder / "v0" / "many" / name).read_bytes(), names))
    assert read == [(source / "many" / name).read_bytes() for name in names]
    with pytest.raises(FileNotFoundError):
        os.stat(folder / "v0" / "none")
    inode = os.stat(folder / "v0" / "text").st_ino
    (source / "new").write_bytes(b"new")
    elsewhere.put(source, "team/data", aliases=["good"])
    elsewhere.remotes.push("team/data")
    assert sorted(os.listdir(folder)) == ["good", "latest", "v0"]
    workspace.remotes.fetch()
    assert sorted(os.listdir(folder)) == ["good", "latest", "v0", "v1"]
    assert (os.readlink(folder / "good"), os.readlink(folder / "latest")) == ("v1", "v1")
    assert (folder / "latest" / "new").read_bytes() == b"new"
    assert os.stat(folder / "v0" / "text").st_ino == inode
    with open(folder / "v1" / "large", "rb") as file:
        begin = file.read(1000)
        workspace.remotes.pull("team/data:v1")
        assert begin + file.read() == (source / "large").read_bytes()
    assert inventory(folder / "v1") == inventory(source)


@pytest.mark.one_transport
def test_a_dead_store_fails_in_time_and_holds_up_no_other_reader(
    workspace: Workspace,
    mounts: Any,
    tmp_path: Path,
    source: Path,
    fake_s3: FakeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read is read again, what is local too; the rest is EIO within the time-out, and works afterwards."""
    monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "2")
    other(tmp_path, source, "s3://bucket/prefix")
    (tmp_path / "local").write_bytes(b"local")
    workspace.put(tmp_path / "local", "mine")
    with FaultProxy(fake_s3.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        follow(workspace, "s3://bucket/prefix")
        mount = mounts()
        folder = mount.directory / "team" / "data" / "v0"
        assert (folder / "text").read_bytes() == (source / "text").read_bytes()
        proxy.rules.append(first(Fault(hang=True), times=1 << 20))
        with ThreadPoolExecutor(4) as pool:
            began = time.monotonic()
            waiting = [pool.submit((folder / "large").read_bytes) for _ in range(4)]
            assert (folder / "text").read_bytes() == (source / "text").read_bytes()
            assert (mount.directory / "mine" / "v0" / "local").read_bytes() == b"local"
            assert "large" in os.listdir(folder)
            for future in waiting:
                error = future.exception()
                assert isinstance(error, OSError) and error.errno in (errno.EIO, errno.ETIMEDOUT, errno.ENETUNREACH)
            assert time.monotonic() - began < 40
        proxy.rules.clear()
        assert (folder / "large").read_bytes() == (source / "large").read_bytes()
