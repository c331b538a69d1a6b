"""The policy for symlinks, as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import SourceError
from artstore.ingest.source import LinkEntry, Links, open_source
from artstore.ingest.source.links import LinkLoopError, Territory


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A source folder beside other folders, with links to come across on the way."""
    top = tmp_path / "top"
    (top / "sub/deep").mkdir(parents=True)
    (top / "file").write_bytes(b"x")
    (top / "sub/file").write_bytes(b"x")
    (tmp_path / "outside/dir").mkdir(parents=True)
    (tmp_path / "outside/file").write_bytes(b"x")
    links = {
        "top/in": "sub",
        "top/out": "../outside",
        "top/absolute-in": str(top / "sub"),
        "top/loop": "loop",
        "top/sub/up": "..",
        "top/sub/deep/round": "../../loop",
        "outside/back": "../top/sub",
        "outside/self": "self",
        "alias": "top",
        "top/ping": "sub/pong",
        "top/sub/pong": "../ping",
    }
    for path, text in links.items():
        (tmp_path / path).symlink_to(text)
    return top


@pytest.fixture
def keep(top: Path) -> Iterator[object]:
    """The decision for a link of a given text in a given subfolder."""
    root = os.open(top, os.O_RDONLY)
    status = os.fstat(root)
    territory = Territory(root, (status.st_dev, status.st_ino))

    def decide(folder: str, text: str) -> bytes | None:
        fd = os.open(top / folder, os.O_RDONLY)
        try:
            return territory.keep(fd, len(Path(folder).parts), text.replace("TOP", str(top)).encode())
        finally:
            os.close(fd)

    yield decide
    os.close(root)


_KEPT = [
    # folder of the link, its text, the text that is stored
    ("", "file", "file"),
    ("", "./sub//file", "./sub//file"),
    ("", ".", "."),
    ("", "sub/..", "sub/.."),
    ("", "loops-nowhere", "loops-nowhere"),
    ("", "missing/../file", "missing/../file"),
    ("", "file/x/../y", "file/x/../y"),
    ("", "in/file", "in/file"),
    ("", "in/deep/../up/file", "in/deep/../up/file"),
    ("", "absolute-in/file", "absolute-in/file"),
    ("sub", "..", ".."),
    ("sub", "../file", "../file"),
    ("sub/deep", "../../sub/up/in/deep", "../../sub/up/in/deep"),
    ("sub/deep", "../../missing", "../../missing"),
    ("", "TOP", "."),
    ("", "TOP/", "."),
    ("sub/deep", "TOP", "../.."),
    ("sub/deep", "TOP/file", "../../file"),
    ("sub", "TOP/./sub//file", "../sub/file"),
    ("sub", "TOP/missing", "../missing"),
    ("sub", "TOP/sub/../file", "../sub/../file"),
    ("sub", "TOP/../alias/file", None),  # arrives, leaves, and comes back: it left
    ("sub", "TOP/../top/file", None),
    ("sub", "/proc/self/root", None),
]

_FOLLOWED = [
    ("", "../outside/file"),
    ("", ".."),
    ("", "../top/file"),  # out and in again: it means nothing elsewhere
    ("", "sub/../../outside"),
    ("", "missing/../../x"),
    ("", "out"),
    ("", "out/file"),
    ("", "in/../out/file"),
    ("sub", "../../outside"),
    ("sub/deep", "../../out/dir"),
    ("", "/"),
    ("", "/nowhere/at/all"),
    ("", "/etc/passwd"),
]


@pytest.mark.parametrize(("folder", "text", "expected"), _KEPT)
def test_links_inside_are_kept(keep, folder: str, text: str, expected: str | None) -> None:
    """A link that stays inside at every step is kept, dangling or not; an absolute one as the equal relative one."""
    assert keep(folder, text) == (None if expected is None else expected.encode())


@pytest.mark.parametrize(("folder", "text"), _FOLLOWED)
def test_links_that_leave_are_followed(keep, folder: str, text: str) -> None:
    """A link that leaves the folder at any step, on its own or through a link on its way, is followed."""
    assert keep(folder, text) is None
    assert keep(folder, text) is None, "what was remembered does not change the answer"


