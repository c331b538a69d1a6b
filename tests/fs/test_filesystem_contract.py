"""artfs as a file system of fsspec beside others: fsspec's own tests, and the local file system as the oracle."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

import artfs
from artfs.filesystem import ArtfsFileSystem

SPELLINGS: Final = ("team/data/v0", "team/data:v0", "team/data/good", "team/data:good", "team/data:latest")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> artfs.Workspace:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    return artfs.init_workspace(tmp_path / "ws")


class PutsWhatIsTouched(ArtfsFileSystem):
    """The file system of a test that makes its own source in it: a file that it touches becomes a version."""

    def mkdir(self, path: str) -> None:  # type: ignore[override]
        pass

    def touch(self, path: str) -> None:  # type: ignore[override]
        plain = Path(os.environ["ARTFS_WORKSPACE"]).with_name("touched")
        file = plain / path.removeprefix("team/data").lstrip("/:").partition("/")[2]
        file.parent.mkdir(parents=True)
        file.touch()
        self._workspace.put(plain, "team/data", aliases=["good"])


class TestGet(AbstractFixtures, AbstractGetTests):  # type: ignore[misc]  # fsspec has no annotations
    """fsspec's tests of ``get``, in each spelling of a path."""

    @pytest.fixture(params=SPELLINGS[:4])
    def spelling(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def fs(self, workspace: artfs.Workspace) -> ArtfsFileSystem:
        return PutsWhatIsTouched(workspace.path)

    @pytest.fixture
    def fs_path(self, spelling: str) -> str:
        return spelling

    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def put(self, workspace: artfs.Workspace, tmp_path: Path, spelling: str) -> Callable[[Any], str]:
        """Return a function that builds a scenario in a plain folder, puts it and returns the path of its source."""

        def build(scenario: Callable[..., Any]) -> str:
            plain = tmp_path / "plain"
            plain.mkdir()
            scenario(LocalFileSystem(auto_mkdir=True), os.path.join, str(plain))
            workspace.put(plain, "team/data", aliases=["good"])
            return f"{spelling}/source"

        return build

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, put: Callable[[Any], str]) -> str:
        return put(self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, put: Callable[[Any], str]) -> str:
        return put(self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, put: Callable[[Any], str]) -> str:
        return put(self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, put: Callable[[Any], str]) -> str:
        return put(self._10_files_with_hashed_names)


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    """Return a folder with links of every kind, names that need care, and empty files and folders."""
    folder = tmp_path / "awkward"
    for path in ("sub/deep/x.bin", "sub/a:b", "sub/v0/y", "name with blank", "ünïcode", "a.csv", "b.csv.gz", "[x].txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode() * 100)
    (folder / "empty").write_bytes(b"")
    (folder / "empty folder").mkdir()
    (folder / "latest").mkdir()
    (folder / "latest" / "z").write_text("z")
    for link, target in {
        "link.csv": "a.csv",
        "sub/up": "../sub",
        "sub/deep/top": "../..",
        "dangling": "nothing",
        "sub/loop": "loop",
        "folder-link": "sub/deep",
        "chain": "link.csv",
    }.items():
        (folder / link).symlink_to(target)
    os.chmod(folder / "a.csv", 0o640)
    os.chmod(folder / "b.csv.gz", 0o755)
    return folder


Sides = tuple[DirFileSystem, DirFileSystem]


@pytest.fixture(params=SPELLINGS)
def sides(workspace: artfs.Workspace, awkward: Path, request: pytest.FixtureRequest) -> Sides:
    """Return the plain folder and the version as file systems with equal paths."""
    workspace.put(awkward, "team/data", aliases=["good"], links="keep")
    return DirFileSystem(str(awkward), LocalFileSystem()), DirFileSystem(request.param, ArtfsFileSystem(workspace.path))


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except OSError as error:
        return "IsADirectoryError" if isinstance(error, IsADirectoryError) else "OSError"
    except ValueError:
        return "ValueError"


def comparable(described: Any) -> Any:
    """Keep of an ``info`` what both sides define; the size of a directory differs by nature."""
    if not isinstance(described, dict):
        return described
    kept = {key: described.get(key) for key in ("name", "type", "islink", "destination")}
    if described["type"] == "file":
        kept["size"] = described["size"]
    if described["type"] != "other":  # the times of links are not kept
        kept |= {"mode": oct(described["mode"]), "mtime": int(described["mtime"])}
    return kept


PATHS: Final = (
    *("", "sub", "sub/", "sub/deep", "sub/deep/x.bin", "sub/a:b", "sub/v0", "sub/v0/y", "name with blank", "ünïcode"),
    *("a.csv", "empty", "empty folder", "latest", "latest/z", "link.csv", "chain", "sub/up", "sub/up/deep/x.bin"),
    *("sub/deep/top/a.csv", "dangling", "sub/loop", "folder-link", "folder-link/x.bin", "nothing", "sub/nothing"),
    *("a.csv/below", "a\nb", "x" * 300, "vx", "v0", "good"),
)
GLOBS: Final = (
    "*",
    "**",
    "*.csv",
    "sub/*",
    "sub/**",
    "**/*.bin",
    "*/*",
    "s*/d*/*",
    "*link*",
    "[[]x].txt",
    "?.csv",
    "v*",
)
CALLS: Final[dict[str, Callable[[DirFileSystem, str], Any]]] = {
    "ls": lambda fs, path: sorted(fs.ls(path, detail=False)),
    "details": lambda fs, path: sorted(map(comparable, fs.ls(path, detail=True)), key=lambda each: each["name"]),
    "info": lambda fs, path: comparable(fs.info(path)),
    "find": lambda fs, path: sorted(fs.find(path)),
    "find with folders": lambda fs, path: sorted(fs.find(path, withdirs=True)),
    "find to a depth": lambda fs, path: sorted(fs.find(path, maxdepth=1)),
    "walk": lambda fs, path: sorted((at, sorted(dirs), sorted(files)) for at, dirs, files in fs.walk(path)),
    "du": lambda fs, path: {at: size for at, size in fs.du(path, total=False).items() if not fs.isdir(at)},
    "exists": lambda fs, path: fs.exists(path),
    "isdir": lambda fs, path: fs.isdir(path),
    "isfile": lambda fs, path: fs.isfile(path),
    "islink": lambda fs, path: fs.fs.islink(fs._join(path)),
    "size": lambda fs, path: None if fs.isdir(path) else fs.size(path),
    "cat_file": lambda fs, path: fs.cat_file(path),
    "range": lambda fs, path: fs.cat_file(path, 3, 9),
    "range from the end": lambda fs, path: fs.cat_file(path, -9, -3),
    "head": lambda fs, path: fs.head(path, 7),
    "tail": lambda fs, path: fs.tail(path, 7),
    "block": lambda fs, path: fs.read_block(path, 5, 20, b"/"),
    "text": lambda fs, path: fs.read_text(path, encoding="utf-8"),
    "modified": lambda fs, path: int(fs.modified(path).timestamp()),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_call_returns_what_the_plain_folder_returns(sides: Sides, call: str) -> None:
    plain, version = sides
    differing = {}
    for path in PATHS:
        if call == "modified" and plain.isdir(path):
            continue  # a listing that changed within the second; tests/fs/mount compares times
        expected, actual = (outcome(partial(CALLS[call], fs, path)) for fs in (plain, version))
        if expected != actual:
            differing[path] = (expected, actual)
    assert not differing, differing


@pytest.mark.parametrize("pattern", GLOBS)
def test_each_glob_matches_what_it_matches_in_the_plain_folder(sides: Sides, pattern: str) -> None:
    plain, version = sides
    assert sorted(version.glob(pattern)) == sorted(plain.glob(pattern))


def test_ranges_of_several_files(sides: Sides) -> None:
    paths = ["a.csv", "sub/deep/x.bin", "empty", "a.csv"]
    starts, ends = [0, -10, 0, 5], [3, -1, 4, None]
    plain, version = (fs.cat_ranges(paths, starts, ends) for fs in sides)
    assert version == plain
    assert sides[1].cat(["a.csv", "empty"]) == sides[0].cat(["a.csv", "empty"])


def test_open_files_have_what_callers_use(sides: Sides) -> None:
    for fs in sides:
        with fs.open("a.csv") as file:
            assert (file.size, file.mode, file.readable(), file.writable(), file.seekable()) == (
                500,
                "rb",
                True,
                False,
                True,
            )
            assert file.read(4) == b"a.cs"
            again = pickle.loads(pickle.dumps(file))
            assert again.read() == file.read()
            assert file.fs is fs.fs and file.path == fs._join("a.csv")
        with fs.open("a.csv", "r", encoding="utf-8") as text:
            assert text.readline() == "a.csv" * 100
        with fs.open("a.csv", "rt", newline="") as text:
            assert len(text.read()) == 500


@pytest.fixture
def several(workspace: artfs.Workspace, tmp_path: Path) -> ArtfsFileSystem:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "f:1.csv").write_text("a\n1\n")
    for name in ("team/data", "team/deep/other", "alone", "alone"):
        workspace.put(folder, name, aliases=["good"], new=True)
    return ArtfsFileSystem(workspace.path)


def test_whatever_is_listed_lies_below_the_folder_that_lists_it(several: ArtfsFileSystem) -> None:
    """Property: for every folder, above and below versions and in every spelling, listings are of paths below it."""
    folders = ["", "team", "team/deep", "alone", "alone/v1", "alone:v1", "alone/good", "alone:good", "alone:latest"]
    for folder in folders:
        listed = several.ls(folder, detail=False)
        assert listed and all(path.startswith(f"{folder}/" if folder else "") for path in listed)
        assert [entry["name"] for entry in several.ls(f"artfs://{folder}")] == listed
        assert all(several.exists(path) and several.info(path)["name"] == path for path in listed)
    everything = several.find("")
    assert everything == [
        *("alone/v0/f:1.csv", "alone/v1/f:1.csv", "team/data/v0/f:1.csv", "team/deep/other/v0/f:1.csv")
    ]
    assert [at for at, _, _ in several.walk("team")] == [
        *("team", "team/data", "team/data/v0", "team/deep", "team/deep/other", "team/deep/other/v0")
    ]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", ["alone", "team"]),
        ("team/*", ["team/data", "team/deep"]),
        ("alone/*", ["alone/v0", "alone/v1"]),
        ("alone:*", ["alone/v0", "alone/v1"]),
        ("alone:v*/*.csv", ["alone/v0/f:1.csv", "alone/v1/f:1.csv"]),
        ("artfs://alone:v[1]/*", ["alone/v1/f:1.csv"]),
        ("alone:v1/*", ["alone:v1/f:1.csv"]),
        ("alone:good/f:*", ["alone:good/f:1.csv"]),
        ("alone/v1/f:*", ["alone/v1/f:1.csv"]),
        ("alone/good/*", ["alone/good/f:1.csv"]),
        ("**/v0/*:*.csv", ["alone/v0/f:1.csv", "team/data/v0/f:1.csv", "team/deep/other/v0/f:1.csv"]),
        ("*:v0", ["alone/v0"]),
        ("team/*:v0/*", ["team/data/v0/f:1.csv"]),
        ("nothing:*", []),
        ("nothing/*", []),
    ],
)
def test_globs_above_versions(several: ArtfsFileSystem, pattern: str, matches: list[str]) -> None:
    assert several.glob(pattern) == matches


