"""Paths on a mount of the workspace, with a mount that is made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.changes import putting
from artstore.daemons import DaemonInfo
from artstore.errors import InvalidInputError, NotFoundError
from artstore.locate import MountPoint
from artstore.queries import mounted
from artstore.queries.mounted import MOUNT_TYPE, WORKSPACE_XATTR, MountedPath, mounted_path
from artstore.workspace import Workspace
from messages import raises


class FakeMount:
    """Make a folder look like a mount."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.root = "/"
        self.fstype = MOUNT_TYPE
        self.uuid: bytes | None = b""
        self.devices = ["0:99"]
        patch.setattr(mounted.locate, "covering_mount", self._covering)
        patch.setattr(mounted.daemons, "live_daemons", self._daemons)
        patch.setattr(os, "getxattr", self._attribute)
        for path in ("team/x/v3/a/v4", "team/x/v12", "top/v0"):
            (folder / path).mkdir(parents=True)
        (folder / "team" / "x" / "best").symlink_to("v3")
        (folder / "team" / "x" / "v3" / "file").touch()

    def _covering(self, path: Path) -> MountPoint:
        return MountPoint(self.folder, self.root, self.fstype, "artfs", "0:99", "ro")

    def _daemons(self, _: Path) -> list[DaemonInfo]:
        return [DaemonInfo("d", 1, str(self.folder), "/s", each, 1.0, "direct", 1, 1) for each in self.devices]

    def _attribute(self, path: object, name: str) -> bytes:
        assert name == WORKSPACE_XATTR
        if self.uuid is None:
            raise OSError(61, "no data")
        return self.uuid


@pytest.fixture
def mount(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMount:
    fake = FakeMount(monkeypatch, tmp_path)
    fake.uuid = workspace.uuid.encode()
    return fake


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("team/x/v3", MountedPath("team/x", 3, b"")),
        ("team/x/v3/a/v4", MountedPath("team/x", 3, b"a/v4")),
        ("team/x/best/file", MountedPath("team/x", 3, b"file")),
        ("team/x/../x/v12/.", MountedPath("team/x", 12, b"")),
        ("top/v0", MountedPath("top", 0, b"")),
        ("team/x/v5", None),
    ],
)
def test_paths(workspace: Workspace, mount: FakeMount, path: str, expected: MountedPath | None) -> None:
    """Aliases are resolved, the first version label counts, and what is not there is none."""
    assert mounted_path(workspace.store, mount.folder / path) == expected


@pytest.mark.parametrize("path", [".", "team", "team/x"])
def test_what_lies_above_versions_is_refused(workspace: Workspace, mount: FakeMount, path: str) -> None:
    """It would be every version of everything."""
    with raises(InvalidInputError, names=[repr(str(mount.folder / path))]):
        mounted_path(workspace.store, mount.folder / path)


def test_other_mounts(workspace: Workspace, mount: FakeMount) -> None:
    """Another file system, another workspace's mount, and one that does not answer, are ordinary folders."""
    path = mount.folder / "team/x/v3"
    mount.fstype = "ext4"
    assert mounted_path(workspace.store, path) is None
    mount.fstype = MOUNT_TYPE
    for uuid in (b"another", None, b"\xff"):
        mount.uuid = uuid
        assert mounted_path(workspace.store, path) is None


def test_a_mount_that_claims_to_show_the_workspace(workspace: Workspace, mount: FakeMount) -> None:
    """A copy of the workspace has the same uuid: only the mounts that its own daemons serve are the workspace's."""
    mount.devices = ["0:98"]
    assert mounted_path(workspace.store, mount.folder / "team/x/v3") is None


def test_a_bind_mount_of_a_part(workspace: Workspace, mount: FakeMount) -> None:
    """A mount of a folder inside has the rest of the path in its root."""
    mount.root = "/group"
    assert mounted_path(workspace.store, mount.folder / "team/x/v3/a") == MountedPath("group/team/x", 3, b"a")
    mount.root = "/team/x/v3"
    assert mounted_path(workspace.store, mount.folder / "team") == MountedPath("team/x", 3, b"team")


def test_putting_what_is_mounted(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version, a folder and a file in one are taken by node: no byte is stored, the digest is the same."""
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "file").write_bytes(b"content")
    (data / "top").write_bytes(b"top")
    first = workspace.put(data, "team/x")
    places = {
        "whole": MountedPath("team/x", 0, b""),
        "folder": MountedPath("team/x", 0, b"sub"),
        "file": MountedPath("team/x", 0, b"sub/file"),
    }
    for name, place in places.items():
        with monkeypatch.context() as patch:
            patch.setattr(putting, "mounted_path", lambda *_, place=place: place)
            version = workspace.put(tmp_path / "anything", name)
        read = {path + "/" + file for path, _, files in version.walk() for file in files}
        if name == "whole":
            assert version.digest == first.digest
        assert read == {"whole": {"/top", "sub/file"}, "folder": {"/file"}, "file": {"/file"}}[name]
        assert version.read_bytes(sorted(read)[0].strip("/")) in (b"content", b"top")
    for place in (MountedPath("team/x", 7, b""), MountedPath("none", 0, b""), MountedPath("team/x", 0, b"gone")):
        with monkeypatch.context() as patch:
            patch.setattr(putting, "mounted_path", lambda *_, place=place: place)
            with pytest.raises(NotFoundError):
                workspace.put(tmp_path / "anything", "other")
    with monkeypatch.context() as patch:
        patch.setattr(putting, "mounted_path", lambda *_: MountedPath("team/x", 0, b"sub"))
        over = workspace.put(data / "sub", "team/x", base="v0")
    assert {info.name for info in over.listdir()} == {"file", "sub", "top"}
