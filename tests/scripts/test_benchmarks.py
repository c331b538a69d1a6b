"""What the benchmark says can be believed: intervals, verdicts, turns, and that wrong bytes are never compared."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import datasets, reading, registrywork
from benchmarks.__main__ import all_works, chosen
from benchmarks.goals import FILES, GOALS, verdicts
from benchmarks.intervals import interval
from benchmarks.keepers import KEEPERS
from benchmarks.plan import announce
from benchmarks.plot import plot
from benchmarks.processes import SideFailed
from benchmarks.readworks import Reading, ReadWork
from benchmarks.regimes import Regime
from benchmarks.report import markdown, written_into
from benchmarks.results import FIRST_PUT, Key, Line, Results, Shown, WrongBytes
from benchmarks.rounds import JUDGED, Bench
from benchmarks.sides import Side


class Folders:
    """Data sets that are there already."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        return self.root / name

    def bytes(self, name: str) -> int:
        return 1000

    def files(self, name: str) -> int:
        return 10


class Shows(Side):
    """A side that shows folders as they lie."""

    serves = False

    def __init__(self, name: str, root: Path) -> None:
        super().__init__(Folders(root), root)  # type: ignore[arg-type]
        self.name = name

    def store(self, name: str) -> None:
        if not (self.folder / name).exists():
            raise SideFailed("nothing is stored")

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        return {name: self.folder / name for name in names}

    def unmount(self, *, lazily: bool = False) -> None:
        pass

    def processes(self) -> list[int]:
        return []


def bench(sides: list[Side], *, pairs: int = 6, peer_rounds: int = 2, patience: float = 60) -> Bench:
    data: Any = Folders(sides[0].folder if sides else Path())
    # The other regime would empty the page cache of the machine.
    return Bench(data, Path(), "auto", sides, Results(), pairs, peer_rounds, patience, (Regime.MEMORY,))


def results(key: Key, **values: Sequence[float]) -> Results:
    found = Results()
    found.add(key, Line("work", values={side: dict(enumerate(each)) for side, each in values.items()}))
    return found


@pytest.mark.parametrize("count", range(1, 12))
def test_interval_holds_the_median(count: int) -> None:
    """Of all ways in which n values lie above and below the true median, at most 5 % have the interval miss it."""
    found = interval(list(range(count)))
    rank = int(found.low) + 1
    missed = sum(
        below < rank or count - below < rank for below in map(sum, itertools.product((0, 1), repeat=count))
    ) / (2**count)
    assert found.sure == (missed <= 0.05) == (count >= 6)
    assert found.high == count - 1 - found.low
    if found.sure:
        closer = sum(
            below < rank + 1 or count - below < rank + 1 for below in map(sum, itertools.product((0, 1), repeat=count))
        )
        assert closer / (2**count) > 0.05 or rank + 1 > count - rank


def test_ratios_are_of_pairs() -> None:
    """A ratio compares what ran in the same round; rounds in which one side did not run are passed over."""
    line = Line("work", values={"artfs": {0: 1.0, 1: 2.0, 2: 4.0}, "peer": {0: 3.0, 2: 4.0}})
    found = line.ratio("artfs", "peer")
    assert found is not None
    assert (found.low, found.high, found.values) == (1.0, 3.0, 2)
    assert line.ratio("artfs", "nobody") is None


def test_the_worse_end_decides() -> None:
    """A median beyond the goal does not reach it while the interval's worse end does not."""
    key = Key("random-4k", "cold")  # at least 0.45
    good = results(key, plain=[1.0] * 7, artfs=[2.0] * 7)
    unsure = results(key, plain=[1.0] * 7, artfs=[2.0] * 6 + [3.0])
    few = results(key, plain=[1.0] * 5, artfs=[2.0] * 5)
    assert [verdict.text for verdict in verdicts(good)] == ["reached"]
    assert [verdict.text for verdict in verdicts(unsure)] == ["not reached"]
    assert [verdict.text for verdict in verdicts(few)] == ["too few rounds"]


def test_the_strongest_peer_counts() -> None:
    """A goal beside several peers is judged by the one that did best, and not at all while one is missing."""
    key = Key("put-images", "")
    both = results(key, artfs=[1.0] * 6, borg=[5.0] * 6, restic=[1.4] * 6)
    [verdict] = verdicts(both)
    assert (verdict.against, verdict.text) == ("restic", "not reached")
    [verdict] = verdicts(results(key, artfs=[1.0] * 6, borg=[5.0] * 6))
    assert verdict.text == "restic not measured"


