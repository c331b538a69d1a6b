"""System calls of every kind do on a mount what they do on any read-only file system, whatever carries the requests."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore.workspace import Workspace, init_workspace
from corpora.folders import text_bytes
from crash.places import quick_folder
from mount import libc
from mount.conftest import Mounts

SIZE = 3_000_003
DATA = random.Random(7).randbytes(SIZE)
CROWD = 100_000


@pytest.fixture(scope="module")
def put(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with ``data`` and ``crowd``, which all transports show."""
    folder = tmp_path_factory.mktemp("calls")
    source = folder / "source"
    (source / "folder").mkdir(parents=True)
    (source / "big").write_bytes(DATA)
    (source / "text").write_bytes(text_bytes(300_000, 3))
    (source / "empty").touch()
    (source / "folder" / "x").write_text("content")
    (source / "link").symlink_to("folder/x")
    shutil.copy(shutil.which("cat") or "", source / "cat")
    workspace = init_workspace(folder / "ws")
    workspace.put(source, "data")
    with quick_folder(folder) as quick:
        (quick / "crowd").mkdir()
        for number in range(CROWD):
            os.mknod(quick / "crowd" / f"{number * 7919 % CROWD:0{5 + number % 40}}")
        workspace.put(quick / "crowd", "crowd")
    return workspace


@pytest.fixture(scope="module")
def top(put: Workspace, tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Path]:
    """Return the mount."""
    mounts = Mounts(put.path, tmp_path_factory.mktemp("mounts"), transport)
    yield mounts(allow_other=True).directory
    mounts.end()


@pytest.fixture
def version(top: Path) -> Path:
    return top / "data" / "v0"


