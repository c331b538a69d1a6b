"""The check of a remote finds each wrong byte, and names what is lost with it and nothing else; nothing is written."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore import creating
from artstore.checking.report import Progress
from artstore.creating import create_workspace
from artstore.errors import NotFoundError, UnsupportedError
from artstore.objects import probing
from artstore.objects.folders import Folder
from artstore.remotes import adding, pushing
from artstore.remotes.connecting import choose, connect
from artstore.remotes.identity import IDENTITY
from artstore.remotes.log.state import SAVED_EVERY
from artstore.remotes.packs.located import Below
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import TREES, Pack, parse_object_name
from artstore.storage import reserve
from artstore.workspace import Workspace
from store.remotes.test_pushing import condemn

NEWEST = SAVED_EVERY + 2


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Path]]:
    """A workspace and the folder that is its remote: many versions of one artifact, two of another, in many objects."""
    chance, path = random.Random(6), tmp_path_factory.mktemp("checked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))
        for module in (creating, reserve):
            patch.setattr(module, "RESERVE", 4096)
        patch.setattr(pushing, "PackOutput", partial(PackOutput, data_target=400_000))
        workspace = Workspace(create_workspace(path / "ws"))
        (path / "bucket").mkdir()
        workspace.remotes.add("origin", (path / "bucket").as_uri())
        source = path / "large"
        (source / "deep/er").mkdir(parents=True)
        (source / "big").write_bytes(chance.randbytes(5_000_000))
        for number in range(40):
            (source / f"deep/er/{number}").write_bytes(chance.randbytes(20_000))
        workspace.put(source, "large", description="the first", metadata={"k": 1})
        (source / "deep/more").write_bytes(b"more")
        workspace.put(source, "large")
        for number in range(SAVED_EVERY):
            workspace.put(path / "large/deep/more", "many", new=True, description=str(number))
        workspace.remotes.push(every=True)
    yield workspace, path / "bucket"
    workspace.close()


@pytest.fixture
def bucket(pushed: tuple[Workspace, Path], tmp_path: Path) -> Iterator[Path]:
    """The folder of the remote, which is as it was again after the test."""
    _, folder = pushed
    shutil.copytree(folder, tmp_path / "copy")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)


def objects(bucket: Path) -> list[str]:
    return sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())


def needing(workspace: Workspace, name: str) -> tuple[set[str], set[str]]:
    """Return the files whose chunks an object has, each in the newest version, and the versions that have them."""
    pack, remote = parse_object_name(name), connect(workspace.store, *choose(workspace.store, None))
    files: dict[tuple[bytes, bytes], str] = {}
    versions = set()
    for row in sorted(remote.state.versions.values(), key=lambda row: (row.artifact, -row.number)):
        tree, title = remote.tree(row), remote.state.title(row.artifact, row.number)
        for path, entry in tree.walk():
            if not isinstance(entry.content, Below) and pack in tree.packs(entry.content, entry.size, path):
                files.setdefault((row.artifact, path), f"{title}/{path.decode()}")
                versions.add(title)
    return set(files.values()), versions


def test_a_sound_remote_is_clean(pushed: tuple[Workspace, Path]) -> None:
    """Also one that is read-only and that nothing was pulled from; nothing is written, and each object is read once."""
    workspace, folder = pushed
    before = {name: (folder / name).stat().st_mtime_ns for name in objects(folder)}
    report = workspace.remotes.fsck()
    assert report.clean and not report.notes, (report.problems, report.notes)
    assert report.counted["versions"] == NEWEST and report.counted["entries"] == NEWEST
    assert report.counted["checkpoints"] == 1
    asked: list[str] = []
    read = Folder.read

    def counted(self: Folder, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        asked.append(name)
        return read(self, name, start, length, fresh=fresh)

    seen: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "read", counted)
        report = workspace.remotes.fsck("origin", data=True, progress=seen.append)
    assert report.clean and not report.notes
    assert report.counted["data_bytes"] > 5_000_000
    data = [name for name in asked if name.startswith("d/")]
    assert len(data) == len(set(data)) == len([name for name in objects(folder) if name.startswith("d/")]) > 5
    assert [each.done for each in seen] == sorted(each.done for each in seen) and seen[-1].done == seen[-1].total
    assert before == {name: (folder / name).stat().st_mtime_ns for name in objects(folder)}


def test_each_wrong_byte_is_found(pushed: tuple[Workspace, Path], bucket: Path) -> None:
    """One byte of each object in turn, of the log a sample with its ends: what is wrong is named."""
    workspace, chance = pushed[0], random.Random(3)
    names = [name for name in objects(bucket) if name != IDENTITY]
    log = [name for name in names if name.startswith("log/")]
    packs = [name for name in names if name[0] in "dt"]
    for name in {
        *log[:1],
        *log[-1:],
        *chance.sample(log, 3),
        *chance.sample(packs, 12),
        *set(names) - set(log) - set(packs),
    }:
        body = (bucket / name).read_bytes()
        at = chance.randrange(len(body))
        (bucket / name).write_bytes(body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :])
        report = workspace.remotes.fsck(data=True)
        assert not report.clean, (name, at)
        said = " ".join(problem.message for problem in report.problems)
        named = f"entry {int(name[4:])}" if name in log[:-1] else name
        assert named in said or (name in log and "log" in said), (name, at, said)
        (bucket / name).write_bytes(body)
    assert workspace.remotes.fsck(data=True).clean


@pytest.mark.parametrize("data", [False, True])
def test_each_missing_object_is_found(pushed: tuple[Workspace, Path], bucket: Path, data: bool) -> None:
    """What needs it is named: exactly the files with chunks in it, and the versions that use it."""
    workspace, chance = pushed[0], random.Random(4)
    names = [name for name in objects(bucket) if name not in (IDENTITY, "state/hint")]
    log = [name for name in names if name.startswith("log/")]
    packs = [name for name in names if name[0] == "d"]
    small = [name for name in names if name[0] == "t"]
    for name in [log[0], log[40], log[-1], *chance.sample(packs, 4), *chance.sample(small, 3)]:
        wanted = needing(workspace, name) if name in packs else (set(), set())
        (bucket / name).rename(bucket / "gone")
        report = workspace.remotes.fsck(data=data)
        assert not report.clean, name
        if name in packs:
            (problem,) = report.problems
            assert (problem.kind, name in problem.message) == ("object", True)
            assert (set(problem.files), set(problem.versions)) == wanted
        (bucket / "gone").rename(bucket / name)


def test_a_cut_or_swapped_object_is_found(pushed: tuple[Workspace, Path], bucket: Path) -> None:
    """Without reading content: by its length, and by its footer, which has its name."""
    workspace = pushed[0]
    first, second = [name for name in objects(bucket) if name[0] == "d"][:2]
    body = (bucket / first).read_bytes()
    for wrong in (body[:-1], b"", body + b"x"):
        (bucket / first).write_bytes(wrong)
        (problem,) = workspace.remotes.fsck().problems
        assert first in problem.message and set(problem.files) == needing(workspace, first)[0]
    (bucket / first).write_bytes((bucket / second).read_bytes()[: len(body)].ljust(len(body), b"\0"))
    (problem,) = workspace.remotes.fsck().problems
    assert first in problem.message and "large:v1" in problem.versions


def test_what_is_in_the_log_no_more_is_named(pushed: tuple[Workspace, Path], bucket: Path) -> None:
    """A bucket that was restored from an old copy: the versions that were acknowledged are missing from the log."""
    workspace = pushed[0]
    for name in sorted(bucket.glob("log/*"))[-2:]:
        name.unlink()
    (bucket / "state/hint").unlink()
    for name in bucket.glob("state/*"):
        shutil.rmtree(name)
    report = workspace.remotes.fsck()
    said = " ".join(problem.message for problem in report.problems)
    assert {problem.kind for problem in report.problems} == {"log"}
    assert "many:v62" in said and "many:v63" in said and "many:v61" not in said


def test_a_remote_without_its_identity_is_checked(pushed: tuple[Workspace, Path], bucket: Path) -> None:
    """Its log says all; where nothing is, or a later format, that is an error as for other commands."""
    workspace = pushed[0]
    identity = (bucket / IDENTITY).read_bytes()
    (bucket / IDENTITY).unlink()
    (problem,) = workspace.remotes.fsck().problems
    assert problem.kind == "remote" and IDENTITY in problem.message
    (bucket / IDENTITY).write_bytes(b"{")
    assert [problem.kind for problem in workspace.remotes.fsck().problems] == ["remote"]
    (bucket / IDENTITY).write_bytes(identity.replace(b'"format": 1', b'"format": 7'))
    with pytest.raises(UnsupportedError):
        workspace.remotes.fsck()
    for name in bucket.iterdir():
        shutil.rmtree(name) if name.is_dir() else name.unlink()
    with pytest.raises(NotFoundError):
        workspace.remotes.fsck()
    with pytest.raises(NotFoundError):
        workspace.remotes.fsck("other")


@pytest.fixture
def small(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with two artifacts of one version, pushed to the folder ``small``."""
    (tmp_path / "small").mkdir()
    (tmp_path / "file").write_bytes(b"file")
    workspace.put(tmp_path / "file", "kept")
    workspace.put(Path(__file__), "other")
    workspace.remotes.add("origin", (tmp_path / "small").as_uri())
    workspace.remotes.push(every=True)
    return workspace