def test_absolute_goals_and_first_puts() -> None:
    """Goals without a peer are limits of what is taken; a second put is compared with the first of the same round."""
    [verdict] = verdicts(results(Key("mount", ""), artfs=[0.1] * 5 + [0.3]))
    assert verdict.text == "not reached"
    again = results(Key("put-images", "again"), artfs=[0.1] * 6)
    again.lines[Key("put-images", "again")].before.update(dict.fromkeys(range(6), 1.1))
    [verdict] = verdicts(again)
    assert (verdict.against, verdict.text) == (FIRST_PUT, "reached")


def test_goals_name_peers_states_and_sides_that_are_measured() -> None:
    """Both regimes have goals beside both peers for each kind of read, and no goal waits for what no run measures."""
    works = {work.name: work for work in all_works([1, 4, 16], KEEPERS)}
    wanted = {(goal.key.work, goal.key.state, side) for goal in GOALS for side in goal.over}
    kinds = ["read-checkpoint", "read-table", "random-4k", "random-64k", "memmap"]
    kinds += [f"{which}-{readers}" for which in ("first", "files") for readers in FILES]
    for kind in kinds:
        assert {(kind, state, peer) for state in ("cold", "memory") for peer in ("squashfuse", "passthrough")} <= wanted
    measured = bench([])
    measured.regimes = tuple(Regime)
    for goal in GOALS:
        work = works[goal.key.work]
        if isinstance(work, ReadWork):
            state, _, unit = goal.key.state.partition(" ")
            assert state in work.states(measured) and (not unit or work.processor)
            assert goal.side == "artfs" or goal.side in work.variants
            assert set(goal.over) <= set(JUDGED)


def test_some_goals_are_of_a_variant_and_some_of_full_data() -> None:
    """A variant is judged by its own values; what a full run stores is not compared with the bytes of less data."""
    found = results(Key("read-table", "cold"), plain=[1.0] * 7, **{"artfs user": [1.9] * 7})
    assert [(verdict.goal.side, verdict.goal.limit, verdict.text) for verdict in verdicts(found)] == [
        ("artfs user", 0.5, "reached")
    ]
    assert "| work (artfs user) |" in markdown(found)
    memory = results(Key("memory", ""), artfs=[81e6] * 7)
    assert verdicts(memory) == []
    memory.facts["data"] = "full"
    assert [verdict.text for verdict in verdicts(memory)] == ["not reached"]


def test_every_goal_has_its_work() -> None:
    """What has a goal is measured by default, and every work can be chosen by name or by its beginning."""
    works = all_works([1, 4, 16], KEEPERS)
    names = [work.name for work in works]
    assert {goal.key.work for goal in GOALS} <= set(names)
    assert len(set(names)) == len(names)
    assert [work.name for work in chosen(works, ["files-1"])] == ["files-1"]
    assert [work.name for work in chosen(works, ["random"])] == ["random-4k", "random-64k"]
    with pytest.raises(SystemExit, match="no such work"):
        chosen(works, ["random-"])


def test_order_changes_and_peers_run_less() -> None:
    """Each round begins with another side; peers run in their rounds only, artfs and the plain folder in all."""
    visits: list[tuple[int, str]] = []
    bench([]).turns("w", ["plain", "artfs", "peer"], lambda name, turn: visits.append((turn, name)))
    rounds = [[name for turn, name in visits if turn == number] for number in range(6)]
    assert [each[0] for each in rounds] == ["plain", "artfs", "plain", "plain", "plain", "artfs"]
    assert [len(each) for each in rounds] == [3, 2, 2, 3, 2, 2]


def test_slow_peers_run_once_and_failing_ones_are_named() -> None:
    """A peer that takes too long runs once and has no part in later works of the kind; one that fails is left out."""
    visits: list[str] = []

    def visit(name: str, turn: int) -> None:
        visits.append(name)
        if name == "broken":
            raise subprocess.CalledProcessError(1, "it")
        time.sleep({"slow": 0.4, "endless": 60.0}.get(name, 0.0))

    measured = bench([], patience=0.1)
    measured.results.add(Key("w-1", ""), Line("w", values={"broken": {0: 1.0}}))
    measured.turns("w-1", ["plain", "artfs", "slow", "broken", "endless"], visit)
    assert (visits.count("artfs"), visits.count("slow"), visits.count("broken")) == (6, 1, 1)
    assert measured.results.left_out["w-1: endless"] == "it took more than 1 s"
    assert sorted(measured.results.left_out) == ["w-1: broken", "w-1: endless"]
    assert measured.results.lines[Key("w-1", "")].values == {}
    assert sorted(measured.too_slow) == [("w", "endless"), ("w", "slow")]


def test_a_failing_artfs_ends_the_run() -> None:
    """Neither artfs nor the plain folder can be left out."""

    def visit(name: str, turn: int) -> None:
        if name == "artfs":
            raise SideFailed("no mount")

    with pytest.raises(SideFailed, match="artfs: no mount"):
        bench([]).turns("w", ["plain", "artfs"], visit)


