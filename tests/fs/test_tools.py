"""The examples of docs/tools.md run as they stand there, each in a process of its own."""

from __future__ import annotations

import io
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import h5py
import numpy as np
import pandas
import pytest

import artfs

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "tools.md"
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
CHECKS: Final = {
    "pandas.read_csv": "assert frame['a'].tolist() == [1, 2]",
    "polars": "assert frame['a'].to_list() == [1, 2]",
    "duckdb": "assert rows == [(1, 3), (2, 4)]",
    # The program does not end right after the read: as the page says, pyarrow's threads may abort it then.
    "pyarrow.parquet": "assert table.num_rows == dataset.to_table().num_rows == 2\nimport time; time.sleep(2)",
    "import datasets": "assert rows['a'] == [1, 2] and [row['b'] for row in stream] == [3, 4]",
    "dask": "assert frame['b'].tolist() == [3, 4]",
    "zarr": "assert part.tolist() == [23, 33]",
    "webdataset": "assert [sample['txt'] for sample in samples] == [b'0', b'1']",
    "upath": "assert names == ['rows.csv']",
    "h5py": "assert array.sum() == 45 and values.tolist() == [0, 1, 2]",
    "torch": "assert sum(map(len, next(iter(loader)))) > 0",
    "rsync": "",
}
"""A check of each block's result, by a word of the block."""
NOT_INSTALLED: Final = {
    "torch": "its wheel brings gigabytes of libraries; the extra `loader` installs it for scripts/bench"
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the user's current folder, with the workspace of the document."""
    here = tmp_path_factory.mktemp("tools")
    data = here / "data"
    data.mkdir()
    frame = pandas.DataFrame({"a": [1, 2], "b": [3, 4]})
    frame.to_csv(data / "rows.csv", index=False)
    frame.to_parquet(data / "rows.parquet")
    np.save(data / "x.npy", np.arange(10))
    with h5py.File(data / "x.h5", "w") as file:
        file["x"] = np.arange(3)
    make_group = f"import zarr; g = zarr.open_group({str(data / 'group.zarr')!r}, mode='w')\n" + (
        "import numpy; g.create_array('x', data=numpy.arange(100).reshape(10, 10), chunks=(5, 5), shards=(10, 10))"
    )
    subprocess.run([sys.executable, "-c", make_group], check=True)
    with closing(sqlite3.connect(data / "runs.db")) as database:
        database.executescript("create table runs (id); insert into runs values (1)")
    with tarfile.open(data / "shard-0.tar", "w") as shard:
        for number in range(2):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = 1
            shard.addfile(member, io.BytesIO(b"%d" % number))
    workspace = artfs.init_workspace(here / "ws")
    for _ in range(4):
        workspace.put(data, "team/table", new=True)
    return here


@pytest.fixture
def variables(folder: Path) -> dict[str, str]:
    own = {"ARTFS_WORKSPACE": str(folder / "ws"), "HOME": str(folder), "HF_HOME": str(folder / "hf")}
    return {**os.environ, **own, "HF_HUB_OFFLINE": "0"}


@pytest.fixture
def mount(folder: Path) -> Iterator[None]:
    (folder / "art").mkdir(exist_ok=True)
    with artfs.open_workspace(folder / "ws").mount(folder / "art"):
        yield


def named(block: str) -> str:
    """Return the word by which `CHECKS` knows a block."""
    (word,) = [word for word in CHECKS if word in block]
    return word


@pytest.mark.fuse
@pytest.mark.parametrize(("language", "block"), BLOCKS, ids=[named(block) for _, block in BLOCKS])
def test_the_example_runs(folder: Path, variables: dict[str, str], mount: None, language: str, block: str) -> None:
    word = named(block)
    if word in NOT_INSTALLED:
        pytest.importorskip(word, reason=NOT_INSTALLED[word])
    check = CHECKS[word]
    command = [sys.executable, "-c", f"{block}\n{check}"] if language == "python" else ["sh", "-euc", block]
    finished = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_check_is_used() -> None:
    assert sorted(named(block) for _, block in BLOCKS) == sorted(CHECKS)
