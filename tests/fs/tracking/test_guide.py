"""Every program of the guide does what its reader expects: each in a process and folder of its own, and all in one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

import artfs
from messages import raises
from servers.s3 import S3

BLOCKS = Path(__file__).parents[2] / "corpora" / "guide"
WITHOUT = {"14_cache_shell"}
"""It is a shell's."""
NAMES = sorted(path.stem for path in BLOCKS.iterdir() if path.stem not in WITHOUT)
DAY_NS = 86400 * 10**9


def write(path: str, content: str | bytes = "") -> None:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)


def files_of_all_blocks() -> None:
    """Lay out, in the present folder, the files that the programs take."""
    for split in ("train", "val", "test"):
        write(f"data/{split}/{split}.jpg", split)
    for month in ("01", "07"):
        write(f"logs/2024/{month}/server.log", f"log of {month}")
    write("annotations/batch_42.json", "{}")
    write("annotations/batch_10_corrected.json", '{"corrected": 1}')
    write("images/batch_42/new.jpg", "new")
    write("data/processed/v2/a.parquet", "processed")
    write("data/new_batch_500.parquet", "500")
    write("data/augmented/flipped.png", "flipped")
    write("train.py", "train()")
    write("model_architecture.py", "class Model: ...")
    for worker in range(3):
        write(f"results_worker_{worker}.parquet", f"results {worker}")
    for number in range(10):
        write(f"images/batch_1-10/{number}.jpg", f"image {number}")
    write("images/batch_11/10.jpg", "image 10")
    write("outputs/loss.txt", "0.1")
    write("tokenizer.pkl", "tokenizer")
    for package in ("torch", "torchvision"):
        write(f"{package}/__init__.py")
    write("torchvision/transforms.py")