@pytest.mark.parametrize("where", [0, 5000, 99_999])
def test_wrong_bytes_are_not_compared(tmp_path: Path, where: int) -> None:
    """One wrong byte anywhere in what artfs shows ends the run; in what a peer shows it leaves the peer out."""
    for name in ("plain", "artfs", "peer"):
        (tmp_path / name / "table").mkdir(parents=True)
        (tmp_path / name / "table" / "data").write_bytes(bytes(100_000))

    def measure(names: Sequence[str]) -> Bench:
        work = ReadWork(
            "read",
            "reading",
            "table",
            lambda plain: nullcontext(
                Reading(
                    lambda folder: reading.read_through(folder / "data"),
                    lambda folder: reading.hash_file(folder / "data"),
                )
            ),
        )
        measured = bench([Shows(name, tmp_path / name) for name in names], peer_rounds=1, pairs=1)
        work.measure(measured)
        return measured

    assert set(measure(["plain", "artfs", "peer"]).results.lines[Key("read", "warm")].values) == {
        "plain",
        "artfs",
        "peer",
    }
    for wrong in ("artfs", "peer"):
        content = bytearray(100_000)
        content[where] = 1
        (tmp_path / wrong / "table" / "data").write_bytes(content)
        if wrong == "artfs":
            with pytest.raises(WrongBytes):
                measure(["plain", "artfs"])
        else:
            (tmp_path / "artfs" / "table" / "data").write_bytes(bytes(100_000))
            measured = measure(["plain", "artfs", "peer"])
            assert set(measured.results.lines[Key("read", "warm")].values) == {"plain", "artfs"}
            assert "is not what the other sides hold" in measured.results.left_out["read: peer"]


@pytest.mark.parametrize("processes", [True, False])
def test_readers_read_everything_once(tmp_path: Path, processes: bool) -> None:
    """However many readers share the files, they see the same; another name or another byte is seen."""
    datasets.write_files(tmp_path, 20, 3, datasets.label_content(1))
    names = reading.shuffled_files(tmp_path, 1)
    assert len(set(names)) == 20
    seen = set()
    for count in (1, 3):
        with reading.readers(names, count, processes=processes) as pool:
            seen.add((pool.read(tmp_path).seen, pool.hash(tmp_path)))
    assert len(seen) == 1
    whole = reading.hash_folder(tmp_path)
    (tmp_path / names[0]).rename((tmp_path / names[0]).with_name("renamed"))
    assert reading.hash_folder(tmp_path) != whole


def test_random_reads_are_checked(tmp_path: Path) -> None:
    """Both ways of reading at random return what lies there: a changed file is seen."""
    file = tmp_path / "data"
    datasets.write_noise(file, 1 << 20, seed=1)
    first = [reading.read_at_random(file, 4096, 50, 1).seen, reading.read_mapped(file, 50, 1).seen]
    assert first == [reading.read_at_random(file, 4096, 50, 1).seen, reading.read_mapped(file, 50, 1).seen]
    datasets.write_noise(file, 1 << 20, seed=2)
    assert first[0] != reading.read_at_random(file, 4096, 50, 1).seen
    assert first[1] != reading.read_mapped(file, 50, 1).seen


def test_data_is_the_same_everywhere(tmp_path: Path) -> None:
    """The generators give the bytes that they always gave."""
    datasets.write_noise(tmp_path / "noise", 100_000, seed=1)
    datasets.write_records(tmp_path / "records", 1000, seed=4)
    datasets.write_files(tmp_path, 7, 2, datasets.image_content(5))
    datasets.write_files(tmp_path / "00000", 7, 2, datasets.label_content(6))
    assert reading.hash_file(tmp_path / "noise") == "356ceee3f8df3717"
    assert reading.hash_file(tmp_path / "records") == "79b810ae0d1f67b6"
    assert reading.hash_folder(tmp_path) == 133928410989539656025


def test_one_row_of_a_hundred_changes(tmp_path: Path) -> None:
    """The second checkpoint differs from the first in whole rows, one of a hundred, not side by side."""
    file = tmp_path / "weights"
    datasets.write_noise(file, 400 * datasets.ROW, seed=1)
    before = file.read_bytes()
    datasets.change_rows(file, seed=3)
    after = file.read_bytes()
    rows = range(0, len(before), datasets.ROW)
    changed = [row for row in rows if before[row : row + datasets.ROW] != after[row : row + datasets.ROW]]
    assert (len(before), len(changed)) == (len(after), 4)
    assert max(changed) - min(changed) > 10 * datasets.ROW