def test_versions_and_folders_have_digest_time_and_size(several: ArtfsFileSystem, workspace: artfs.Workspace) -> None:
    version = workspace.version("alone:v1")
    described = several.info("alone/v1")
    assert described["digest"] == version.digest and described["size"] == version.size == 4
    assert described["created"] == version.created_at.timestamp() and stat.S_ISDIR(described["mode"])
    assert several.checksum("alone/v1") == several.checksum("alone:good") == int(version.digest, 16)
    assert several.created("alone/v1") == version.created_at
    assert several.info("team")["type"] == several.info("alone")["type"] == "directory"


MISSING: Final = (
    *("nothing", "nothing/v0", "nothing:v0", "nothing:v0/x", "team:v0", "team/v0", "alone/v7", "alone:v7", "alone/bad"),
    *(
        "alone:bad/x",
        "alone/v01",
        "alone:",
        "alone:/x",
        ":v0",
        "alone:v0/nothing",
        "alone/v0/../v1",
        "a b?:c/d",
        "a\0b",
    ),
    *(
        "alone:v0/a\0b",
        "alone:v0/" + "x" * 5000,
        "x" * 5000,
        "..",
        "alone:v99999999999999999999",
        "@#%",
        "alone:good:v0",
    ),
)


@pytest.mark.parametrize("path", MISSING, ids=lambda path: path[:20])
def test_names_that_are_none_raise_what_callers_catch(several: ArtfsFileSystem, path: str) -> None:
    for call in (several.info, several.ls, several.open, several.modified, several.created, several.cat_file):
        with pytest.raises(FileNotFoundError):
            call(path)
    assert not several.exists(path) and not several.isdir(path) and not several.isfile(path)
    assert not several.lexists(path) and several.find(path) == [] and list(several.walk(path)) == []


