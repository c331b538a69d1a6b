"""Finding workspaces, and telling file systems on which one would be unsafe."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from artstore import locate
from artstore.errors import ArtfsError, InvalidInputError, NotFoundError, UnsupportedError
from artstore.locate import (
    WORKSPACE_VARIABLE,
    covering_mount,
    default_workspace_file,
    filesystem_type,
    find_workspace,
    mount_points,
    refuse_unsafe_filesystem,
    set_default_workspace,
)
from artstore.workspace import init_workspace
from messages import raises


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without anything in it."""
    for variable in (WORKSPACE_VARIABLE, "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of mounts in the place of the kernel's."""
    file = tmp_path / "mountinfo"
    monkeypatch.setattr(locate, "_MOUNTINFO", file)
    return file


def _line(path: str, fstype: str, number: int = 9) -> str:
    return f"36 35 0:{number} / {path} rw,noatime shared:1 master:2 - {fstype} source rw,size=1\n"


def test_the_search_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument comes before the environment, that before the persisted default, and the data folder last."""
    assert find_workspace() == home / ".local/share/artfs"
    set_default_workspace(home / "default")
    assert find_workspace() == home / "default"
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(home / "environment"))
    assert find_workspace() == home / "environment"
    assert find_workspace(home / "given") == home / "given"
    monkeypatch.setenv(WORKSPACE_VARIABLE, "")
    assert find_workspace() == home / "default"


def test_relative_paths_and_tildes_become_absolute(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means the same later, in another working folder."""
    monkeypatch.chdir(home)
    assert find_workspace("ws") == home / "ws"
    assert find_workspace("~/ws") == home / "ws"
    set_default_workspace("ws")
    monkeypatch.chdir("/")
    assert find_workspace() == home / "ws"


def test_an_unreadable_default_is_told(home: Path) -> None:
    """What cannot be read is not silently another workspace."""
    default_workspace_file().mkdir(parents=True)
    with raises(ArtfsError, names=["default-workspace", os.strerror(errno.EISDIR)]):
        find_workspace()


def test_an_empty_path_is_refused() -> None:
    """``-w ""`` is a slip, such as an unset shell variable, and does not mean the current folder."""
    with pytest.raises(InvalidInputError):
        find_workspace("")


@pytest.mark.parametrize("name", [b"with space", b"new\nline", b"\xff\xfe", "größe".encode()])
def test_the_default_may_have_any_name(home: Path, name: bytes) -> None:
    """The persisted default is kept byte for byte, and a second call replaces it, leaving nothing else."""
    set_default_workspace("/else/where")
    path = Path(os.fsdecode(os.fsencode(home) + b"/" + name))
    set_default_workspace(path)
    assert find_workspace() == path
    assert [file.name for file in default_workspace_file().parent.iterdir()] == ["default-workspace"]


def test_mounts_are_read_with_their_escapes(mountinfo: Path) -> None:
    """Spaces, newlines and backslashes in mount points, which the kernel writes as octal numbers, come back."""
    mountinfo.write_bytes(
        b"36 35 98:0 /sub\\040vol /mnt/a\\040b\\134c\\012d rw,noatime - ext3 /dev/root rw,errors=continue\n"
        b"40 36 0:31 / /mnt/\xff ro shared:5 - fuse.sshfs me@host:/x rw,user_id=0\n"
        b"41 36 0:32 / /mnt/n rw - tmpfs  rw\n"
    )
    first, second, third = mount_points()
    assert (first.path, first.root, first.fstype) == (Path("/mnt/a b\\c\nd"), "/sub vol", "ext3")
    assert (first.source, first.device) == ("/dev/root", "98:0")
    assert first.options == {"rw", "noatime", "errors=continue"}
    assert (os.fsencode(second.path), second.fstype) == (b"/mnt/\xff", "fuse.sshfs")
    assert (third.source, third.fstype) == ("", "tmpfs")


def test_the_kernel_s_own_list_is_understood() -> None:
    """The mount that covers a folder is the one whose device stat names, and the root folder is covered too."""
    assert covering_mount("/").path == Path("/")
    assert mount_points()
    device = os.stat("/proc").st_dev
    assert covering_mount("/proc/sys").fstype == "proc"
    assert covering_mount("/proc").device == f"{os.major(device)}:{os.minor(device)}"


def test_the_nearest_existing_parent_counts_and_links_are_resolved(mountinfo: Path, home: Path) -> None:
    """The file system is that of the place where the path's folders would be made, behind symlinks."""
    (home / "disk/real").mkdir(parents=True)
    (home / "net").mkdir()
    (home / "link").symlink_to("net")
    mountinfo.write_text(_line("/", "ext4", 1) + _line(str(home / "net"), "nfs4", 2))
    assert filesystem_type(home / "disk/real") == "ext4"
    assert filesystem_type(home / "link/to/be/made") == "nfs4"
    assert filesystem_type(home / "network") == "ext4"


def test_a_later_mount_covers_an_earlier_one(mountinfo: Path, home: Path) -> None:
    """Of two mounts on one place the last is what is seen; a mount that was covered by its parent's is not."""
    mountinfo.write_text(_line("/", "ext4", 1) + _line(str(home), "nfs", 2) + _line(str(home), "xfs", 3))
    assert filesystem_type(home / "x") == "xfs"


def test_a_hidden_mount_does_not_count(mountinfo: Path, home: Path) -> None:
    """A mount below one that was put over its parent later is not what a path there leads to: its device tells."""
    status = os.stat(home)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    hidden, visible = _line(str(home), "nfs4", 2), _line(str(home.parent), "ext4").replace("0:9", device)
    for lines in (hidden + visible, visible + hidden):
        mountinfo.write_text(_line("/", "xfs", 1) + lines)
        assert filesystem_type(home / "x") == "ext4"


def test_without_a_mount_there_is_one_sentence(mountinfo: Path, home: Path) -> None:
    """A list of mounts that holds nothing suitable raises NotFoundError."""
    mountinfo.write_text(_line("/elsewhere", "ext4"))
    with pytest.raises(NotFoundError):
        covering_mount(home)


@pytest.mark.parametrize(
    "kind",
    [
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse", "fuseblk", "fuse.sshfs", "fuse.artfs", "fuse.s3fs", "9p", "afs",
        "ceph", "lustre", "glusterfs", "fuse.glusterfs", "vboxsf", "virtiofs", "gpfs", "beegfs",
    ],
)  # fmt: skip
def test_unsafe_file_systems_are_refused_with_the_way_out(mountinfo: Path, home: Path, kind: str) -> None:
    """A workspace on a network or FUSE file system is refused, naming the command that makes one elsewhere."""
    mountinfo.write_text(_line("/", kind))
    with raises(UnsupportedError, names=[kind, str(home / "ws")]) as caught:
        refuse_unsafe_filesystem(home / "ws")
    assert "artfs init DIR --default" in caught.value.hint


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "fusectl"])
def test_local_file_systems_are_fine(mountinfo: Path, home: Path, kind: str) -> None:
    """A workspace on a local file system, overlay and tmpfs included, is not refused."""
    mountinfo.write_text(_line("/", kind))
    refuse_unsafe_filesystem(home / "ws")


