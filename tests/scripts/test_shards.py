"""The suite in several processes leaves out no test file and hides no failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.durations import measured, read_durations, with_estimates, write_durations
from suite.shards import APART, DURATIONS, ROOT, Shard, balanced, dealt, list_test_files, run_shards, selected

TEST_FILES = list_test_files(ROOT)


def shards_of(folder: Path, **files: str) -> list[Shard]:
    """Write test files, and return a shard for each."""
    above = folder / "above"
    above.mkdir()
    (folder / "tests").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        (folder / "tests" / f"test_{name}.py").write_text(text)
    return [Shard(number, [file], above) for number, file in enumerate(list_test_files(folder), 1)]


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1000), min_size=1), st.integers(1, 8))
def test_every_file_is_in_one_list(durations: dict[str, float], count: int) -> None:
    """No list is empty, and the longest exceeds the shortest by no more than the longest file."""
    lists = balanced(durations, count)
    assert sorted(file for files in lists for file in files) == sorted(durations)
    assert all(lists) and len(lists) == min(count, len(durations))
    sums = [sum(durations[file] for file in files) for files in lists]
    assert max(sums) - min(sums) <= max(durations.values()) + 1e-6


OTHERS = st.text(min_size=1).map("tests/store/{}".format)


@given(st.dictionaries(OTHERS, st.floats(0, 1000)), st.integers(0, 3), st.integers(1, 8))
def test_tests_in_a_browser_are_one_process(durations: dict[str, float], pages: int, count: int) -> None:
    """They are in one list, in which nothing else is, whatever they take; every file is in one list."""
    of_pages = {f"{APART}/test_{number}.py": 100.0 * number for number in range(pages)}
    lists = dealt(durations | of_pages, count)
    assert sorted(file for files in lists for file in files) == sorted([*durations, *of_pages])
    assert [files for files in lists if set(files) & set(of_pages)] == ([sorted(of_pages)] if pages else [])


def test_files_are_selected_by_folder_and_duration() -> None:
    """Whole names of folders count, and a file that takes longer than the limit is left out."""
    durations = {
        "tests/fs/test_a.py": 1.0,
        "tests/fs/test_b.py": 9.0,
        "tests/fsx/test_c.py": 1.0,
        "tests/test_d.py": 1.0,
    }
    assert selected(durations, ["tests/fs"], 2) == {"tests/fs/test_a.py": 1.0}
    assert selected(durations, ["tests/fs/test_b.py", "tests/test_d.py"], 10).keys() == {
        "tests/fs/test_b.py",
        "tests/test_d.py",
    }
    assert selected(durations, ["tests"], float("inf")) == durations


def test_this_file_is_found() -> None:
    """Files that were never measured are run too, with the median as their duration."""
    this = str(Path(__file__).relative_to(ROOT))
    assert this in TEST_FILES
    estimates = with_estimates([*TEST_FILES, "tests/test_new.py"], {"tests/a": 1, "tests/b": 2, "tests/c": 9})
    assert estimates.keys() == {*TEST_FILES, "tests/test_new.py"}
    assert set(estimates.values()) == {2}


def test_most_durations_are_known() -> None:
    """What is balanced is the suite as it is, by and large."""
    assert len(read_durations(DURATIONS).keys() & set(TEST_FILES)) > len(TEST_FILES) / 2
    assert read_durations(DURATIONS.with_name("absent.json")) == {}


def test_one_failure_fails_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The output of all shards is printed, with the closing line of each; durations come from their reports."""
    shards = shards_of(
        tmp_path,
        good="import os, tempfile\ndef test_one(): assert os.environ['TMPDIR'] == tempfile.gettempdir()",
        bad="def test_two(): assert 'the left' == 'the right'",
        killed="import os, signal\ndef test_three(): os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert run_shards(shards, tmp_path) == 1
    printed = capfd.readouterr().out
    assert "assert 'the left' == 'the right'" in printed
    lines = printed.splitlines()[-3:]
    assert [line.split(" in ")[0] for line in lines] == [
        "shard 1: FAILED: 1 failed",
        "shard 2: passed: 1 passed",
        "shard 3: FAILED: ended by SIGKILL",
    ]
    assert measured(shard.report for shard in shards[:2]).keys() == {"tests/test_bad.py", "tests/test_good.py"}


def test_all_pass(tmp_path: Path) -> None:
    """Each shard has a folder of its own, and the run's exit code is 0."""
    shards = shards_of(tmp_path, a="def test_one(): pass", b="def test_two(): pass")
    assert run_shards(shards, tmp_path) == 0
    assert sorted(shard.folder.name for shard in shards) == ["1", "2"]


def test_a_run_that_is_ended_ends_its_shards(tmp_path: Path) -> None:
    """SIGTERM reaches the tests as Ctrl-C, so that they take away what they made."""
    text = "import pathlib, time\ndef test_long(tmp_path):\n    try: pathlib.Path('begun').touch(); time.sleep(60)\n"
    shards_of(tmp_path, long=text + "    finally: pathlib.Path('ended').touch()\n")
    code = "import sys; from pathlib import Path; from suite.shards import Shard, run_shards; root = Path(sys.argv[1])"
    code += "; run_shards([Shard(1, ['tests/test_long.py'], root / 'above')], root)"
    run = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    )
    while not (tmp_path / "begun").exists():
        assert run.poll() is None
        time.sleep(0.01)
    run.terminate()
    assert run.wait(30) == 128 + 15
    assert (tmp_path / "ended").exists()


def test_durations_are_kept(tmp_path: Path) -> None:
    write_durations(tmp_path / "kept.json", {"tests/b": 1.234, "tests/a": 2})
    assert read_durations(tmp_path / "kept.json") == {"tests/a": 2.0, "tests/b": 1.2}
    assert (tmp_path / "kept.json").read_text().count("\n") == 4
