"""`artfs diff --content` on versions and folders: rows, lines, tensors and moved images; failures are sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from artfs.comparing.contents import content_differences
from artfs.contents.sources import equal_ranges, version_source
from artfs.documents.contents import FileDifference
from artstore.workspace import Workspace, init_workspace


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for digit in "34":
        (folder / digit).mkdir()
    (folder / "3/a.png").write_bytes(b"\x89PNG\r\n\x1a\n image")
    (folder / "t.csv").write_text("id,x\n1,=1+1\n2,b\n")
    (folder / "notes.txt").write_text("one\ntwo\n")
    (folder / "bad.parquet").write_bytes(b"PAR1 is not one")
    save_file({"w": np.zeros(10), "b": np.ones(3)}, folder / "m.safetensors")
    (folder / "blob").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture(scope="module")
def workspace(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Version 0 and 1, and the folder, which is version 1."""
    with init_workspace(tmp_path_factory.mktemp("w") / "ws") as made:
        made.put(data, "x")
        (data / "3/a.png").rename(data / "4/a.png")
        (data / "t.csv").write_text("id,x\n1,=1+1\n2,c\n3,d\n")
        (data / "notes.txt").write_bytes(b"one\r\ntwo")
        (data / "bad.parquet").write_bytes(b"PAR1 is none")
        save_file({"w": np.ones(10), "b": np.ones(3)}, data / "m.safetensors")
        (data / "blob").write_bytes(bytes(range(255)))
        made.put(data, "x")
        yield made  # type: ignore[misc]


@pytest.mark.parametrize("new", ["x:v1", "folder"])
def test_each_form(workspace: Workspace, data: Path, new: str) -> None:
    new = str(data) if new == "folder" else new
    difference = workspace.diff("x:v0", new)
    found: dict[str, FileDifference] = {
        each.path: each for each in content_differences(workspace, "x:v0", new, difference)
    }
    assert sorted(found) == ["bad.parquet", "blob", "m.safetensors", "notes.txt", "t.csv"]
    table = found["t.csv"].table
    assert table is not None
    assert (table.key, table.added, table.changed, table.removed) == (["id"], 1, 1, 0)
    assert found["blob"].form == "binary"
    assert found["bad.parquet"].failure is not None
    assert [(each.name, each.kind) for each in found["m.safetensors"].tensors] == [("w", "content")]
    assert [line.text for line in found["notes.txt"].lines if line.kind == "added"] == [
        "one [CR]",
        "two [no newline at the end]",
    ]


def test_equal_chunks_are_not_read(tmp_path: Path) -> None:
    """Ranges of large files: equal where their bytes are, by chunks that both have, and by bytes at their ends."""
    random = np.random.default_rng(1)
    old = random.bytes(3 << 20)
    new = old[: 1 << 20] + b"insert" + old[1 << 20 :]
    folder = tmp_path / "d"
    folder.mkdir()
    with init_workspace(tmp_path / "ws") as workspace:
        (folder / "f").write_bytes(old)
        one = workspace.put(folder, "x")
        (folder / "f").write_bytes(new)
        other = workspace.put(folder, "x")
        with version_source(one, "f") as a, version_source(other, "f") as b:
            assert len(a.parts(0, a.size)) > 1
            read: list[int] = []
            counted = b._replace(file=b.file)
            assert equal_ranges(a, (1 << 20) + 5, counted, (1 << 20) + 11, (2 << 20) - 5)
            assert not equal_ranges(a, 0, b, 0, 2 << 20)
            assert equal_ranges(a, 0, b, 0, 1 << 20)
            tail = a.parts((1 << 20) + 5, a.size)
            assert {part[0] for part in tail} & {part[0] for part in b.parts((1 << 20) + 11, b.size)}, read


def test_command(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    from artfs.cli.main import main

    def said(*arguments: str) -> str:
        code = main(["-w", str(workspace.path), *arguments])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    text = said("diff", "--content", "x:v0", "x:v1")
    assert "3 -> 4: 1 image\n" in text
    assert "1 added, 0 removed, 1 changed" in text
    assert "not compared: the content cannot be read" in text
    document = json.loads(said("diff", "--json", "--content", "--key", "id", "x:v0", "x:v1"))
    assert document["schema"] == "artfs.diff_content/1"
    assert document["moves"] == [{"old": "3", "new": "4", "files": 1, "images": 1}]
