"""One version made by several runs: all that they brought, once, and conflicts with two names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import artfs
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from messages import missing, raises
from store.oracle import assert_sound

WORKERS, FILES = 8, 150
WORKER = """
import sys, artfs
from pathlib import Path
number, files = int(sys.argv[1]), int(sys.argv[2])
run = artfs.init(project="p", group="batch", job_type="shard")
artifact = artfs.Artifact("results", "dataset", metadata={f"worker_{number}": number})
folder = Path(f"worker-{number}")
folder.mkdir()
for index in range(files):
    (folder / f"{number}-{index}").write_text(f"{number} {index}")
artifact.add_dir(folder, "shared" if number % 2 else None)
run.upsert_artifact(artifact)
"""


def brought(run: artfs.Run, path: str, text: str, **said: object) -> artfs.Artifact:
    artifact = artfs.Artifact("results", "dataset", **said)  # type: ignore[arg-type]
    with artifact.new_file(path) as file:
        file.write(text)
    return artifact


def test_many_at_once(workspace: artfs.Workspace) -> None:
    Path("worker.py").write_text(WORKER)
    workers = [subprocess.Popen([sys.executable, "worker.py", str(number), str(FILES)]) for number in range(WORKERS)]
    assert [worker.wait(120) for worker in workers] == [0] * WORKERS
    run = artfs.init(project="p", group="batch")
    final = run.finish_artifact(artfs.Artifact("results", "dataset", metadata={"workers": WORKERS}))
    assert final.file_count == WORKERS * FILES
    assert final.metadata == {"workers": WORKERS, **{f"worker_{n}": n for n in range(WORKERS)}}
    found = {entry.path: entry.size for entry in final.files()}
    for number in range(WORKERS):
        for index in range(FILES):
            path = f"{number}-{index}"
            assert found[f"shared/{path}" if number % 2 else path] == len(f"{number} {index}")
    graph = workspace.lineage("p/results:v0", down=False)
    assert sum(node.kind == "run" for node in graph.nodes) == WORKERS + 1
    workspace.gc(now=True)
    assert_sound(workspace)


def test_a_conflict_names_both(workspace: artfs.Workspace) -> None:
    first = artfs.init(project="p", id="one", group="g")
    first.upsert_artifact(brought(first, "x", "1"))
    first.upsert_artifact(brought(first, "same", "same"))
    second = artfs.init(project="p", id="two", group="g")
    with raises(ExistsError, names=["'x'", "'p/one'", "'p/two'"]):
        second.upsert_artifact(brought(second, "x", "2"))
    second.upsert_artifact(brought(second, "same", "same"))
    second.upsert_artifact(brought(second, "x", "3"), on_conflict="last")
    final = second.finish_artifact(artfs.Artifact("results", "dataset"))
    assert workspace.version(final.qualified_name).read_bytes("x") == b"3"
    with raises(InvalidInputError, names=["on_conflict"]):
        second.upsert_artifact(brought(second, "x", "2"), on_conflict="first")
    assert_sound(workspace)


def test_finishing_once(workspace: artfs.Workspace, caplog: pytest.LogCaptureFixture) -> None:
    run = artfs.init(project="p", group="g")
    with raises(NotFoundError, names=["'p/results'", "'g'"]):
        run.finish_artifact(artfs.Artifact("results", "dataset"))
    run.upsert_artifact(brought(run, "a", "a", description="a worker's", metadata={"a": 1, "b": 1}))
    final = run.finish_artifact(brought(run, "b", "b", description="the last word", metadata={"b": 2}))
    assert (final.name, final.description, final.metadata) == ("results:v0", "the last word", {"a": 1, "b": 2})
    assert [entry.path for entry in final.files()] == ["a", "b"]
    assert run.finish_artifact(artfs.Artifact("results", "dataset")).version == "v0"
    caplog.clear()
    run.upsert_artifact(brought(run, "late", "late"))
    (notice,) = caplog.messages
    assert notice.startswith("artfs: ") and notice.count("\n") == 0 and not missing(notice, ["p/results:v0"])
    final = run.finish_artifact(artfs.Artifact("results", "dataset"))
    assert (final.name, [entry.path for entry in final.files()]) == ("results:v1", ["late"])
    assert_sound(workspace)


def test_names_of_what_is_made_together(workspace: artfs.Workspace) -> None:
    run = artfs.init(project="p")
    with raises(InvalidInputError, reason="no shared name"):
        run.upsert_artifact(unnamed := brought(run, "a", "a"))
    unnamed.discard()
    for shared in ("batch_42", "a/b:c", "x" * 300, "..", "ünï"):
        run.upsert_artifact(brought(run, "a", "a"), distributed_id=shared)
    drafts = workspace.drafts.all()
    assert len(drafts) == 5
    assert {draft.artifact for draft in drafts} == {"p/results"}
    drafts[0].abort()
    with pytest.raises(NotFoundError):
        run.finish_artifact(artfs.Artifact("results", "dataset"), distributed_id="batch_42")
    run.finish_artifact(artfs.Artifact("results", "dataset"), distributed_id="..")
    assert len(workspace.drafts.all()) == 3
    for draft in workspace.drafts.all():
        draft.abort()
    workspace.gc(now=True)
    assert_sound(workspace)
    assert os.listdir(workspace.path / "run" / "drafts") == []