def test_an_absolute_link_may_arrive_through_links_outside(keep, top: Path) -> None:
    """What matters is where an absolute link arrives, not how the way there is spelled."""
    outside = top.parent
    assert keep("sub", f"{outside}/alias/file") == b"../file"
    assert keep("sub", f"{outside}/alias") == b".."
    assert keep("", f"{outside}/outside/../alias/sub/file") == b"sub/file"
    assert keep("sub", f"{outside}/outside/back/file") == b"../sub/file"
    assert keep("", f"{outside}/outside/file") is None
    assert keep("", f"{outside}/outside/back") == b"sub", "a remembered folder may still hold a link inside"
    assert keep("", f"{outside}/alias") == b"."


@pytest.mark.parametrize("text", ["loop", "loop/x", "sub/deep/round", "ping", "TOP/loop"])
def test_loops_are_told(keep, text: str) -> None:
    """A way that never ends raises LinkLoopError."""
    with pytest.raises(LinkLoopError):
        keep("", text)


def test_a_kept_link_leads_to_the_same_place(keep, top: Path) -> None:
    """Read at the same place in a copy, a kept link leads to what the original led to in the source."""
    for folder, text, expected in _KEPT:
        if expected is None:
            continue
        original = os.path.realpath(os.path.join(top, folder, text.replace("TOP", str(top))))
        assert os.path.realpath(os.path.join(top, folder, expected)) == original


# -- what may become of links out of the folder ------------------------------------------------------------------------


OUTWARD = {
    b"absolute": "{outside}/file",
    b"relative": "../outside/file",
    b"folder": "../outside",
    b"chain": "absolute",
}
"""Links out of the folder by their names; the last one leads out through another."""


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outer")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "own").write_bytes(b"own")
    (folder / "inside").symlink_to("own")
    (folder / "back").symlink_to(folder / "own")
    for name, text in OUTWARD.items():
        os.symlink(os.fsencode(text.format(outside=tmp_path / "outside")), os.fsencode(folder) + b"/" + name)
    return folder


def test_links_that_are_followed_are_counted_and_named(farm: Path) -> None:
    with open_source(farm) as source:
        for _ in range(2):
            kept = {event.path for event in source.walk() if isinstance(event, LinkEntry)}
            assert kept == {b"inside", b"back"}
            assert (source.followed.count, sorted(source.followed.paths)) == (4, sorted(OUTWARD))


def test_links_that_are_kept_have_their_text(farm: Path) -> None:
    """As for tar and rsync -l: dangling ones and loops too; those that stay inside are as ever."""
    (farm / "dangling").symlink_to("/no/such/file")
    (farm / "loop").symlink_to("loop")
    expected = {name: os.readlink(os.fsencode(farm) + b"/" + name) for name in [*OUTWARD, b"dangling", b"loop"]}
    with open_source(farm, links=Links.KEEP) as source:
        links = {event.path: event.text for event in source.walk() if isinstance(event, LinkEntry)}
        assert links == {**expected, b"inside": b"own", b"back": b"own"}
        assert source.followed.count == 0


def test_links_that_are_refused_are_named(farm: Path) -> None:
    with open_source(farm, links=Links.REFUSE) as source, pytest.raises(SourceError) as refused:
        list(source.walk())
    assert sorted(refused.value.paths) == sorted(OUTWARD)
    for name in OUTWARD:
        os.unlink(os.fsencode(farm) + b"/" + name)
    with open_source(farm, links=Links.REFUSE) as source:
        assert len([event for event in source.walk() if isinstance(event, LinkEntry)]) == 2


def test_what_ignore_files_keep_out_is_counted(tmp_path: Path) -> None:
    """Globs that the user has just given are not; a folder that is not entered is one entry."""
    (tmp_path / "build").mkdir()
    for name in ("a.tmp", "b.tmp", "c.log", "kept", "build/x", "build/y"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".artfsignore").write_text("*.tmp\nbuild/\n")
    with open_source(tmp_path, exclude=["*.log"]) as source:
        list(source.walk())
        assert (source.ignored.count, source.ignored.paths) == (3, [b"a.tmp", b"b.tmp", b"build"])
