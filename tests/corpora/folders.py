"""Folders that are awkward to store, made from nothing and the same on every run, and what must come out of them.

A generator fills an empty folder; `content_of` reads it back into plain values without the code under test, so that a
version can be compared with it.  Nothing here needs rights that an ordinary user lacks.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

KIB = 1024
MIB = 1024 * KIB

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Entry(NamedTuple):
    """What is at a path: ``text`` is a link's, ``id`` the hex BLAKE3 of a file's content."""

    kind: str
    executable: bool = False
    size: int = 0
    id: str = ""
    text: bytes = b""


Content = dict[bytes, Entry]
"""Everything below a folder by its path; directories too."""

DIRECTORY = Entry("directory")


def random_bytes(size: int, seed: int) -> bytes:
    """Return bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def text_bytes(size: int, seed: int) -> bytes:
    """Return bytes that compress well and repeat nowhere."""
    lines = b"".join(b'{"seed": %d, "row": %d, "label": "cat"}\n' % (seed, row) for row in range(size // 30 + 1))
    return lines[:size]


def entry_of(data: bytes, *, executable: bool = False) -> Entry:
    """Return the entry of a file with this content."""
    return Entry("file", executable, len(data), blake3(data).hexdigest())


# -- generators ----------------------------------------------------------------------------------------------------


def sizes(folder: Path) -> None:
    """Fill with files of every size at which the code takes another way: chunk limits, whole or windowed reading."""
    edges = [0, 1, 2, 63, 64, 65, 4096, 64 * KIB, 256 * KIB, MIB, 2 * MIB, 8 * MIB]
    wanted = sorted({max(0, edge + step) for edge in edges for step in (-1, 0, 1)})
    for number, size in enumerate(wanted):
        (folder / f"random-{size:08d}").write_bytes(random_bytes(size, number))
        if size <= 2 * MIB + 1:
            (folder / f"text-{size:08d}").write_bytes(text_bytes(size, number))
            (folder / f"zeros-{size:08d}").write_bytes(bytes(size))
    (folder / "random-several").write_bytes(random_bytes(9 * MIB + 12345, 77))
    (folder / "text-several").write_bytes(text_bytes(11 * MIB, 78))


def sparse(folder: Path) -> None:
    """Fill with files that are mostly or only holes."""
    for name, size, pieces in (
        ("only-a-hole", 3 * MIB, ()),
        ("small-hole", 40 * KIB, ()),
        ("hole-then-data", 5 * MIB, (5 * MIB - 10,)),
        ("data-then-hole", 5 * MIB, (0,)),
        ("islands", 20 * MIB, (0, 3 * MIB + 7, 8 * MIB - 50, 17 * MIB)),
    ):
        with (folder / name).open("wb") as file:
            for piece in pieces:
                file.seek(piece)
                file.write(random_bytes(100, piece)[: size - piece])
            file.truncate(size)


def crowd(folder: Path, count: int = 20_000) -> None:
    """Fill with very many small files in one folder, some of them alike."""
    fd = os.open(folder, _OPEN_DIRECTORY)
    try:
        for number in range(count):
            _write_at(fd, b"%x-%d" % (number * 2654435761 % 2**32, number), b"content %d" % (number % (count // 2 + 1)))
    finally:
        os.close(fd)


def deep(folder: Path, depth: int = 200, name: bytes = b"down") -> None:
    """Make folders in folders, with a file at every tenth step; the path may be longer than PATH_MAX."""
    fd = os.open(folder, _OPEN_DIRECTORY)
    for level in range(depth):
        if level % 10 == 0:
            _write_at(fd, b"level", b"%d" % level)
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    _write_at(fd, b"bottom", b"reached")
    os.close(fd)


def names(folder: Path) -> None:
    """Fill with names that programs trip over, as files, folders and link texts."""
    awkward = [
        *(b" ", b"  two  ", b"a b", b"new\nline", b"tab\there", b"-rf", b"--", b"*", b"?[x]", b"~", b"$HOME", b"a\\b"),
        *(
            b"quote'\"",
            b"\xff\xfe not utf-8",
            b"\xc3\x28",
            b"caf\xc3\xa9",
            b"cafe\xcc\x81",
            b"\xf0\x9f\x90\x88",
            b"...",
        ),
        *(b".hidden", b"v3", b"latest", b"CON", b"a:b", b"a@b#c%d", b"x" * 255, b"\xe2\x82\xac" * 85, b"\x01\x7f"),
    ]
    fd = os.open(folder, _OPEN_DIRECTORY)
    try:
        for number, name in enumerate(awkward):
            _write_at(fd, name, b"content %d" % number)
            directory = b"d" + name[:254]
            os.mkdir(directory, dir_fd=fd)
            below = os.open(directory, _OPEN_DIRECTORY, dir_fd=fd)
            _write_at(below, name, b"below %d" % number)
            os.close(below)
            os.symlink(name, b"l" + name[:254], dir_fd=fd)
    finally:
        os.close(fd)


def modes(folder: Path) -> None:
    """Fill with files of many modes; only the owner's executable bit is kept, setuid and its kin are dropped."""
    for mode in (0o400, 0o444, 0o600, 0o644, 0o666, 0o700, 0o755, 0o610, 0o601, 0o677, 0o4755, 0o2755, 0o1755, 0o6711):
        path = folder / f"mode-{mode:04o}"
        path.write_bytes(b"the same in all of them")
        path.chmod(mode)
    (folder / "sticky").mkdir()
    (folder / "sticky").chmod(0o1777)
    (folder / "setgid").mkdir()
    (folder / "setgid").chmod(0o2755)


def links(folder: Path) -> None:
    """Fill with symlinks that stay inside, absolute ones too, and one that dangles inside."""
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").write_bytes(b"in a")
    (folder / "a" / "b" / "file").write_bytes(b"in b")
    for name, text in (
        ("to-file", "a/file"),
        ("to-folder", "a/b"),
        ("a/b/up", "../file"),
        ("a/b/round", "../../a/./b//file"),
        ("a/b/top", "../.."),
        ("to-link", "to-file"),
        ("dangling", "a/nothing/at/all"),
        ("absolute", str(folder / "a" / "b" / "file")),
        ("a/b/absolute", str(folder / "a")),
    ):
        (folder / name).symlink_to(text)


LINKS_KEPT: Mapping[bytes, bytes] = {
    b"to-file": b"a/file",
    b"to-folder": b"a/b",
    b"a/b/up": b"../file",
    b"a/b/round": b"../../a/./b//file",
    b"a/b/top": b"../..",
    b"to-link": b"to-file",
    b"dangling": b"a/nothing/at/all",
    b"absolute": b"a/b/file",
    b"a/b/absolute": b"../../a",
}
"""The texts that the links of `links` have in a version."""


def links_out(folder: Path) -> None:
    """Fill with symlinks out of the folder, to a file and to a folder beside it: they are followed."""
    outside = folder.with_name(folder.name + "-outside")
    (outside / "below").mkdir(parents=True)
    (outside / "file").write_bytes(random_bytes(100_000, 5))
    (outside / "run").write_bytes(b"#!/bin/sh\n")
    (outside / "run").chmod(0o755)
    (outside / "below" / "deeper").write_bytes(b"deeper")
    (outside / "below" / "inner").symlink_to("deeper")
    (folder / "file").symlink_to(outside / "file")
    (folder / "run").symlink_to(outside / "run")
    (folder / "folder").symlink_to(outside)
    (folder / "relative").symlink_to(f"../{outside.name}/below")
    (folder / "again").mkdir()
    (folder / "again" / "folder").symlink_to(outside / "below")


LINKS_OUT_KEPT: Mapping[bytes, bytes] = {
    b"folder/below/inner": b"deeper",
    b"relative/inner": b"deeper",
    b"again/folder/inner": b"deeper",
}
"""The links that stay inside the folders which the links of `links_out` lead to."""


def empty_folders(folder: Path) -> None:
    """Fill with folders that hold nothing, or nothing but such folders."""
    for path in ("a", "b/c/d", "b/e", "z"):
        (folder / path).mkdir(parents=True)


def hard_links(folder: Path) -> None:
    """Fill with several names of one file; they become files with the same content."""
    (folder / "below").mkdir()
    (folder / "first").write_bytes(random_bytes(200_000, 9))
    os.link(folder / "first", folder / "second")
    os.link(folder / "first", folder / "below" / "third")


def one_file(folder: Path) -> None:
    """Fill with a single file."""
    (folder / "only").write_bytes(text_bytes(1000, 1))


def nothing(folder: Path) -> None:
    """Leave the folder empty."""


def alike(folder: Path) -> None:
    """Fill with large files that share most of their content at shifted offsets, and one that is all repetition."""
    data = random_bytes(4 * MIB, 21)
    (folder / "original").write_bytes(data)
    (folder / "shifted").write_bytes(b"inserted" + data)
    (folder / "cut").write_bytes(data[: 2 * MIB] + data[2 * MIB + 1000 :])
    (folder / "repeated").write_bytes(data[:MIB] * 9)
    (folder / "zeros").write_bytes(bytes(9 * MIB))


GENERATORS: Mapping[str, Callable[[Path], None]] = {
    maker.__name__: maker
    for maker in (
        sizes,
        sparse,
        deep,
        names,
        modes,
        links,
        links_out,
        empty_folders,
        hard_links,
        one_file,
        nothing,
        alike,
    )
}
"""The generators that need no argument, by name."""

KEPT: Mapping[str, Mapping[bytes, bytes]] = {"links": LINKS_KEPT, "links_out": LINKS_OUT_KEPT}
"""The link texts that must come out, by generator, where they are not those in the folder."""


def small(folder: Path, seed: int, files: int = 60) -> None:
    """Fill with a small ordinary data set: folders, text, some random bytes, one file of several chunks, a link."""
    chance = random.Random(seed)
    for number in range(files):
        below = folder / f"class-{number % 4}"
        below.mkdir(exist_ok=True)
        size = chance.choice((0, 20, 300, 3000, 20_000))
        data = text_bytes(size, seed + number) if number % 2 else random_bytes(size, seed * 1000 + number)
        (below / f"item-{number:04d}").write_bytes(data)
    (folder / "weights").write_bytes(random_bytes(1_500_000, seed))
    (folder / "first").symlink_to("class-0/item-0000")
    (folder / "empty").mkdir()


def change_some(folder: Path, seed: int) -> None:
    """Change a folder made by `small`: some files again, one gone, a byte inserted early in the large one."""
    for number in range(0, 20, 5):
        path = folder / f"class-{number % 4}" / f"item-{number:04d}"
        path.write_bytes(random_bytes(4000, seed * 31 + number))
    (folder / "class-1" / f"added-{seed}").write_bytes(text_bytes(5000, seed))
    gone = sorted((folder / "class-3").iterdir())[0]
    gone.unlink()
    weights = folder / "weights"
    weights.write_bytes(b"%d" % seed + weights.read_bytes())


# -- reading a folder ----------------------------------------------------------------------------------------------


def _write_at(fd: int, name: bytes, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644, dir_fd=fd)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def content_of(folder: Path | bytes, kept: Mapping[bytes, bytes] | None = None) -> Content:
    """Read a folder: what a version of it must hold.

    Without ``kept`` every symlink is expected to stay as it is; with it, those that it names, with the text that it
    gives, while others are followed.
    """
    found: Content = {}
    stack = [(os.open(folder, _OPEN_DIRECTORY), b"")]
    while stack:
        fd, above = stack.pop()
        for name in map(os.fsencode, os.listdir(fd)):
            path = above + name
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode) and (kept is None or path in kept):
                text = os.readlink(name, dir_fd=fd) if kept is None else kept[path]
                found[path] = Entry("link", size=len(text), text=text)
                continue
            status = os.stat(name, dir_fd=fd)
            if stat.S_ISDIR(status.st_mode):
                found[path] = DIRECTORY
                stack.append((os.open(name, _OPEN_DIRECTORY, dir_fd=fd), path + b"/"))
            else:
                found[path] = _file_entry(fd, name, status)
        os.close(fd)
    return found


def content_of_file(path: Path) -> Content:
    """Return what a version of a single file must hold."""
    return {os.fsencode(path.name): entry_of(path.read_bytes(), executable=bool(path.stat().st_mode & stat.S_IXUSR))}


def _file_entry(fd: int, name: bytes, status: os.stat_result) -> Entry:
    digest, size = blake3(), 0
    with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd), "rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
            size += len(piece)
    return Entry("file", bool(status.st_mode & stat.S_IXUSR), size, digest.hexdigest())
