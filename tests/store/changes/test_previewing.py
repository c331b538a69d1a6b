"""What a dry run of a put says is what the put then does; a folder of the disk is compared as if it were put."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import ArtfsError, InvalidInputError, NotFoundError, RefusedError, SourceError
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound

_SEEDS = 12
_STEPS = 6


def edit(folder: Path, random_: random.Random) -> None:
    """Change a folder in a few random ways: content, names, kinds, bits, times, links, and large files."""
    for _ in range(random_.randrange(5)):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        chosen = random_.choice(files) if files else None
        match random_.randrange(8):
            case 0 | 1:
                above = folder / random_.choice(["", "a", "a/b", "c"])
                if any(part.is_file() for part in (above, above.parent) if part != folder):
                    continue
                above.mkdir(parents=True, exist_ok=True)
                size = random_.choice([0, 10, 5_000, 300_000, 9_000_000])
                (above / f"f{random_.randrange(6)}").write_bytes(random_.randbytes(min(size, 200)) * (size // 200 + 1))
            case 2 if chosen:
                with chosen.open("r+b") as file:
                    file.seek(random_.randrange(chosen.stat().st_size + 1))
                    file.write(random_.randbytes(3))
            case 3 if chosen:
                chosen.unlink()
            case 4 if chosen:
                chosen.rename(chosen.with_name(f"f{random_.randrange(6)}"))
            case 5 if chosen:
                chosen.chmod(random_.choice([0o644, 0o755, 0o600]))
            case 6:
                (folder / f"link{random_.randrange(3)}").unlink(missing_ok=True)
                (folder / f"link{random_.randrange(3)}").unlink(missing_ok=True)
                link = folder / f"link{random_.randrange(3)}"
                if not link.is_symlink():
                    link.symlink_to(random_.choice(["f0", "a/f1"]))
            case 7 if (folder / "a").is_dir():
                shutil.rmtree(folder / "a")
                if random_.random() < 0.5:
                    (folder / "a").write_bytes(b"a file now")


def stored(workspace: Workspace) -> dict[str, tuple[int, bytes]]:
    """Return all that a workspace holds, but for its locks and LMDB's, by path."""
    files = (path for path in workspace.path.rglob("*") if path.is_file())
    kept = (path for path in files if "lock" not in path.name and "run" not in path.parts)
    return {str(path): (path.stat().st_size, path.read_bytes()) for path in kept if path.suffix != ".new"}


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_a_preview_is_what_the_put_then_does(workspace: Workspace, quick_dir: Path, seed: int) -> None:
    """Version, differences and bytes are those of the put; the preview and the comparison change nothing."""
    random_ = random.Random(seed)
    folder = quick_dir / "folder"
    folder.mkdir()
    for step in range(_STEPS):
        if folder.is_dir():
            edit(folder, random_)
        options: dict[str, Any] = {}
        if step and random_.random() < 0.3:
            options = {"metadata": {"step": step}}
        if random_.random() < 0.2:
            options["exclude"] = ["f1"]
        before = stored(workspace)
        preview = workspace.preview(folder, "x", **options)
        from_latest = list(workspace.diff("x", folder)) if step else None
        assert stored(workspace) == before
        latest = workspace.version("x").number if step else None
        assert preview.latest == latest
        made = workspace.put(folder, "x", **options)
        assert made.receipt is not None
        assert (preview.artifact, preview.number, preview.digest) == ("x", made.number, made.digest)
        assert (preview.files, preview.bytes, preview.receipt) == (made.file_count, made.size, made.receipt)
        if latest is not None:
            assert list(preview.difference) == list(workspace.diff(f"x:v{latest}", made.name))
            assert from_latest is not None
            if "exclude" not in options:
                assert from_latest == list(preview.difference)
                assert list(workspace.diff(made.name, folder)) == list(workspace.diff(folder, made.name)) == []
    assert_sound(workspace)