@pytest.mark.parametrize("kind", ["vfat", "msdos", "exfat", "ntfs", "ntfs3", "hfsplus"])
def test_file_systems_without_permissions_take_no_new_workspace(mountinfo: Path, home: Path, kind: str) -> None:
    """Nothing is created on FAT, exFAT, NTFS and the like; a workspace that is there already can be opened."""
    mountinfo.write_text(_line("/", kind))
    with raises(UnsupportedError, names=[kind, str(home / "ws")]) as caught:
        init_workspace(home / "ws")
    assert "artfs init DIR --default" in caught.value.hint
    assert os.listdir(home) == ["mountinfo"]
    refuse_unsafe_filesystem(home / "ws")


@pytest.mark.parametrize(
    ("number", "name", "opens"),
    [(0x4D44, "vfat", True), (0x2011BAB0, "exfat", True), (0x7366746E, "ntfs3", True), (0x6969, "nfs", False),
     (0xFF534D42, "cifs", False), (0x01021997, "9p", False), (0x65735546, "fuse", False), (0xEF53, "", True)],
)  # fmt: skip
def test_the_number_of_statfs_counts_as_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str, opens: bool
) -> None:
    """Whatever name the list of mounts has for it: a changed root may have another list, or none."""

    def statfs(path: bytes, answer: Any) -> int:
        answer._obj[0] = number
        return 0

    monkeypatch.setattr(locate, "_libc", SimpleNamespace(statfs=statfs))
    if not name:
        refuse_unsafe_filesystem(home / "ws", new=True)
        return
    with raises(UnsupportedError, names=[name, str(home / "ws")]):
        refuse_unsafe_filesystem(home / "ws", new=True)
    if opens:
        refuse_unsafe_filesystem(home / "ws")
    else:
        with raises(UnsupportedError, names=[name]):
            refuse_unsafe_filesystem(home / "ws")


def test_a_folder_that_is_made_meanwhile_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever another process makes it: before or after any question about it."""
    place = tmp_path / "place"
    questions = 0
    stat = os.stat

    def answer(path: Any, *args: Any, **options: Any) -> os.stat_result:
        nonlocal questions
        try:
            return stat(path, *args, **options)
        finally:
            if Path(path) == place:
                questions += 1
                place.mkdir(exist_ok=True)

    monkeypatch.setattr(os, "stat", answer)
    locate.refuse_non_folder(place)
    assert questions == 1
