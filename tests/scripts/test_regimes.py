"""The regime of reads from memory is what it says: sources in the page cache, and a mount that has no pages yet."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

import artfs
from benchmarks.apiwork import CALLS, ApiWork
from benchmarks.datasets import FULL, QUICK, DataSets, Scale
from benchmarks.floorwork import FLOOR, compressed_works, stored_chunks
from benchmarks.lineup import LANE_OFF, Lineup, has_lane
from benchmarks.peers import Passthrough
from benchmarks.processes import SideFailed, cpu_seconds, run, unescaped
from benchmarks.readworks import PER_1000_FILES, read_works
from benchmarks.regimes import (
    Regime,
    bring_into_memory,
    check_in_memory,
    check_new_mount_is_empty,
    files_below,
    pages_of,
)
from benchmarks.results import Key, Results, WrongBytes
from benchmarks.rounds import Bench
from benchmarks.secondwork import SecondWork
from benchmarks.sides import ARTFS, NO_LANE, Artfs, Plain, Side

SMALL = Scale("small", 0, 40, 4, 1 << 20, 1 << 20, 4, 2)


@pytest.fixture
def on_disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a file system whose pages can leave the memory: a file in tmpfs is nowhere else."""
    folder = Path("/var/tmp", f"artfs-test-{os.getpid()}-{request.node.name}")
    folder.mkdir()
    try:
        yield folder
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


def forget(path: Path) -> None:
    """Drop a file's pages from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def test_pages_are_counted_and_brought_in(on_disk: Path) -> None:
    """What is not in memory is noticed, file by file, and brought in; looking brings in nothing."""
    (on_disk / "below").mkdir()
    files = [on_disk / "a", on_disk / "below" / "b", on_disk / "empty"]
    for file, size in zip(files, (300_000, 5000, 0), strict=True):
        file.write_bytes(bytes(size))
    (on_disk / "link").symlink_to("a")
    assert sorted(files_below([on_disk])) == sorted(files)
    assert [pages_of(file) for file in files] == [(74, 74), (2, 2), (0, 0)]
    check_in_memory([on_disk])
    forget(files[0])
    if pages_of(files[0])[0]:
        pytest.skip("the file system of /var/tmp keeps all pages in memory")
    assert pages_of(files[0]) == (0, 74)
    with pytest.raises(SideFailed, match=r"only 2\.6% of what it reads"):
        check_in_memory([on_disk])
    bring_into_memory([on_disk])
    check_in_memory([on_disk])
    check_in_memory([files[0], files[2]])


def test_a_mount_that_keeps_pages_is_found(tmp_path: Path) -> None:
    """A second mount that still has what was read through the first is not cold, and is refused."""

    @contextmanager
    def kept() -> Iterator[Path]:
        yield tmp_path

    (tmp_path / "file").write_bytes(bytes(10_000))
    shown: Any = kept
    with pytest.raises(SideFailed, match="a new mount has 3 of 3 pages of file"):
        check_new_mount_is_empty(shown, "file")
    (tmp_path / "nothing").touch()
    with pytest.raises(SideFailed, match="does not see the pages of nothing"):
        check_new_mount_is_empty(shown, "nothing")


def small_bench(folder: Path) -> Bench:
    """Return a bench of the plain folder and artfs with little data, in memory."""
    data = DataSets(folder / "data", SMALL, lambda _: None)
    sides = [Plain(data, folder / "plain"), Artfs(data, folder / "artfs", "direct")]
    return Bench(data, folder, "direct", sides, Results(), 1, 1, 60, (Regime.MEMORY,))


def test_a_new_mount_of_artfs_is_cold_while_its_packs_are_warm(tmp_path: Path) -> None:
    """The works of small files run with a real mount: it is checked once, its processor time and the reader's noted."""
    bench = small_bench(tmp_path)
    work = next(work for work in read_works([1], SMALL.checkpoint_bytes, SMALL.images) if work.name == "files-1")
    checked: list[str] = []
    check = type(work).check_regime

    def counted(self: Any, bench: Bench, side: Any) -> None:
        checked.append(side.name)
        check(self, bench, side)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(work), "check_regime", counted)
        bench.pairs = 2
        work.measure(bench)
    assert checked == ["plain", "artfs"]
    lines = bench.results.lines
    assert set(lines) == {Key("files-1", state) for state in ("memory", "memory processor", "warm", "warm processor")}
    for state in ("memory", "warm"):
        assert {side: len(values) for side, values in lines[Key("files-1", state)].values.items()} == {
            "plain": 2,
            "artfs": 2,
        }
    costs, served = lines[Key("files-1", "memory processor")], lines[Key("files-1", "memory")].cpu["artfs"][0]
    assert costs.title.endswith(PER_1000_FILES)
    assert costs.values["artfs"][0] > served / SMALL.images * 1000 > 0 < costs.values["plain"][0]