def test_a_base_is_laid_below(workspace: Workspace, tmp_path: Path) -> None:
    """What the base has and the folder lacks stays; what matches --remove is shown as removed."""
    folder = tmp_path / "folder"
    (folder / "keep").mkdir(parents=True)
    for name in ("keep/a", "b.tmp", "c"):
        (folder / name).write_text(name)
    workspace.put(folder, "x")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "c").write_text("changed")
    (folder / "d").write_text("new")
    preview = workspace.preview(folder, "x", base="latest", remove=["*.tmp"])
    assert [(change.kind, change.path) for change in preview.difference] == [
        ("removed", "b.tmp"),
        ("changed", "c"),
        ("added", "d"),
    ]
    made = workspace.put(folder, "x", base="latest", remove=["*.tmp"])
    assert preview.number == made.number and list(preview.difference) == list(workspace.diff("x:v0", "x:v1"))


def test_two_folders_and_parts_of_versions(workspace: Workspace, tmp_path: Path) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text(text)
        (tmp_path / name / ".artfsignore").write_text("*.log\n")
        (tmp_path / name / f"{name}.log").write_text("left out")
    workspace.put(tmp_path / "one", "x")
    (change,) = workspace.diff(tmp_path / "one", tmp_path / "two")
    assert (change.kind, change.path) == ("changed", "sub/file")
    assert list(workspace.diff("x:v0/sub", tmp_path / "one" / "sub")) == []
    (change,) = workspace.diff(str(tmp_path / "two" / "sub"), "x:v0/sub")
    assert (change.kind, change.path) == ("changed", "file")


def test_unchanged_files_are_not_read(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of the last put answers for files that it knows, in a preview and in a comparison."""
    from artstore.ingest import statcache
    from artstore.ingest.source.entries import DirectoryHandle

    monkeypatch.setattr(statcache, "MARGIN_NS", 0)
    monkeypatch.setattr(statcache, "UNTRUSTED_FILE_SYSTEMS", frozenset())
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20):
        (folder / f"f{number}").write_text(str(number))
    os.utime(folder / "f3", (1, 1))
    workspace.put(folder, "x")
    (folder / "f7").write_text("changed, and longer")
    opened: list[bytes] = []
    really: Callable[..., int] = DirectoryHandle.open_file

    def open_file(self: DirectoryHandle, name: bytes, **options: Any) -> int:
        opened.append(name)
        return really(self, name, **options)

    monkeypatch.setattr(DirectoryHandle, "open_file", open_file)
    assert [change.path for change in workspace.diff("x", folder)] == ["f7"]
    assert [change.path for change in workspace.preview(folder, "x").difference] == ["f7"]
    assert opened == [b"f7", b"f7"]


BAD: list[tuple[str, dict[str, Any], type[ArtfsError], str]] = [
    ("a project", {"name": "team"}, InvalidInputError, "'team'"),
    ("below an artifact", {"name": "x/y"}, InvalidInputError, "'x/y'"),
    ("another type", {"type": "model"}, RefusedError, "'dataset'"),
    ("no such base", {"base": "v9"}, NotFoundError, "x:v9"),
    ("remove without base", {"remove": ["*"]}, InvalidInputError, "--base"),
    ("links", {"links": "no"}, InvalidInputError, "no"),
    ("a protected alias", {"aliases": ["stable"]}, RefusedError, "'stable'"),
    ("nothing there", {"path": "none"}, NotFoundError, "none"),
]


@pytest.mark.parametrize(("given", "error", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_preview_refuses_what_the_put_would(
    workspace: Workspace, tmp_path: Path, given: dict[str, Any], error: type[ArtfsError], words: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("1")
    workspace.put(folder, "x", type="dataset", aliases=["stable"])
    workspace.put(folder, "team/y")
    workspace.configure(protected_aliases=["stable"])
    (folder / "file").write_text("2")
    options = {"path": folder, "name": "x", **given}
    if given.get("path"):
        options["path"] = tmp_path / given["path"]
    sentences = []
    for call in (workspace.preview, workspace.put):
        with raises(error, names=[words]) as caught:
            call(**options)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1] and workspace.version("x").name == "x:v0"


def test_what_cannot_be_stored_is_named(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    workspace.put(folder, "x")
    os.mkfifo(folder / "pipe")
    for call in (lambda: workspace.preview(folder, "x"), lambda: workspace.diff("x", folder)):
        with raises(SourceError, names=["pipe"]):
            call()
    with raises(NotFoundError, names=["nowhere"]):
        workspace.diff("x", "./nowhere")
    with raises(RefusedError, names=[str(workspace.path)]):
        workspace.diff("x", workspace.path.parent)
