"""The programs in the documents run as they stand there, and do what the text around them says."""

from __future__ import annotations

import re
from pathlib import Path

import artfs

REPOSITORY = Path(__file__).parents[3]


def programs(document: str, word: str) -> list[str]:
    """Return the Python blocks of a document that have a word in them."""
    text = (REPOSITORY / document).read_text()
    return [code for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if word in code]


def test_the_tour_of_runs(workspace: artfs.Workspace) -> None:
    Path("digits").mkdir()
    Path("digits/1.png").write_text("1")
    Path("weights.pt").write_text("weights")
    workspace.put("digits", "dataset", type="dataset")
    (code,) = programs("docs/runs.md", "use_artifact")
    exec(compile(code, "runs.md", "exec"), {})
    model = workspace.version("digits/model:best")
    assert model.metadata == {"accuracy": 0.93}
    assert {node.name for node in workspace.lineage(model.name, down=False).nodes} >= {"dataset:v0"}
    assert artfs.Api().runs("digits")[0].history()[0]["loss"] == 0.25


def test_several_runs(workspace: artfs.Workspace) -> None:
    run = artfs.init(project="p")
    shard = artfs.Artifact("results", "dataset")
    with shard.new_file("part") as file:
        file.write("part")
    (code,) = programs("docs/runs.md", "upsert_artifact")
    exec(compile(code, "runs.md", "exec"), {"artfs": artfs, "run": run, "shard": shard})
    assert workspace.version("p/results").read_bytes("part") == b"part"


def test_values_in_a_notebook(workspace: artfs.Workspace) -> None:
    """The last line of the cell is a difference, which the notebook shows."""
    Path("digits").mkdir()
    for text in ("1", "2"):
        Path("digits/1.png").write_text(text)
        workspace.put("digits", "digits")
    (code,) = programs("docs/runs.md", "compare")
    *lines, last = code.strip().splitlines()
    cell: dict[str, object] = {}
    exec(compile("\n".join(lines), "runs.md", "exec"), cell)
    (change,) = eval(last, cell)
    assert (change.kind, change.path) == ("changed", "1.png")