def test_data_is_made_once(tmp_path: Path) -> None:
    """A data set that was begun and not finished is recreated; one that is there is left alone."""
    scale = datasets.Scale("small", 0, 6, 2, 1 << 16, 1 << 16, 4, 2)
    data = datasets.DataSets(tmp_path, scale, lambda _: None)
    (tmp_path / "small" / "images" / "left").mkdir(parents=True)
    assert (data.files("images"), (data.folder("images") / "left").exists()) == (6, False)
    kept = (data.folder("images") / "00000" / "0000000.bin").stat().st_mtime_ns
    again = datasets.DataSets(tmp_path, scale, lambda _: None)
    assert (again.folder("images") / "00000" / "0000000.bin").stat().st_mtime_ns == kept
    assert [version.name for version in data.versions("checkpoints")] == ["00", "01"]
    assert (data.folder("checkpoint") / "data").samefile(data.folder("checkpoints") / "00" / "weights.bin")


def test_too_small_a_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the disk has no room for does not begin."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(SystemExit, match="1 GB free"):
        announce(datasets.FULL, [], [], 1, tmp_path)


def test_tables_go_into_the_document() -> None:
    """New tables take the place of the old between the marks; what a document says around them stays."""
    first = written_into("", "old | table\n")
    document = written_into(f"# Speed\n\n{first}\n## More\n", "new | table\n")
    assert "old" not in document
    assert document.startswith("# Speed\n\n<!--")
    assert document.endswith("-->\n\n## More\n")
    assert written_into(document, "new | table\n") == document


def test_tables_and_picture_are_whole() -> None:
    """Every row of every table has as many cells as its heading, and the picture is XML with every work's name."""
    measured = results(Key("random-4k", "cold"), plain=[1.0] * 6, artfs=[2.0] * 6, borg=[100.0])
    measured.add(
        Key("put-images", ""), Line("put & more", Shown.RATE, 10**9, 5, {"artfs": {0: 2.0}, "restic": {0: 3.0}})
    )
    measured.left_out["all: bup"] = "it is not there"
    text = markdown(measured)
    for table in text.split("\n\n"):
        assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) <= 1
    assert "| work | 0.5 | >= 0.45 | reached |" in text
    assert "left out of all: bup: it is not there" in text
    assert "| put & more | 500 | 333 |" in text
    drawing = ElementTree.fromstring(plot(measured))
    assert "work" in [element.text for element in drawing.iter() if element.tag.endswith("text")]
    in_memory = plot(results(Key("random-4k", "memory"), plain=[1.0] * 6, artfs=[20.0] * 6))
    assert "work" not in in_memory


def test_rounds_of_several_runs_count_together() -> None:
    """Each ratio is of one round of one run; runs of other machines or data are refused."""

    def run(plain: list[float], artfs: list[float], **facts: object) -> dict[str, Any]:
        results = Results()
        results.facts.update({"kernel": "k", "cores": 2, "file system": "ext4", "commit": "a", **facts})
        results.took["w"] = 5
        line = Line("t", bytes=10, files=1)
        line.values = {"plain": dict(enumerate(plain)), "artfs": dict(enumerate(artfs))}
        line.cpu = {"artfs": dict(enumerate(artfs))}
        results.add(Key("w", "cold"), line)
        return json.loads(json.dumps(results.document()))

    first, second = run([1, 1], [2, 4]), run([3], [3], commit="b")
    second["lines"][0]["values"]["peer"], second["lines"][0]["rounds"]["peer"] = [6], [0]
    together = Results.read([first, second])
    line = together.lines[Key("w", "cold")]
    ratio = line.ratio("artfs", "plain")
    assert ratio is not None and (ratio.median, ratio.low, ratio.high) == (0.5, 0.25, 1.0)
    peer = line.ratio("peer", "plain")
    assert peer is not None and peer.median == 0.5
    assert together.facts["commit"] == "a, b" and together.took == {"w": 10}
    assert Results.read([together.document()]).document() == together.document()
    with pytest.raises(ValueError, match="differ in cores"):
        Results.read([first, run([1], [1], cores=4)])
    second["lines"][0]["bytes"] = 11
    with pytest.raises(ValueError, match="other data"):
        Results.read([first, second])


def test_the_registry_is_measured(tmp_path: Path) -> None:
    """Every part runs on little data, and a figure beyond its goal is told from one within it."""
    figures: dict[str, float] = {}
    for found in registrywork.among_many(tmp_path, 20):
        figures |= found
    assert figures.keys() >= {"resolve_ms", "by_chain_ms", "find_ms", "stats_s", "open_mb", "listing_s", "beyond_kb"}
    (tmp_path / "turns").mkdir()
    figures |= registrywork.child("register_and_put", tmp_path / "turns", 2)
    assert figures.keys() <= {goal.figure for goal in registrywork.GOALS}
    reported = registrywork.report({"resolve_ms": 0.1, "by_chain_ms": 0.3, "listing_s": 2})
    assert [line.partition("(")[2] for line in reported] == ["goal 0.2: reached)", "goal 0.2: not reached)", ""]
