"""The comparison of two checkouts: ratios of the same round, verdicts that are sure, and which code each side runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.checkouts import Checkout
from benchmarks.comparison import Comparison, Unit, alternated
from benchmarks.loaderwork import LoaderWork
from benchmarks.mountworks import MountWork
from benchmarks.processes import SideFailed
from benchmarks.results import Results, WrongBytes
from benchmarks.visits import Sources


def compared(this: list[float], other: list[float], unit: Unit = Unit.SECONDS) -> str:
    """Return the line of the table for these values."""
    comparison = Comparison(("this", "other"))
    for own, its in zip(this, other, strict=True):
        comparison.add("this", "put", own, unit)
        comparison.add("other", "put", its, unit)
    return comparison.table()[2]


def test_a_ratio_is_of_the_same_round() -> None:
    """Load that slows both sides of a round changes the medians, and not the ratio."""
    load = [1, 5, 2, 9, 3, 7]
    line = compared([2.0 * each for each in load], [1.0 * each for each in load])
    assert line == "| put | 4.000 s | 8.000 s | 2.000 [2.000, 2.000] | slower |"


def test_a_verdict_needs_six_rounds_and_an_interval_without_one() -> None:
    """Few rounds are marked and give no verdict; neither does an interval that contains 1."""
    assert compared([1.0] * 5, [2.0] * 5).endswith("| ~ 0.500 [0.500, 0.500] |  |")
    assert compared([1.0] * 6, [2.0] * 6).endswith("| 0.500 [0.500, 0.500] | faster |")
    assert compared([1.0] * 6, [2.0] * 5 + [0.5]).endswith("[0.500, 2.000] |  |")
    assert compared([3e6] * 6, [2e6] * 6, Unit.BYTES).endswith("| 2.00 MB | 3.00 MB | 1.500 [1.500, 1.500] | larger |")


def test_rounds_alternate() -> None:
    """Each side is as often first as second, but for one round."""
    assert [name for _, name in alternated(["a", "b"], 3)] == ["a", "b", "b", "a", "a", "b"]


def test_sides_that_read_different_content_are_not_compared() -> None:
    """What one side reads must be what the other side reads, in every round."""
    comparison = Comparison(("this", "other"))
    comparison.check("this", "find", (3, "hash"))
    with pytest.raises(WrongBytes, match="find: other"):
        comparison.check("other", "find", (2, "hash"))


def test_a_checkout_runs_its_own_code(tmp_path: Path) -> None:
    """The commands of a checkout import its packages, and its own environment is used only if there is one."""
    for folder, package in (("fs", "artfs"), ("store", "artstore")):
        (tmp_path / folder / package).mkdir(parents=True)
        (tmp_path / folder / package / "__init__.py").touch()
    (tmp_path / "fs/artfs/__main__.py").write_text("import sys\nsys.exit('another artfs')\n")
    checkout = Checkout("other", tmp_path, tmp_path / "run")
    assert checkout.python == Path(sys.executable)
    with pytest.raises(SystemExit, match="another artfs"):
        checkout.prepare().run("ls")


def test_a_folder_without_the_code_is_refused(tmp_path: Path) -> None:
    """A comparison with a folder that holds no checkout ends with a message."""
    with pytest.raises(SideFailed, match="is not a checkout"):
        Checkout("other", tmp_path, tmp_path / "run").prepare()


def test_sources_are_made_once_and_ten_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change gives ten files other content of the same size; the same seed gives the same content again."""
    monkeypatch.setattr("benchmarks.visits._SETTLED", 0)
    sources = Sources.make(tmp_path, 105, 1 << 16)
    states = []
    for seed in (0, 1, 0):
        sources.change(seed)
        states.append({path: path.read_bytes() for path in sorted(sources.small.glob("*/*"))})
    assert states[0] == states[2]
    assert len(states[0]) == 105
    assert sum(states[0][path] != states[1][path] for path in states[0]) == 10
    assert all(len(states[0][path]) == len(states[1][path]) for path in states[0])
    assert Sources.make(tmp_path, 105, 1 << 16) == sources
    assert states[2] == {path: path.read_bytes() for path in sorted(sources.small.glob("*/*"))}


def test_works_that_need_pytorch_are_left_out_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch the other works run, and the report names what was left out."""
    results = Results()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    works = bench.runnable([LoaderWork(2), MountWork()], results)
    assert [work.name for work in works] == ["mount"]
    assert results.left_out == {"loader-2: all sides": "PyTorch is not installed"}
