"""Working folders: in memory for frequent syncing, and on small disks that fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MIB = 1 << 20


def memory_folder() -> Path:
    """Return the folder for temporary files if it is in memory already, else the system's folder in memory."""
    memory, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())
    return temporary if temporary.is_relative_to(memory) else memory


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """Make a folder in memory for the block; without a file system in memory, use the folder ``otherwise``."""
    memory = memory_folder()
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2 << 30:
        yield otherwise
        return
    with tempfile.TemporaryDirectory(prefix="artfs-test-", dir=memory) as folder:
        yield Path(folder)


def cannot_mount() -> str:
    """Return why no file system can be mounted here; empty if one can."""
    if os.geteuid():
        return "mounting a small disk needs root"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, text=True)
        if tried.returncode:
            return f"mounting is not allowed here: {tried.stderr.strip()}"
        subprocess.run(["umount", folder], check=True)
    return ""


@contextmanager
def small_tmpfs(at: Path, size: int, *, inodes: int = 0) -> Iterator[Path]:
    """Mount a tmpfs of ``size`` bytes at a new folder for the block."""
    options = f"size={size},mode=0700" + (f",nr_inodes={inodes}" if inodes else "")
    with _mounted(["-t", "tmpfs", "-o", options, "none"], at):
        yield at


@contextmanager
def small_ext4(at: Path, size: int, image: Path, *, kind: str = "ext4", inodes: int = 0) -> Iterator[Path]:
    """Mount an ext4 (or ext2) of ``size`` bytes, in the file ``image``, at a new folder for the block."""
    with image.open("wb") as file:
        file.truncate(size)
    options = ["-N", str(inodes)] if inodes else []
    subprocess.run([f"mkfs.{kind}", "-q", "-F", "-m", "0", *options, str(image)], check=True, capture_output=True)
    with _mounted(["-o", "loop", str(image)], at):
        (at / "lost+found").rmdir()
        yield at
    image.unlink()


XFS_LEAST = 300 * MIB
"""Bytes of the smallest file system that mkfs.xfs makes."""


@contextmanager
def small_xfs(at: Path, image: Path) -> Iterator[Path]:
    """Mount an xfs of the smallest size, in the file ``image``, at a new folder for the block."""
    with image.open("wb") as file:
        file.truncate(XFS_LEAST)
    subprocess.run(["mkfs.xfs", "-q", "-f", str(image)], check=True, capture_output=True)
    with _mounted(["-o", "loop", str(image)], at):
        yield at
    image.unlink()


@contextmanager
def small_overlay(at: Path, size: int, image: Path) -> Iterator[Path]:
    """Mount an overlay whose upper folder is on an ext4 of ``size`` bytes at a new folder for the block."""
    with small_ext4(at.with_name(f"{at.name}-below"), size, image) as below:
        for name in ("lower", "upper", "work"):
            (below / name).mkdir()
        layers = f"lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work"
        with _mounted(["-t", "overlay", "-o", layers, "none"], at):
            yield at


@contextmanager
def small_vfat(at: Path, size: int, image: Path) -> Iterator[Path]:
    """Mount a FAT of ``size`` bytes, in the file ``image``, at a new folder for the block."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.vfat", str(image)], check=True, capture_output=True)
    with _mounted(["-o", "loop,umask=077", str(image)], at):
        yield at
    image.unlink()


@contextmanager
def small_disk(kind: str, folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of about ``size`` bytes for the block: ext4, ext2, xfs, tmpfs, overlay or vfat."""
    at, image = folder / "disk", folder / "image"
    if kind == "tmpfs":
        made = small_tmpfs(at, size)
    elif kind == "xfs":
        made = small_xfs(at, image)
    elif kind == "overlay":
        made = small_overlay(at, size, image)
    elif kind == "vfat":
        made = small_vfat(at, size, image)
    else:
        made = small_ext4(at, size, image, kind=kind)
    with made as disk:
        yield disk


def missing_for(kind: str) -> str:
    """Return why a disk of some kind cannot be made here; empty if it can."""
    command = {
        "ext4": "mkfs.ext4",
        "ext2": "mkfs.ext2",
        "xfs": "mkfs.xfs",
        "overlay": "mkfs.ext4",
        "vfat": "mkfs.vfat",
    }.get(kind)
    if command is not None and shutil.which(command, path="/usr/sbin:/sbin:" + os.environ["PATH"]) is None:
        return f"{command} is missing"
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return "" if kind in known else f"the kernel has no {kind}"


@contextmanager
def _mounted(arguments: list[str], at: Path) -> Iterator[None]:
    at.mkdir(parents=True)
    subprocess.run(["mount", *arguments, str(at)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
        at.rmdir()


def take_all(ballast: Path) -> None:
    """Grow a file until its disk has no block left."""
    with ballast.open("ab", buffering=0) as file:
        for size in (8 * MIB, 64 * 1024, 4096):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


@contextmanager
def filled(folder: Path, leave: int) -> Iterator[None]:
    """Fill the disk of ``folder`` for the block, except ``leave`` bytes."""
    ballast = folder / "ballast"
    try:
        take_all(ballast)
        os.truncate(ballast, max(0, ballast.stat().st_size - leave))
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Make the whole file system of a small disk read-only for the block; no process may have a file open to write."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=False, capture_output=True)


@contextmanager
def read_only_bind(folder: Path, at: Path) -> Iterator[Path]:
    """Show a folder of a writable file system read-only at a new folder for the block."""
    with _mounted(["--bind", str(folder)], at):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(at)], check=True, capture_output=True)
        yield at