def artifacts_of_all_blocks(workspace: artfs.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the artifacts that the programs begin with, in their projects."""

    def put(name: str, content: dict[str, bytes], **said: object) -> None:
        folder = Path("prepared", name, str(time.monotonic_ns()))
        for path, data in content.items():
            write(str(folder / path), data)
        workspace.put(folder, name, **said)  # type: ignore[arg-type]

    put(
        "dataset-curation/curated_dataset",
        {
            "images/batch_15/duplicate_001.jpg": b"1",
            "images/batch_15/duplicate_002.jpg": b"1",
            "images/batch_15/kept.jpg": b"kept",
            "annotations/batch_10.json": b"{}",
        },
        type="dataset",
    )
    put("incremental-versioning/processed_dataset", {"data/a": b"0"}, type="dataset")
    put("incremental-versioning/processed_dataset", {"data/old_batch_001.parquet": b"old", "data/a": b"1"})
    rows = "".join(f"{20 + i},{1000 + i},{50 + i}\n" for i in range(8))
    put("preprocessing-pipeline/raw_sensor_data", {"sensors.csv": f"temperature,pressure,humidity\n{rows}".encode()})
    numpy.save("data.npy", numpy.arange(400).reshape(100, 4))
    numpy.save("labels.npy", numpy.arange(100) % 2)
    arrays = {name: Path(name).read_bytes() for name in ("data.npy", "labels.npy")}
    for project in ("split-management", "model-training"):
        put(f"{project}/full_dataset", arrays, type="dataset")
    numpy.save("train_indices.npy", numpy.arange(70))
    numpy.save("val_indices.npy", numpy.arange(70, 80))
    indices = {name: Path(name).read_bytes() for name in ("train_indices.npy", "val_indices.npy")}
    put("model-training/dataset_splits", indices, type="split_indices")
    put("augmentation-tracking/original_images", {"a.png": b"a"}, type="dataset")
    put("training-bundles/resnet50_trained", {"model.pth": b"weights"}, type="model", aliases=["best"])
    for number in range(6):
        put("training-bundles/imagenet_processed", {"part": b"%d" % number}, type="dataset")
    put("efficient-loading/large_dataset", {"part-0": b"x" * 100_000, "sub/part-1": b"y"}, type="dataset")
    real = time.time_ns
    for age, aliases in ((200, ["production"]), (150, []), (120, []), (10, []), (0, [])):
        monkeypatch.setattr(time, "time_ns", lambda age=age: real() - age * DAY_NS)
        put("my-project/samples", {"age": b"%d" % age}, type="dataset", aliases=aliases)
        put("my-project/models", {"age": b"%d" % age}, type="model")
    monkeypatch.setattr(time, "time_ns", real)


@pytest.fixture
def bucket(moto: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Make the bucket that the guide names, and let everybody have its keys."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    bucket = S3(moto.endpoint, "my-bucket")
    bucket.make()
    for key in ("train/cat.jpg", "train/dog.jpg", "train2/other.jpg", "val/rat.jpg"):
        bucket.put(f"imagenet/{key}", key.encode())
    return bucket


@pytest.fixture
def scene(workspace: artfs.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: S3) -> artfs.Workspace:
    """Return a workspace that has what the programs begin with; the test stands among their files."""
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    artifacts_of_all_blocks(workspace, monkeypatch)
    files_of_all_blocks()
    return workspace


def code_of(name: str) -> str:
    code = (BLOCKS / f"{name}.py").read_text()
    return re.sub(r"^import wandb$", "import artfs as wandb", code, flags=re.MULTILINE)


def run_block(name: str, *arguments: str) -> str:
    head = "import numpy as np\nimport artfs as wandb\n" if name == "09_using_splits" else ""
    Path("block.py").write_text(head + code_of(name))
    done = subprocess.run(
        [sys.executable, "block.py", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def content(version: artfs.Version) -> dict[str, bytes]:
    return {
        os.path.join(folder, name): version.read_bytes(os.path.join(folder, name))
        for folder, _, names in version.walk()
        for name in names
    }


def used_by(workspace: artfs.Workspace, ref: str) -> list[str]:
    graph = workspace.lineage(ref, up=False)
    return sorted({edge.name for edge in graph.edges if edge.kind == "used by" and edge.source == graph.root})


def made_from(workspace: artfs.Workspace, ref: str) -> set[str]:
    """Return the names of all versions that one came of."""
    graph = workspace.lineage(ref, down=False)
    return {node.name for node in graph.nodes if node.kind == "version" and node.key != graph.root}


def only_run(workspace: artfs.Workspace, project: str) -> artfs.Run:
    (run,) = (run for run in artfs.Api().runs(project) if run.state != "running")
    assert run.state == "finished"
    return run


# -- what each is to do ------------------------------------------------------------------------------------------------


def check_collections(workspace: artfs.Workspace) -> None:
    run = only_run(workspace, "dataset-pipeline")
    assert run.job_type == "prepare-splits"
    logged = {artifact.name: artifact for artifact in run.logged_artifacts()}
    assert sorted(logged) == ["imagenet_test:v0", "imagenet_train:v0", "imagenet_val:v0"]
    train = workspace.version("dataset-pipeline/imagenet_train")
    assert (train.type, train.description) == ("dataset", "ImageNet training split")
    assert content(train) == {"train.jpg": b"train"}


def check_partitions(workspace: artfs.Workspace) -> None:
    found = workspace.find("logs-archive/server_logs_2024_*", type="logs")
    assert [version.name for version in found] == [
        "logs-archive/server_logs_2024_01:v0",
        "logs-archive/server_logs_2024_07:v0",
    ]
    assert found[1].metadata == {"year": 2024, "month": 7, "partition_key": "2024-07"}
    assert len(workspace.artifacts("logs-archive")) == 2


def check_incremental_update(workspace: artfs.Workspace) -> None:
    version = workspace.version("dataset-curation/curated_dataset")
    assert version.number == 1
    assert version.base == "dataset-curation/curated_dataset:v0"
    assert content(version) == {
        "images/batch_15/kept.jpg": b"kept",
        "batch_42.json": b"{}",
        "new.jpg": b"new",
        "batch_10_corrected.json": b'{"corrected": 1}',
    }
    assert used_by(workspace, "dataset-curation/curated_dataset:v0") == ["latest"]
    assert made_from(workspace, version.name) == {"dataset-curation/curated_dataset:v0"}


def check_full_versioning(workspace: artfs.Workspace) -> None:
    version = workspace.version("full-versioning/processed_dataset:v0")
    assert content(version) == {"a.parquet": b"processed"}
    assert version.description == "Fully reprocessed dataset v2"


def check_incremental_versioning(workspace: artfs.Workspace) -> None:
    version = workspace.version("incremental-versioning/processed_dataset:v2")
    assert content(version) == {"data/a": b"1", "new_batch_500.parquet": b"500"}
    assert used_by(workspace, "incremental-versioning/processed_dataset:v1") == ["v1"]


def check_external_storage(workspace: artfs.Workspace) -> None:
    version = workspace.version("s3-datasets/imagenet_s3")
    paths = ["train/cat.jpg", "train/dog.jpg", "val/rat.jpg"]
    assert content(version) == {path: path.encode() for path in paths}
    found = {os.fsdecode(each.path): each.record.uri for each in workspace.references.of(version.name)}
    assert found == {path: f"s3://my-bucket/imagenet/{path}" for path in paths}
    assert [each.state for each in workspace.references.check(version.name)] == ["ok"] * 3


def check_preprocessing(workspace: artfs.Workspace) -> None:
    scaler = workspace.version("preprocessing-pipeline/sensor_scaler")
    assert scaler.metadata == {"features": ["temperature", "pressure", "humidity"], "n_samples": 8}
    processed = workspace.version("preprocessing-pipeline/processed_sensor_data")
    assert processed.metadata["scaler_version"] == "sensor_scaler:v0"
    for version in (scaler, processed):
        assert made_from(workspace, version.name) == {"preprocessing-pipeline/raw_sensor_data:v0"}
    assert processed.read_bytes("processed.csv").splitlines()[0] == b",temp_scaled,press_scaled,humid_scaled"


def check_splits(workspace: artfs.Workspace) -> None:
    version = workspace.version("split-management/dataset_splits")
    assert version.metadata == {"train_size": 70, "val_size": 10, "test_size": 20, "random_seed": 42}
    assert sorted(content(version)) == ["test_indices.npy", "train_indices.npy", "val_indices.npy"]


def check_using_splits(workspace: artfs.Workspace) -> None:
    (run,) = artfs.Api().runs("model-training")
    assert [artifact.name for artifact in run.used_artifacts()] == ["dataset_splits:v0", "full_dataset:v0"]


def check_augmentation(workspace: artfs.Workspace) -> None:
    version = workspace.version("augmentation-tracking/augmented_images")
    assert version.metadata["augmentations"]["crop_scale"] == [0.8, 1.0]
    assert made_from(workspace, version.name) == {"augmentation-tracking/original_images:v0"}


def check_bundle(workspace: artfs.Workspace) -> None:
    version = workspace.version("training-bundles/training_bundle_v1")
    found = content(version)
    assert json.loads(found.pop("training_config.json"))["dataset_version"] == "v5"
    assert found == {
        "model.pth": b"weights",
        "dataset/part": b"5",
        "train.py": b"train()",
        "model_architecture.py": b"class Model: ...",
    }
    sources = {"training-bundles/resnet50_trained:v0", "training-bundles/imagenet_processed:v5"}
    assert made_from(workspace, version.name) == sources
    with raises(artfs.errors.RefusedError, names=["training-bundles/training_bundle_v1:v0"], reason="included"):
        workspace.delete("training-bundles/imagenet_processed:v5")


def check_worker(workspace: artfs.Workspace) -> None:
    assert not workspace.find("distributed-processing/*")
    (draft,) = workspace.drafts.all()
    assert draft.artifact == "distributed-processing/processed_results"


def check_coordinator(workspace: artfs.Workspace) -> None:
    version = workspace.version("distributed-processing/processed_results")
    assert content(version) == {f"results_worker_{n}.parquet": f"results {n}".encode() for n in range(3)}
    assert version.metadata == {"workers": 8, "batch_id": 42}
    assert not workspace.drafts.all()
    graph = workspace.lineage(version.name, down=False)
    makers = [node for node in graph.nodes if node.kind == "run"]
    assert sorted(node.type or "" for node in makers) == ["finalize", *["process-shard"] * 3]


def check_cache_check(workspace: artfs.Workspace) -> None:
    digest = workspace.version("efficient-loading/large_dataset").digest
    cached = Path(os.environ["WANDB_CACHE_DIR"], digest)
    assert {path.name for path in cached.iterdir()} == {"part-0", "sub"}


def check_deduplication(workspace: artfs.Workspace) -> None:
    first, second = workspace.versions("cost-optimization/dataset")
    assert (first.file_count, second.file_count) == (10, 11)
    shares = {usage.version: usage for usage in workspace.usage_by_version("cost-optimization/dataset")}
    assert shares["v1"].attributed < shares["v0"].attributed


def check_time_to_live(workspace: artfs.Workspace) -> None:
    record = workspace.version("retention-policies/experiment_outputs").record
    assert record.metadata == {"ttl_days": 30}
    assert abs(record.expires_ns - time.time_ns() - 30 * DAY_NS) < DAY_NS // 24


def check_other_project(workspace: artfs.Workspace) -> None:
    assert used_by(workspace, "project-a/shared_preprocessor:v0") == ["latest"]
    (run,) = artfs.Api().runs("project-b")
    assert [artifact.qualified_name for artifact in run.used_artifacts()] == ["project-a/shared_preprocessor:v0"]


def check_cleanup(workspace: artfs.Workspace) -> None:
    assert [version.number for version in workspace.versions("my-project/samples")] == [0, 3, 4]
    assert len(workspace.versions("my-project/models")) == 5
    assert [version.state for version in workspace.log("my-project/samples")] == [
        "live",
        "live",
        "deleted",
        "deleted",
        "live",
    ]


CHECKS: dict[str, Callable[[artfs.Workspace], None]] = {
    name: globals()[f"check_{name.partition('_')[2]}"] for name in NAMES
}
WORKERS = ("0", "1", "2")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("12_worker", "13_coordinator")])
def test_a_program_of_its_own(scene: artfs.Workspace, name: str) -> None:
    output = run_block(name)
    CHECKS[name](scene)
    if name == "15_cache_check":
        assert output == "Downloading artifact...\n"
        assert run_block(name).startswith("Using cached artifact at ")
    if name == "19_cleanup":
        assert "Deleting samples:v1:v1 (age: 150 days)" in output
    assert scene.fsck().clean


def test_workers_and_a_coordinator(scene: artfs.Workspace) -> None:
    for worker in WORKERS:
        run_block("12_worker", "--worker_id", worker)
    check_worker(scene)
    run_block("13_coordinator")
    check_coordinator(scene)
    run_block("13_coordinator")
    assert len(scene.versions("distributed-processing/processed_results")) == 1
    assert scene.fsck().clean


def test_all_in_one_process(scene: artfs.Workspace) -> None:
    """As a notebook: names of one cell are there in the next, and a run that is open is finished by the next init."""
    cells = []
    for name in NAMES:
        code = code_of(name)
        for worker in WORKERS if name == "12_worker" else ("",):
            argv = ["notebook", "--worker_id", worker] if worker else ["notebook"]
            cells.append((name, f"import sys; sys.argv = {argv!r}\n{code}"))
    program = "\n".join(f"exec(compile({code!r}, {name!r}, 'exec'), globals())" for name, code in cells)
    Path("block.py").write_text(program)
    done = subprocess.run([sys.executable, "block.py"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        if name != "12_worker":
            CHECKS[name](scene)
    assert all(run.state == "finished" for run in artfs.Api().runs())
    assert scene.fsck().clean
