"""Whatever is wrong with what the user gives: one clear sentence, the right exit code, no version, and nothing lost."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from artstore import locate
from artstore.errors import (
    ArtfsError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RefusedError,
    SourceChangedError,
    SourceError,
    UnsupportedError,
)
from artstore.ingest import reading
from artstore.workspace import Workspace, init_workspace, open_workspace
from corpora import folders
from corpora.folders import MIB, Content, content_of, content_of_file
from crash.kill import environment
from crash.states import content_of_version, faults

NOBODY = 65534

T = TypeVar("T")


class Sound:
    """A workspace with one version in it, which must be all that it holds in the end."""

    def __init__(self, folder: Path) -> None:
        source = folder / "sound"
        source.mkdir()
        folders.small(source, seed=1, files=10)
        self.workspace: Workspace = init_workspace(folder / "workspace")
        self.workspace.put(source, "sound")
        self.versions: dict[str, Content] = {"sound:v0": content_of(source)}

    def refuses(
        self, kind: type[ArtfsError], what: str, path: Path | str, name: str = "data", **options: object
    ) -> None:
        """Put what is refused, by the API and by the command; ``what`` is a part of the sentence."""
        with pytest.raises(kind) as caught:
            self.workspace.put(path, name, **options)  # type: ignore[arg-type]
        assert what in str(caught.value)
        words = [sys.executable, "-m", "artfs", "-w", self.workspace.path, "put", "--", path, name]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=60)
        check_sentence(done, kind.exit_code, what)

    def holds(self) -> None:
        """Check that nothing was made and nothing lost."""
        assert faults(self.workspace.path, self.versions) == []


def check_sentence(done: subprocess.CompletedProcess[bytes], code: int, what: str) -> None:
    """Check the exit code, and that stderr is one sentence with ``what`` in it, then at most the files concerned."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    first, *rest = said.splitlines()
    assert first.startswith("artfs: ") and what in first
    assert "Traceback" not in said and "internal error" not in said and "Error:" not in first
    assert all(line.startswith("  ") for line in rest), said
    assert done.stdout == b""


@pytest.fixture
def sound(quick_dir: Path) -> Iterator[Sound]:
    made = Sound(quick_dir)
    yield made
    made.holds()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An ordinary folder, to be made bad."""
    folder = tmp_path / "source"
    folder.mkdir()
    folders.small(folder, seed=2, files=20)
    return folder


# -- what is not there, or not a file ------------------------------------------------------------------------------


def test_missing_path(sound: Sound, tmp_path: Path) -> None:
    sound.refuses(NotFoundError, "does not exist", tmp_path / "missing")
    sound.refuses(NotFoundError, "does not exist", tmp_path / "missing" / "below")
    sound.refuses(InvalidInputError, "empty", "")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path holds only 107 bytes
        os.close(folder)


def make_device(path: Path) -> None:
    if os.geteuid():
        pytest.skip("making a device needs root")
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a socket": make_socket,
    "a named pipe": os.mkfifo,
    "a device": make_device,
    "a symlink loop": lambda path: path.symlink_to(path.name),
    "where nothing is": lambda path: path.symlink_to("/nowhere/at/all"),
}


@pytest.mark.parametrize("what", SPECIAL)
def test_special_files(sound: Sound, source: Path, what: str) -> None:
    """Inside a folder they are refused by name; and nothing hangs on them."""
    SPECIAL[what](source / "class-1" / "special")
    sound.refuses(SourceError, what, source)
    sound.refuses(SourceError, "class-1/special", source)


@pytest.mark.parametrize("what", ["a socket", "a named pipe", "a device"])
def test_special_file_as_the_path(sound: Sound, tmp_path: Path, what: str) -> None:
    SPECIAL[what](tmp_path / "special")
    sound.refuses(SourceError, what, tmp_path / "special")


def test_symlink_loops(sound: Sound, source: Path) -> None:
    """A circle of links, a link to oneself as the path, and a link out that leads back in."""
    (source / "one").symlink_to("two")
    (source / "two").symlink_to("one")
    sound.refuses(SourceError, "a symlink loop", source)
    (source.parent / "self").symlink_to("self")
    sound.refuses(SourceError, "self", source.parent / "self")
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "back").symlink_to(source)
    (source / "one").unlink()
    (source / "two").unlink()
    (source / "out").symlink_to(outside)
    sound.refuses(SourceError, "loop", source)


def test_all_bad_files_are_named(sound: Sound, source: Path) -> None:
    """Not the first only: whoever mends them needs to know all."""
    for number in range(7):
        os.mkfifo(source / f"pipe-{number}")
    with pytest.raises(SourceError) as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"pipe-%d" % number for number in range(7)]


# -- what cannot be read -------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="dropping rights needs root")
def test_unreadable(source: Path, tmp_path: Path) -> None:
    """A file and a folder without permission are named; done as a user without rights."""
    (source / "class-1" / "secret").write_bytes(b"secret")
    (source / "class-1" / "secret").chmod(0o000)
    (source / "locked").mkdir()
    (source / "locked").chmod(0o000)

    def put_as_nobody() -> bool:
        workspace = init_workspace(Path(home) / "workspace")
        with pytest.raises(SourceError) as caught:
            workspace.put("source", "data")
        assert sorted(caught.value.paths) == [b"class-1/secret", b"locked"]
        assert "Permission denied" in str(caught.value)
        assert workspace.artifacts() == [] and faults(workspace.path, {}) == []
        with pytest.raises(SourceError, match="Permission denied"):
            workspace.put("source/class-1/secret", "data")
        return True

    home = subprocess.run(["mktemp", "-d", "/tmp/artfs-test-XXXXXX"], capture_output=True, text=True).stdout.strip()
    try:
        shutil.copytree(source, f"{home}/source", symlinks=True)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", home], check=True)
        os.chmod(home, 0o755)
        assert succeeds_as(NOBODY, home, put_as_nobody)
    finally:
        shutil.rmtree(home)


def succeeds_as(user: int, folder: str, action: Callable[[], bool]) -> bool:
    """Run something in a forked child that gave up root's rights."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.chdir(folder)
            os._exit(0 if action() else 1)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- what moves while it is read -----------------------------------------------------------------------------------