def test_the_second_version_is_read_after_the_first(tmp_path: Path) -> None:
    """Both versions are in one artifact and share their files; of the plain folder the same files are read twice."""
    bench = small_bench(tmp_path)
    SecondWork().measure(bench)
    [(key, line)] = list(bench.results)
    assert key == Key("second", "warm") and set(line.values) == {"plain", "artfs"}
    artfs = bench.sides[1]
    assert isinstance(artfs, Artfs)
    listed = artfs.workspace.report("ls", "images")
    assert sorted(each["version"] for each in listed["versions"]) == ["v0", "v1"]
    assert artfs.workspace.report("show", "images:v1")["files"] == SMALL.images + 1


def test_compressed_reads_show_their_floor(tmp_path: Path) -> None:
    """The floor decompresses the chunks that the reads touch, once for each read of another chunk than the last."""
    bench = small_bench(tmp_path)
    work, larger = compressed_works(SMALL.table_bytes)
    work.measure(bench)
    values = bench.results.lines[Key("compressed-4k", "memory")].values
    assert set(values) == {"plain", "artfs", FLOOR} and 0 < values[FLOOR][0] < 60
    assert (work.size, larger.name, larger.size) == (4 << 10, "compressed-64k", 64 << 10)
    artfs = bench.sides[1]
    assert isinstance(artfs, Artfs)
    forms = stored_chunks(artfs.workspace.folder, "table", 4096, 10)
    content = (bench.data.folder("table") / "data").read_bytes()
    assert 1 <= len(forms) <= 20  # a read may touch two chunks
    assert all(zstandard.decompress(form) in content for form in forms)


@pytest.mark.parametrize("call", [call for call in CALLS if hasattr(artfs.Version, call.replace("-", "_"))])
def test_the_api_reads_what_plain_files_hold(tmp_path: Path, call: str) -> None:
    """Each call reads all files in a process of its own, and gives the same bytes as the plain folder."""
    bench = small_bench(tmp_path)
    ApiWork(call).measure(bench)
    assert set(bench.results.lines[Key(f"api-{call}", "warm")].values) == {"plain", "artfs"}
    with pytest.raises(WrongBytes):
        bench.results.check(Key(f"api-{call}", "seen"), "artfs", 0)


def test_calls_that_versions_lack_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a call that this artfs does not have is left out with the reason."""
    monkeypatch.setattr("benchmarks.apiwork.artfs.Version", object)
    bench = small_bench(tmp_path)
    ApiWork("read-many").measure(bench)
    assert bench.results.left_out == {"api-read-many: artfs": "versions have no read_many"}
    assert not bench.results.lines


def test_mounts_can_have_the_readahead_of_a_user(tmp_path: Path) -> None:
    """The variant for any user's mount reads ahead as the kernel does of its own accord; its name shows it."""
    bench = small_bench(tmp_path)
    user = Artfs(bench.data, tmp_path / "artfs", "direct", variant="user", readahead=128)
    assert user.name == "artfs user"
    user.prepare(["images"])
    shown: AbstractContextManager[dict[str, Path]] = user.shown(["images"])
    with shown as folders:
        device = folders["images"].stat().st_dev
        setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        assert setting.read_text() == "128\n"


def test_the_variant_without_a_lane_has_none(tmp_path: Path) -> None:
    """A mount with ``ARTFS_LANE=0`` is found to have no lane."""
    data = DataSets(tmp_path / "data", SMALL, lambda _: None)
    assert not has_lane(Artfs(data, tmp_path / "artfs", "direct", variant="no-lane", settings=LANE_OFF))