CHANGES: Final[dict[str, Callable[[ArtfsFileSystem, str, str], Any]]] = {
    "mkdir": lambda fs, path, _: fs.mkdir(path),
    "makedir": lambda fs, path, _: fs.makedir(path),
    "makedirs": lambda fs, path, _: fs.makedirs(path),
    "mkdirs": lambda fs, path, _: fs.mkdirs(path, exist_ok=True),
    "rmdir": lambda fs, path, _: fs.rmdir(path),
    "rm": lambda fs, path, _: fs.rm(path, recursive=True),
    "rm_file": lambda fs, path, _: fs.rm_file(path),
    "delete": lambda fs, path, _: fs.delete(path),
    "mv": lambda fs, path, _: fs.mv(path, "alone/v0/other"),
    "rename": lambda fs, path, _: fs.rename(path, "alone/v0/other"),
    "move": lambda fs, path, _: fs.move(path, "alone/v0/other"),
    "cp_file": lambda fs, path, _: fs.cp_file("alone/v0/f:1.csv", path),
    "copy": lambda fs, path, _: fs.copy("alone/v0/f:1.csv", path),
    "cp": lambda fs, path, _: fs.cp("alone/v0", path, recursive=True),
    "touch": lambda fs, path, _: fs.touch(path),
    "pipe": lambda fs, path, _: fs.pipe(path, b"x"),
    "pipe_file": lambda fs, path, _: fs.pipe_file(path, b"x"),
    "write_text": lambda fs, path, _: fs.write_text(path, "x"),
    "write_bytes": lambda fs, path, _: fs.write_bytes(path, b"x"),
    "put": lambda fs, path, local: fs.put(local, path),
    "put_file": lambda fs, path, local: fs.put_file(local, path),
    "upload": lambda fs, path, local: fs.upload(local, path),
    **{
        f"open {mode}": lambda fs, path, _, mode=mode: fs.open(path, mode)
        for mode in ("w", "wb", "a", "ab", "r+b", "x")
    },
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("path", ["alone/v0/new", "alone/v0/f:1.csv", "alone/v9", "new"])
def test_whatever_changes_is_refused(several: ArtfsFileSystem, tmp_path: Path, change: str, path: str) -> None:
    (tmp_path / "local").write_text("x")
    with pytest.raises(OSError) as refused:
        CHANGES[change](several, path, str(tmp_path / "local"))
    assert refused.value.errno == errno.EROFS and str(refused.value.filename) in (path, f"artfs://{path}")


def test_an_existing_directory_may_be_made_again(several: ArtfsFileSystem) -> None:
    several.makedirs("alone/v0", exist_ok=True)
    several.makedirs("team", exist_ok=True)


def test_the_default_workspace_is_that_of_the_moment(
    workspace: artfs.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system of the default workspace is not that of the one before, and keeps its own when pickled."""
    (tmp_path / "f").write_text("1")
    workspace.put(tmp_path / "f", "first")
    first = fsspec.filesystem("artfs")
    other = artfs.init_workspace(tmp_path / "other")
    other.put(tmp_path / "f", "second")
    monkeypatch.setenv("ARTFS_WORKSPACE", str(other.path))
    assert fsspec.filesystem("artfs").ls("", detail=False) == ["second"]
    assert pickle.loads(pickle.dumps(first)).ls("", detail=False) == first.ls("", detail=False) == ["first"]
    assert fsspec.filesystem("artfs") is fsspec.filesystem("artfs")


# fsspec's block cache leaves its own file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_chained_caches(several: ArtfsFileSystem, tmp_path: Path) -> None:
    for cache in ("blockcache", "filecache", "simplecache"):
        options = {cache: {"cache_storage": str(tmp_path / cache)}}
        for path in ("alone/v0/f:1.csv", "alone:good/f:1.csv"):
            with fsspec.open(f"{cache}::artfs://{path}", **options) as file:
                assert file.read() == b"a\n1\n"


def test_universal_paths_in_a_fresh_process(several: ArtfsFileSystem) -> None:
    """The file system's rules hold, although universal_pathlib meets the URL before it loads them."""
    program = (
        "from upath import UPath\n"
        "print([path.name for path in UPath('artfs://alone').glob('*')])\n"
        "print([str(path) for path in UPath('artfs://alone/v0').iterdir()], UPath('artfs://alone/v0/f:1.csv').name)"
    )
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "['v0', 'v1']\n['artfs://alone/v0/f:1.csv'] f:1.csv\n"


def test_universal_paths(several: ArtfsFileSystem) -> None:
    """UPath lists, joins and reads; the warning for file systems that it does not know would be an error here."""
    from upath import UPath

    root = UPath("artfs://team")
    assert sorted(str(path) for path in root.iterdir()) == ["artfs://team/data", "artfs://team/deep"]
    version = UPath("artfs://team/data/v0")
    (file,) = version.iterdir()
    assert file.name == "f:1.csv" and file.read_text() == "a\n1\n" and file.parent == version
    assert UPath("artfs://alone:good/f:1.csv").read_bytes() == b"a\n1\n"
    assert [str(path) for path in UPath("artfs://alone").glob("v*/*.csv")] == [
        *("artfs://alone/v0/f:1.csv", "artfs://alone/v1/f:1.csv")
    ]
    assert version.is_dir() and (version / "f:1.csv").is_file() and not (version / "x").exists()
    assert file.stat().st_size == 4 and [path.name for path in version.rglob("*")] == ["f:1.csv"]