def test_pushes_meanwhile_are_no_damage(small: Workspace, tmp_path: Path) -> None:
    """A version comes to be at each step of the check, and leftovers of a push that was stopped are a note."""
    phases = []

    def push(progress: Progress) -> None:
        if progress.phase not in phases:
            phases.append(progress.phase)
            small.put(tmp_path / "file", "other", new=True)
            small.remotes.push("other")

    report = small.remotes.fsck(progress=push)
    assert report.clean, report.problems
    assert phases == ["log", "objects", "versions"]
    assert small.remotes.fsck(data=True).clean
    litter = tmp_path / "small/d/00" / ("00" * 16)
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"litter")
    (tmp_path / "small/t/notes.txt").write_bytes(b"")
    report = small.remotes.fsck()
    assert report.clean and len(report.notes) == 2 and "1 object with 6 bytes" in " ".join(report.notes)


def test_what_was_collected_is_not_missed(small: Workspace, tmp_path: Path) -> None:
    """Objects of a version that is reaped may be gone; the list of them may not."""
    remote = connect(small.store, *choose(small.store, None))
    rows = {remote.state.title(row.artifact, row.number): row for row in remote.state.versions.values()}
    condemn(remote, rows["other:v0"])
    place = tmp_path / "small" / Pack(TREES, rows["other:v0"].root.pack).object_name
    assert small.remotes.fsck(data=True).clean and small.remotes.fsck().notes == []
    place.unlink()
    assert small.remotes.fsck(data=True).clean and small.remotes.fsck().counted["versions"] == 1
    (listed,) = [row.listed for row in remote.state.condemned.values()]
    name = Pack(TREES, listed.pack).object_name
    body = (tmp_path / "small" / name).read_bytes()
    (tmp_path / "small" / name).write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    (problem,) = small.remotes.fsck().problems
    assert (problem.kind, name in problem.message) == ("record", True)


def test_a_pack_that_is_needed_and_given_up_is_damage(small: Workspace) -> None:
    """A collector that lies: its list has a pack of a version that lives."""
    remote = connect(small.store, *choose(small.store, None))
    rows = {remote.state.title(row.artifact, row.number): row for row in remote.state.versions.values()}
    wrong = Pack(TREES, rows["kept:v0"].root.pack)
    condemn(remote, rows["other:v0"], more=[wrong])
    (problem,) = small.remotes.fsck().problems
    assert wrong.object_name in problem.message and problem.versions == ["kept:v0"]