def meddled(monkeypatch: pytest.MonkeyPatch, name: bytes, action: Callable[[], None]) -> None:
    """Do something each time before the file ``name`` is opened."""
    original = reading.FileEntry.open

    def opening(entry: reading.FileEntry) -> int:
        if entry.name == name:
            action()
        return original(entry)

    monkeypatch.setattr(reading.FileEntry, "open", opening)


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_vanishes(sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    victim = source / "victim"
    victim.write_bytes(folders.random_bytes(size, 3))
    meddled(monkeypatch, b"victim", lambda: victim.unlink(missing_ok=True))
    with pytest.raises(SourceChangedError, match="victim vanished") as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"victim"] and caught.value.exit_code == 1


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_becomes_something_else(
    sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A pipe in the place of a file must not be waited for."""
    victim = source / "victim"
    victim.write_bytes(bytes(size))

    def replace() -> None:
        victim.unlink(missing_ok=True)
        os.mkfifo(victim)

    meddled(monkeypatch, b"victim", replace)
    with pytest.raises(SourceChangedError, match="victim"):
        sound.workspace.put(source, "data")


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_keeps_changing(sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """One that is written to whenever it is read is tried several times, then named."""
    victim = source / "victim"
    victim.write_bytes(bytes(size))
    reads = []

    def changing(read: Callable[..., T]) -> Callable[..., T]:
        def reading_and_changing(fd: int, *arguments: object) -> T:
            data = read(fd, *arguments)
            if os.readlink(f"/proc/self/fd/{fd}") == os.fspath(victim):
                reads.append(fd)
                victim.write_bytes(os.urandom(size + len(reads)))
            return data

        return reading_and_changing

    monkeypatch.setattr(os, "read", changing(os.read))
    monkeypatch.setattr(os, "readv", changing(os.readv))
    with pytest.raises(SourceChangedError, match="victim kept changing") as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"victim"]
    assert len(reads) >= 3


@pytest.mark.parametrize(
    ("before", "after"), [(100, 5000), (100, 3 * MIB), (3 * MIB, 100), (3 * MIB, 0), (9 * MIB, 20 * MIB), (100, 0)]
)
def test_file_that_changes_once(
    sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    """A file that has another size when it is read than when it was seen is stored as it is then, or named."""
    victim = source / "victim"
    victim.write_bytes(folders.random_bytes(before, 1))
    meddled(monkeypatch, b"victim", lambda: victim.write_bytes(folders.random_bytes(after, 2)) and None)
    try:
        version = sound.workspace.put(source, "data")
    except SourceChangedError as error:
        assert error.paths == [b"victim"]
    else:
        sound.versions["data:v0"] = content_of(source)
        assert content_of_version(version) == content_of(source)


def test_folder_that_vanishes(sound: Sound, source: Path) -> None:
    """Files and folders that others remove meanwhile: the put names something, or takes what is left, whole."""
    folders.crowd(source, 3000)
    for below in range(20):
        (source / f"class-{below}").mkdir(exist_ok=True)
        (source / f"class-{below}" / "file").write_bytes(b"x")
    done = threading.Event()

    def remove() -> None:
        for path in sorted(source.iterdir(), reverse=True):
            time.sleep(0.0005)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        done.set()

    remover = threading.Thread(target=remove)
    remover.start()
    attempts = 0
    while not done.is_set():
        attempts += 1
        try:
            version = sound.workspace.put(source, "data")
        except SourceError as error:
            assert error.paths
        else:
            sound.versions[version.name] = content_of_version(version)
    remover.join()
    assert attempts


def test_failures_leave_no_descriptors(sound: Sound, source: Path) -> None:
    """A process that meets bad folders over and over keeps nothing open."""
    folders.crowd(source / "class-1", 500)
    os.mkfifo(source / "class-1" / "pipe")
    counts = []
    for _ in range(5):
        with pytest.raises(SourceError):
            sound.workspace.put(source, "data")
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= counts[0]


# -- names ---------------------------------------------------------------------------------------------------------

BAD_NAMES = (
    *(
        "",
        ".",
        "..",
        "../up",
        "a/..",
        "a//b",
        "/a",
        "a/",
        ".hidden",
        "-dash",
        "v3",
        "latest",
        "team/v3",
        "team/latest/x",
    ),
    *("x" * 129, "a:b", "a*", "a?", "a[b", "a]b", "a#b", "a%b", "a@b", "a\\b", " a", "a ", "a\nb", "a\x00b", "\udcff"),
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(sound: Sound, source: Path, name: str) -> None:
    """Every name that the grammar excludes is refused as wrong usage, whoever asks."""
    with pytest.raises(InvalidNameError):
        sound.workspace.put(source, name)
    if "\x00" not in name:
        words = [sys.executable, "-m", "artfs", "-w", sound.workspace.path, "put", "--", source, name]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=60)
        check_sentence(done, 2, "")


@pytest.mark.parametrize(
    "name", ["x" * 128, "a b", "\u65e5\u672c", "a-b_c.d", "v", "v3a", "va3", "V3", "latest2", "a/b/c/d/e"]
)
def test_good_names(quick_dir: Path, source: Path, name: str) -> None:
    workspace = init_workspace(quick_dir / "workspace")
    assert workspace.put(source, name).name == f"{name}:v0"
    assert [item.name for item in workspace.artifacts()] == [name]


@pytest.mark.parametrize("alias", ["v3", "latest", "a/b", "", ".x", "-x", "..", "a:b", "x" * 129])
def test_bad_aliases(sound: Sound, source: Path, alias: str) -> None:
    """An alias that could be taken for a version is refused before anything is read."""
    with pytest.raises(InvalidNameError):
        sound.workspace.put(source, "data", aliases=["good", alias])
    with pytest.raises(InvalidNameError):
        sound.workspace.alias_set("sound:v0", alias)
    words = [sys.executable, "-m", "artfs", "-w", sound.workspace.path, "put", source, "data", f"--alias={alias}"]
    check_sentence(subprocess.run(words, env=environment(), capture_output=True, timeout=60), 2, "")


def test_other_bad_arguments(sound: Sound, source: Path) -> None:
    """Types that differ, projects as artifacts, bases that are not there, metadata that is not JSON."""
    sound.workspace.set_type("sound", "dataset")
    sound.refuses(InvalidInputError, "artifact", source, "sound/below")
    for kind, options in (
        (RefusedError, {"type": "model"}),
        (NotFoundError, {"base": "v7"}),
        (NotFoundError, {"base": "other:v0"}),
        (InvalidInputError, {"remove": ["*"]}),
        (InvalidInputError, {"metadata": {"x": float("nan")}}),
        (InvalidInputError, {"metadata": {"x": object()}}),
        (InvalidInputError, {"type": ""}),
        (InvalidInputError, {"exclude": ["!"]}),
    ):
        with pytest.raises(kind):
            sound.workspace.put(source, "sound", **options)  # type: ignore[arg-type]


# -- workspaces ----------------------------------------------------------------------------------------------------


def command_on(workspace: Path, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "artfs", "-w", workspace, *words], env=environment(), capture_output=True, timeout=60
    )


def test_newer_format(quick_dir: Path, source: Path) -> None:
    """A workspace of a later artfs is neither read nor written."""
    workspace = init_workspace(quick_dir / "workspace").path
    (workspace / "current").write_text("2 manifest.1\n")
    with pytest.raises(UnsupportedError, match="format 2"):
        open_workspace(workspace)
    for words in (("put", source, "data"), ("ls",), ("init", workspace)):
        check_sentence(command_on(workspace, *words), 1, "format 2")


def test_newer_format_under_an_open_process(quick_dir: Path, source: Path) -> None:
    """A process that has the workspace open notices at its next transaction."""
    workspace = init_workspace(quick_dir / "workspace")
    version = workspace.put(source, "data")
    temporary = workspace.path / "current.new"
    temporary.write_text("2 manifest.2\n")
    temporary.rename(workspace.path / "current")
    with pytest.raises(UnsupportedError, match="format 2"):
        version.read_bytes("weights")
    with pytest.raises(UnsupportedError, match="format 2"):
        workspace.put(source, "other")


def test_not_a_workspace(tmp_path: Path, source: Path) -> None:
    """A folder with other things in it is left alone, and so are a file and damaged workspaces."""
    before = content_of(source)
    check_sentence(command_on(source, "ls"), 3, "not an artfs workspace")
    check_sentence(command_on(source, "put", source, "data"), 4, "not empty")
    check_sentence(command_on(source / "weights", "put", source, "data"), 4, "not a folder")
    assert content_of(source) == before
    check_sentence(command_on(tmp_path / "nowhere", "ls"), 3, "nowhere")
    assert not (tmp_path / "nowhere").exists()
    check_sentence(command_on(tmp_path / "nowhere", "put", tmp_path / "missing", "data"), 3, "missing")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("current", b""),
        ("current", b"what is this"),
        ("current", b"1 ../../etc"),
        ("artfs.json", b"{}"),
        ("artfs.json", b"\xff"),
        ("manifest.1/data.mdb", b""),
        ("manifest.1/data.mdb", b"garbage" * 10_000),
        ("manifest.1/data.mdb", None),
        ("manifest.1/lease", None),
        ("artfs.json", None),
    ],
)
def test_damaged_workspace(quick_dir: Path, source: Path, path: str, content: bytes | None) -> None:
    """It is said what is damaged, by exit code 5; nothing is made anew over it, and no pack is touched."""
    made = init_workspace(quick_dir / "workspace")
    made.put(source, "data")
    workspace = made.path
    packs = content_of(workspace / "packs")
    if content is None:
        (workspace / path).unlink()
    else:
        (workspace / path).write_bytes(content)
    for words in (("ls",), ("put", source, "data"), ("put", source / "weights", "other")):
        check_sentence(command_on(workspace, *words), 5, "workspace")
    assert not (workspace / path).exists() if content is None else (workspace / path).read_bytes() == content
    assert content_of(workspace / "packs") == packs


def test_lost_pack(sound: Sound, source: Path) -> None:
    """A version whose pack is gone says so, and puts of other content go on in another pack."""
    workspace = sound.workspace
    packs = sorted((workspace.path / "packs").iterdir())
    for pack in packs:
        pack.rename(pack.with_suffix(".away"))
    workspace.store.reader.close()
    check_sentence(command_on(workspace.path, "cat", "sound:v0/weights"), 5, "pack")
    version = workspace.put(source / "weights", "data")
    sound.versions["data:v0"] = content_of_file(source / "weights")
    assert content_of_version(version) == sound.versions["data:v0"]
    for pack in packs:
        pack.with_suffix(".away").rename(pack)


def test_path_that_holds_the_workspace(sound: Sound) -> None:
    """It would hold itself; refused by name, whether the path is the workspace or above it, or reached by a link."""
    folder = sound.workspace.path.parent
    sound.refuses(RefusedError, "holds the workspace", folder)
    sound.refuses(RefusedError, "holds the workspace", sound.workspace.path)
    (folder / "way").mkdir()
    (folder / "way" / "in").symlink_to(sound.workspace.path)
    sound.refuses(RefusedError, "holds the workspace", folder / "way")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p"])
def test_unsafe_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """No workspace is made or opened where LMDB is unsafe; the sentence names the way out."""
    workspace = init_workspace(tmp_path / "workspace").path
    monkeypatch.setattr(locate, "filesystem_type", lambda path: kind)
    for action in (lambda: init_workspace(tmp_path / "new"), lambda: open_workspace(workspace)):
        with pytest.raises(UnsupportedError, match=kind) as caught:
            action()
        assert "artfs init DIR --default" in caught.value.hint
    assert not (tmp_path / "new").exists()