@pytest.mark.parametrize(
    ("with_lane", "says", "left"),
    [({ARTFS}, "on", [ARTFS, NO_LANE]), (set(), "off", [ARTFS]), ({ARTFS, NO_LANE}, "", [])],
)
def test_the_lane_is_compared_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_lane: set[str], says: str, left: list[str]
) -> None:
    """Without a lane the variant is artfs itself, and is left out; a lane that cannot be turned off ends the run."""
    data = DataSets(tmp_path, SMALL, lambda _: None)
    sides: list[Side] = [Artfs(data, tmp_path, "direct"), Artfs(data, tmp_path, "direct", variant="no-lane")]
    monkeypatch.setattr("benchmarks.lineup.has_lane", lambda side: side.name in with_lane)
    lineup = Lineup(sides)
    if not says:
        with pytest.raises(SideFailed, match="has a lane although"):
            lineup.check_lane()
        return
    assert (lineup.check_lane(), [side.name for side in lineup.sides]) == (says, left)
    assert bool(lineup.left_out) == (says == "off")


def test_processor_time_is_finer_than_ticks() -> None:
    """The clock of another process counts in less than the 10 ms of /proc."""
    readings = {cpu_seconds(os.getpid()) for _ in range(50)}
    assert len(readings) == 50 and max(readings) - min(readings) < 0.5


def test_data_scales() -> None:
    """A part of the full run has that part of everything, never nothing; the whole keeps its folder."""
    assert Scale.of(1) is FULL
    half = Scale.of(0.5)
    assert (half.name, half.images, half.image_folders, half.factor) == ("scale-0.5", 25_000, 500, 0.5)
    least = Scale.of(0.001)
    assert (least.releases, least.images, least.image_folders, least.table_bytes) == (
        4,
        100,
        2,
        1 << 20,
    )  # two of the releases are deleted from between others
    assert QUICK.factor == 0.125


def test_any_name_of_a_mount_point_is_read() -> None:
    """Mounts of others may have any bytes in their names: they do not end the run, and their escapes are undone."""
    assert unescaped(rb"/mnt/a\040b\134c") == r"/mnt/a b\c"
    assert os.fsencode(unescaped(b"/mnt/\xfe\xc3\xa9")) == b"/mnt/\xfe\xc3\xa9"


@pytest.mark.parametrize(
    ("files", "example"), [(0, "passthrough_ll"), (5000, "passthrough_ll"), (5001, "passthrough_fh")]
)
def test_the_faster_example_in_c_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, example: str
) -> None:
    """The example whose look-ups search a list takes part in works with few files, the other one in the rest."""
    commands: list[list[str]] = []

    def serve(self: Passthrough, command: list[str | Path], point: Path) -> Path:
        commands.append([str(each) for each in command])
        return point

    monkeypatch.setattr(Passthrough, "serve", serve)
    peer = Passthrough(DataSets(tmp_path / "data", SMALL, lambda _: None), tmp_path)
    peer.opens = files
    peer.mount(["images"])
    assert str(tmp_path / example) in commands[0]
    assert peer.sources("images") == [tmp_path / "data" / "small" / "images"]


def test_the_example_in_c_comes_from_the_source_package_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers without examples: the archive of the source package has them, and its signature is passed over."""

    def apt_get(command: Sequence[str | Path], *rest: object, cwd: Path | None = None) -> bytes:
        if command[0] != "apt-get":
            return run(command, cwd=cwd)
        with tarfile.open(tmp_path / "fuse3_3.14.0.orig.tar.xz", "w:xz") as archive:
            archive.add(tmp_path / "code", "fuse-3.14.0/example/passthrough_ll.c")
        (tmp_path / "fuse3_3.14.0.orig.tar.xz.asc").touch()
        return b""

    (tmp_path / "code").write_text("int main;")
    peer = Passthrough(DataSets(tmp_path, SMALL, lambda _: None), tmp_path)
    monkeypatch.setattr("benchmarks.peers.EXAMPLES", tmp_path / "none")
    monkeypatch.setattr("benchmarks.peers.run", lambda *_, **__: b"")
    with pytest.raises(SideFailed, match="neither libfuse3-dev nor its source package"):
        peer.source("passthrough_ll")
    monkeypatch.setattr("benchmarks.peers.run", apt_get)
    assert peer.source("passthrough_ll").read_text() == "int main;"