@pytest.fixture
def opened(version: Path) -> Iterator[int]:
    """Return the large file, open."""
    descriptor = os.open(version / "big", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == number


# -- reading -----------------------------------------------------------------------------------------------------------


def test_reads_past_the_cache(version: Path) -> None:
    """O_DIRECT: any length at any place, across the size of one request, and at the end."""
    descriptor = os.open(version / "big", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 1 << 21) as room:
            for offset in (0, 4096, 1 << 20, 123, SIZE - 5, SIZE, SIZE + 1):
                expected = DATA[offset : offset + (1 << 21)]
                found = b""
                while count := os.preadv(descriptor, [room], offset + len(found)):
                    found += room[:count]
                    if len(found) >= len(expected):
                        break
                assert found[: len(expected)] == expected
    finally:
        os.close(descriptor)


MAPPED = """
import mmap, os, random, sys
file, numbers = os.open(sys.argv[1], os.O_RDONLY), random.Random(8)
data = random.Random(7).randbytes(os.fstat(file).st_size)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
with mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapped:
    for _ in range(300):
        at = numbers.randrange(len(data))
        assert mapped[at : at + 300] == data[at : at + 300]
"""


def test_random_access_through_a_map(version: Path, elsewhere: Callable[..., object]) -> None:
    """In a process of its own, for an error would end it with SIGBUS."""
    elsewhere(MAPPED, version / "big")


def test_a_private_map_may_be_written_and_changes_nothing(opened: int) -> None:
    with mmap.mmap(opened, 8192, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[0] ^= 255
        assert os.pread(opened, 1, 0) == DATA[:1]
    fails(errno.EACCES, lambda: mmap.mmap(opened, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))


def test_running_a_binary(version: Path) -> None:
    """A program that the kernel maps and runs from the mount, as an interpreter of its own libraries."""
    done = subprocess.run([version / "cat", version / "folder/x"], capture_output=True, check=True)
    assert done.stdout == b"content"


def test_splice_out_of_it(opened: int) -> None:
    reading, writing = os.pipe()
    try:
        found = b""
        while len(found) < 400_000:
            count = os.splice(opened, writing, 60_000)
            found += os.read(reading, count)
        assert found == DATA[: len(found)]
    finally:
        os.close(reading)
        os.close(writing)


def test_copying_out_of_it(version: Path, opened: int, tmp_path: Path) -> None:
    """copy_file_range goes between file systems of one kind only; what copies with it goes on without it."""
    with (tmp_path / "copy").open("wb") as copy:
        fails(errno.EXDEV, lambda: os.copy_file_range(opened, copy.fileno(), 4096))
    shutil.copyfile(version / "big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA
    subprocess.run(["cp", version / "big", tmp_path / "other"], check=True)
    assert (tmp_path / "other").read_bytes() == DATA


def test_holes_and_data(opened: int) -> None:
    """Every file reports only data and no holes."""
    assert os.lseek(opened, 5, os.SEEK_DATA) == 5
    assert os.lseek(opened, 5, os.SEEK_HOLE) == SIZE
    fails(errno.ENXIO, lambda: os.lseek(opened, SIZE, os.SEEK_DATA))
    assert os.lseek(opened, -3, os.SEEK_END) == SIZE - 3


def test_what_is_known_of_a_file_that_is_not_read(version: Path) -> None:
    """O_PATH opens without reading, and its descriptor leads to the file."""
    place = os.open(version / "big", os.O_PATH)
    try:
        assert os.fstat(place).st_size == SIZE
        fails(errno.EBADF, lambda: os.read(place, 1))
        assert Path(f"/proc/self/fd/{place}").read_bytes() == DATA
    finally:
        os.close(place)


def test_a_file_by_its_handle(version: Path, top: Path) -> None:
    """As a server of NFS finds it again while the kernel knows it."""
    if os.geteuid():
        pytest.skip("opening by handle needs root")
    inside = os.open(top, os.O_RDONLY)
    try:
        with (version / "big").open("rb"):
            handle, _ = libc.handle_of(os.fsencode(version / "big"))
            descriptor = libc.open_handle(inside, handle)
            assert os.pread(descriptor, 100, 77) == DATA[77:177]
            os.close(descriptor)
    finally:
        os.close(inside)


# -- asking ------------------------------------------------------------------------------------------------------------


def test_extended_attributes_into_any_room(version: Path) -> None:
    """The size first, ERANGE if the buffer is too small, and values never overrun it; none is listed."""
    whole, file = os.fsencode(version), os.fsencode(version / "big")
    assert libc.getxattr(whole, b"user.artfs.digest", 0) == 64
    assert len(bytes(libc.getxattr(whole, b"user.artfs.digest", 64))) == 64
    for size in (1, 63):
        fails(errno.ERANGE, lambda size=size: libc.getxattr(whole, b"user.artfs.digest", size))
    for path in (whole, file, os.fsencode(version.parent)):
        assert libc.listxattr(path, 0) == 0 and libc.listxattr(path, 4096) == b""


@pytest.mark.parametrize(
    "name", ["security.capability", "security.selinux", "trusted.x", "system.posix_acl_access", "user.artfs.", "user.x"]
)
def test_attributes_that_nothing_has(version: Path, name: str) -> None:
    for path in (version, version / "big", version / "folder"):
        with pytest.raises(OSError) as caught:
            os.getxattr(path, name)
        assert caught.value.errno in (errno.ENODATA, errno.EOPNOTSUPP)


def test_rights(version: Path) -> None:
    """No user may write, not even root; only executable files may be run."""
    assert not os.access(version / "big", os.W_OK) and os.access(version / "big", os.R_OK)
    assert not os.access(version / "big", os.X_OK) and os.access(version / "cat", os.X_OK)
    with pytest.raises(PermissionError):
        subprocess.run([version / "text"], check=False)


def test_other_users_read_what_is_shown_to_them(top: Path, version: Path, elsewhere: Callable[..., object]) -> None:
    """With allow_other, and as far as the modes say; another user's process asks a daemon that is not its own."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    code = (
        "import os, sys\n"
        "folder = os.open(sys.argv[1], os.O_RDONLY)\n"  # the way to it is root's
        "os.setresgid(64321, 64321, 64321); os.setresuid(64321, 64321, 64321)\n"
        "assert len(os.listdir(folder)) == 6\n"
        "assert len(os.read(os.open('text', os.O_RDONLY, dir_fd=folder), 400000)) == 300000\n"
        "assert os.stat('big', dir_fd=folder).st_uid == 0\n"
        "try:\n    os.open('text', os.O_RDWR, dir_fd=folder)\nexcept OSError as error:\n    print(error.errno)"
    )
    done = subprocess.run([sys.executable, "-c", code, version], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) in ((f"{errno.EROFS}\n", ""), (f"{errno.EACCES}\n", ""))


def test_what_df_shows(put: Workspace, version: Path) -> None:
    """The workspace's bytes are what is used, and the disk's room is what is free."""
    shown, disk = os.statvfs(version), os.statvfs(put.path)
    used = (shown.f_blocks - shown.f_bfree) * shown.f_frsize
    assert 0 <= used - put.usage().stored_bytes < shown.f_frsize
    assert shown.f_bavail == shown.f_bfree and shown.f_namemax == 255
    assert abs(shown.f_bavail * shown.f_frsize - disk.f_bavail * disk.f_frsize) < 4 << 30  # others write to it too
    assert shown.f_flag & os.ST_RDONLY and shown.f_flag & os.ST_NOSUID


def test_statx(version: Path) -> None:
    """statx returns every field except the birth time."""
    done = subprocess.run(["stat", "-c", "%W %s %h %a %F", version / "big"], capture_output=True, text=True, check=True)
    assert done.stdout == f"0 {SIZE} 1 644 regular file\n"


def test_controls_that_it_does_not_have(version: Path, opened: int) -> None:
    for descriptor in (opened, folder := os.open(version, os.O_RDONLY)):
        fails(errno.ENOTTY, lambda descriptor=descriptor: fcntl.ioctl(descriptor, libc.FS_IOC_GETFLAGS, bytes(8)))
        fails(errno.ENOTTY, lambda descriptor=descriptor: fcntl.ioctl(descriptor, 0x1234, bytes(8)))
        os.fsync(descriptor)
    os.close(folder)
    fails(errno.EBADF, lambda: os.posix_fallocate(opened, 0, 10))
    fails(errno.EINVAL, lambda: os.ftruncate(opened, 0))


def test_waiting_for_a_file(opened: int) -> None:
    """A file is always ready, at once."""
    waiting = select.poll()
    waiting.register(opened, select.POLLIN)
    assert waiting.poll(20_000) == [(opened, select.POLLIN)]


def test_locks(version: Path, opened: int) -> None:
    """Locks are the kernel's own, between all processes of the machine."""
    other = os.open(version / "big", os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        fails(errno.EAGAIN, lambda: fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB))
        fcntl.flock(opened, fcntl.LOCK_UN)
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fails(errno.EBADF, lambda: fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB))
    finally:
        os.close(other)


def test_watching_a_file(version: Path) -> None:
    watching = libc.inotify(os.fsencode(version / "folder/x"), libc.IN_OPEN | libc.IN_ACCESS | libc.IN_CLOSE_NOWRITE)
    try:
        (version / "folder" / "x").read_bytes()
        events = os.read(watching, 4096)
        masks = [struct.unpack_from("=iIII", events, at)[1] for at in range(0, len(events), 16)]
        assert masks == [libc.IN_OPEN, libc.IN_ACCESS, libc.IN_CLOSE_NOWRITE]
    finally:
        os.close(watching)


def test_ways_of_opening(version: Path) -> None:
    """What creates or changes is refused as on any read-only file system; what only reads is let through."""
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_TRUNC):
        fails(errno.EROFS, lambda flags=flags: os.open(version / "big", flags))
    fails(errno.EROFS, lambda: os.open(version, os.O_TMPFILE | os.O_RDWR))
    fails(errno.EEXIST, lambda: os.open(version / "big", os.O_CREAT | os.O_EXCL))
    fails(errno.EROFS, lambda: os.open(version / "new", os.O_CREAT))
    fails(errno.ENOTDIR, lambda: os.open(version / "big", os.O_DIRECTORY))
    fails(errno.ELOOP, lambda: os.open(version / "link", os.O_NOFOLLOW))
    for flags in (os.O_CREAT, os.O_NOATIME, os.O_NONBLOCK, os.O_SYNC):
        os.close(os.open(version / "big", flags))
    folder = os.open(version, os.O_RDONLY)
    fails(errno.EISDIR, lambda: os.read(folder, 10))
    os.close(folder)


def test_the_way_up(version: Path, top: Path) -> None:
    """``..`` leads out of a version and out of the mount, by name and by descriptor."""
    folder = os.open(version / "folder", os.O_RDONLY)
    try:
        for steps, place in enumerate([version, version.parent, top, top.parent], 1):
            assert os.path.samestat(os.stat("/".join([".."] * steps), dir_fd=folder), place.stat())
    finally:
        os.close(folder)


# -- listing -----------------------------------------------------------------------------------------------------------


def listed(descriptor: int, size: int) -> list[bytes]:
    """Return the names that are left to read in a folder of files, with room for ``size`` bytes at a time."""
    names: list[bytes] = []
    while entries := libc.getdents(descriptor, size):
        assert all(kind == (libc.DT_DIR if name in (b".", b"..") else libc.DT_REG) for name, _, kind in entries)
        names += [name for name, _, _ in entries]
    return names


def crowd() -> list[bytes]:
    return sorted([b".", b"..", *(b"%0*d" % (5 + number % 40, number * 7919 % CROWD) for number in range(CROWD))])


def test_a_large_folder_through_a_small_buffer(top: Path) -> None:
    """Each entry once, read with room for a few entries at a time, and again from the kernel's cache."""
    descriptor = os.open(top / "crowd" / "v0", os.O_RDONLY)
    try:
        first = listed(descriptor, 400)
        assert sorted(first) == crowd()
        os.lseek(descriptor, 0, os.SEEK_SET)
        assert listed(descriptor, 32768) == first
    finally:
        os.close(descriptor)


def test_two_readers_of_one_folder(top: Path) -> None:
    """Each has its own place, also while the folder is being read into the cache; a copy of a descriptor shares it."""
    one, other = (os.open(top / "crowd" / "v0", os.O_RDONLY) for _ in range(2))
    try:
        names: dict[int, list[bytes]] = {one: [], other: []}
        for turn in range(400):
            names[one] += [name for name, _, _ in libc.getdents(one, 4096)]
            if turn % 3 == 0:
                names[other] += [name for name, _, _ in libc.getdents(other, 1000)]
        for descriptor in (one, other):
            names[descriptor] += listed(descriptor, 32768)
        assert names[one] == names[other] and sorted(names[one]) == crowd()
        os.lseek(one, 0, os.SEEK_SET)
        shared = os.dup(one)
        half = [name for _ in range(200) for name, _, _ in libc.getdents(shared, 4096)]
        os.close(shared)
        assert half + listed(one, 32768) == names[other]
    finally:
        os.close(one)
        os.close(other)


def test_a_folder_larger_than_any_answer_looked_at_in_the_middle(top: Path) -> None:
    """Names of a large folder are found without listing it, present and absent."""
    folder = top / "crowd" / "v0"
    for number in random.Random(9).sample(range(CROWD), 300):
        name = f"{number * 7919 % CROWD:0{5 + number % 40}}"
        assert (folder / name).stat().st_size == 0
        assert not (folder / f"{name}x").exists()
