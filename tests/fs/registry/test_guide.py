"""The programs of the guide *Artifacts & Storage*, each in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.api import open_workspace
from artfs.registry import ArtifactRegistry, LibraryManager

BLOCKS = Path(__file__).parents[2] / "corpora" / "guide3"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the programs run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(number: int, through: Path | None = None) -> str:
    """Run a program of the guide in the present folder, or through one that looks at it; return what it prints."""
    path = os.pathsep.join([str(BLOCKS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    block = BLOCKS / f"block_{number:02}.py"
    command = [sys.executable, block] if through is None else [sys.executable, through, block]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def registry(here: Path, pipeline: str = "") -> ArtifactRegistry:
    return ArtifactRegistry(here / "workspace", "wheat_sample1", pipeline)


@pytest.mark.fuse
def test_register(here: Path) -> None:
    """The id is that of the chain alone, the folder is under the mount, and a second run makes no second version."""
    assert run(1) == run(1) == "Saved: 0001_pls_abc123$35f1eb7779ca:0\n"
    (record,) = registry(here).get_all_records()
    assert registry(here).versions(record.artifact_id) == [record] and record.params == {"n_components": 10}
    (here / "mnt").mkdir()
    workspace = open_workspace(here / "workspace" / ".artfs")
    with workspace.mount(here / "mnt"):
        folder = here / "mnt" / "runs/wheat_sample1/0001_pls_abc123/35f1eb7779ca/0/v0"
        assert sorted(os.listdir(folder)) == sorted(["record.json", record.payload])
        assert json.loads((folder / "record.json").read_text())["artifact_id"] == record.artifact_id
        assert (here / "mnt" / record.path).stat().st_size == record.size_bytes
        with pytest.raises(OSError, match="Read-only file system"):
            (folder / "record.json").write_text("")


def test_find(here: Path) -> None:
    """By id, chain, step and fold, whatever the order of registration."""
    assert re.fullmatch(r"0001_pls_abc123\$[0-9a-f]{12}:0 0 5 \[0, 1, 2, 3, 4\]\n", run(2))


def test_load(here: Path) -> None:
    """In another process, from a manifest that went through JSON; given ids stay, and folds come sorted."""
    loads = here / "loads.py"
    loads.write_text(
        "import runpy, sys, prepared, numpy\n"
        "names = runpy.run_path(sys.argv[1])\n"
        "X, y = prepared.spectra('wheat_sample1')\n"
        "scaled = prepared.fitted_scaler(X).transform(X)\n"
        "before = [model.predict(scaled) for model in prepared.fold_models(X, y)]\n"
        "assert [fold for fold, _ in names['fold_models']] == [0, 1, 2, 3, 4]\n"
        "for fold, model in names['fold_models']:\n"
        "    assert numpy.array_equal(model.predict(scaled), before[fold])\n"
        "((ident, model),) = names['artifacts']\n"
        "assert ident == '0001_pls$abc123:0' and numpy.array_equal(model.predict(scaled), before[0])\n"
        "chain = names['loader'].load_by_chain('s1.MinMaxScaler>s3.PLS', fold_id=0)\n"
        "assert chain is names['loader'].load_by_id(ident) is model\n"
    )
    lines = run(3, loads).splitlines()
    assert lines == [
        "Loaded: 0001_pls$abc123:0",
        *(f"Fold {fold}: PLSRegression(n_components=10)" for fold in range(5)),
    ]


def test_load_a_meta_model(here: Path) -> None:
    """Sources in the order of registration, with their ids; predictions are the same to the bit."""
    loads = here / "loads.py"
    loads.write_text(
        "import runpy, sys, prepared, numpy\n"
        "names = runpy.run_path(sys.argv[1])\n"
        "X, y = prepared.spectra('wheat_sample1')\n"
        "meta, bases, columns = prepared.stack(X, y)\n"
        "want = meta.predict(numpy.column_stack([base.predict(X).ravel() for base in bases]))\n"
        "features = numpy.column_stack([source.predict(X).ravel() for _, source in names['sources']])\n"
        "assert numpy.array_equal(names['meta_model'].predict(features), want)\n"
    )
    assert run(4, loads) == "True ['PLSRegression_pred', 'RandomForestRegressor_pred']\n"


def test_cache(here: Path) -> None:
    """The same five models asked for twice; preloading what is cached counts nothing; counters start again."""
    loads = here / "loads.py"
    loads.write_text(
        "import runpy, sys\n"
        "loader = runpy.run_path(sys.argv[1])['loader']\n"
        "info = loader.get_cache_info()\n"
        "print(info['max_size'], info['hits'], info['misses'], info['cached_count'])\n"
        "print(loader.preload_artifacts(artifact_ids=['0001:3:0', '0001:3:1']))\n"
        "print(loader.preload_artifacts(artifact_ids=['0001:3:0', '0001:3:1']))\n"
    )
    assert run(5, loads) == "Cache hit rate: 50.00%\n200 0 0 0\n2\n0\n"


@pytest.mark.fuse
def test_save_in_the_library(here: Path) -> None:
    """A template and a trained pipeline with equal bytes, in the guide's layout; the folders stay as they are.

    No unpickler runs, a second save of everything makes no versions, and the template is the configuration.
    """
    prepared = here / "workspace" / "runs" / "wheat_sample1"
    watches = here / "watches.py"
    watches.write_text(
        "import runpy, shutil, sys\n"
        "def refuse(event, arguments):\n"
        "    assert event != 'pickle.find_class', arguments\n"
        "sys.addaudithook(refuse)\n"
        "runpy.run_path(sys.argv[1])\n"
        "shutil.rmtree('workspace/runs')\n"
        "library = runpy.run_path(sys.argv[1])['library']\n"
        "print([each['version'] for each in library.list_templates() + library.list_pipelines()])\n"
    )
    assert run(6, watches) == "[0, 0]\n"
    assert run(7) == "baseline_pls: PLS baseline with SNV preprocessing\n(90,) True\n"
    files = {path.relative_to(prepared): path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    binaries = {path.name: content for path, content in files.items() if path.parts[0] == "_binaries"}
    own = {path.name: content for path, content in files.items() if path.parts[0] == "0042_x9y8z7"}
    assert len(binaries) == 6 and set(own) == {"pipeline.json", "metrics.json", "predictions.csv"}
    (here / "mnt").mkdir()
    workspace = open_workspace(here / "workspace" / ".artfs")
    with workspace.mount(here / "mnt"):
        library = here / "mnt" / "library"
        assert sorted(os.listdir(library)) == ["templates", "trained"]
        template, trained = library / "templates/baseline_pls/v0", library / "trained/pipeline/wheat_quality_v1/v0"
        assert json.loads((template / "pipeline.json").read_text())["name"] == "baseline_pls"
        assert {path.name: path.read_bytes() for path in (trained / "_binaries").iterdir()} == binaries
        assert {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()} == own
        with pytest.raises(OSError, match="Read-only file system"):
            (trained / "metrics.json").write_text("")
    manager = LibraryManager(here / "workspace" / "library")
    pipeline = prepared / "0042_x9y8z7"
    assert manager.save_pipeline_full(prepared, pipeline, "wheat_quality_v1").number == 0
    (pipeline / "metrics.json").write_text('{"rmse": 0.41}')
    assert manager.save_pipeline_full(prepared, pipeline, "wheat_quality_v1").number == 1
    after = {path.relative_to(prepared): path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    assert after == {**files, Path("0042_x9y8z7/metrics.json"): b'{"rmse": 0.41}'}
    assert workspace.fsck(data=True).clean


def test_clean_up(here: Path) -> None:
    """Three orphans of the run that died; the dry run promises what the deletion frees, and the scalers stay."""
    printed = run(8).splitlines()
    assert printed[0] == "Found 3 orphaned files" and printed[1].startswith("Would delete 3 files, freeing ")
    assert printed[2:] == ["Total artifacts: 2", "Unique files: 1", "Deduplication ratio: 50.0%"]
    found = registry(here)
    assert found.find_orphaned_artifacts() == []
    records = found.get_all_records()
    assert [record.pipeline_id for record in records] == ["0001_pls", "0003_ridge"]
    assert [type(found.load_artifact(record, trust=True)).__name__ for record in records] == ["MinMaxScaler"] * 2
    assert found.workspace.fsck(data=True).clean
    promised = float(printed[1].removeprefix("Would delete 3 files, freeing ").removesuffix(" KB"))
    assert found.workspace.usage().deadlist_bytes / 1024 == pytest.approx(promised, abs=0.06)
    found.workspace.gc(now=True)
    assert found.workspace.usage().deadlist_bytes == 0
