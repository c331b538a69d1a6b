"""The examples in README and docs run as they stand there, from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from servers.s3 import S3

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES: Final = ("sh", "python")

NOT_RUN: Final = {
    "mount -o ro /dev/vg/snapshot": "needs a volume group; tests/mount/test_read_only.py mounts a read-only image",
    "docker run": "needs Docker",
    "artfs ui": "serves until it is interrupted; tests/fs/ui/test_server.py and tests/browser run it",
    "ssh -L": "needs another machine",
}
"""Blocks that cannot run, by their beginning."""
TESTED: Final = {
    "docs/mount.md": "tests/mount/test_recipes.py",
    "docs/runs.md": "tests/fs/tracking/test_documents.py",
    "docs/tools.md": "tests/fs/test_tools.py",
    "docs/training.md": "tests/fs/training/test_programs.py",
}
"""Documents whose blocks are not one sequence, and the tests that run each of them."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each block of commands or Python, in order, without those that cannot run."""
    marked = re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [
        (language, text)
        for language, text in marked
        if language in LANGUAGES and not any(text.startswith(beginning) for beginning in NOT_RUN)
    ]


def one_script(document: Path) -> str:
    """Return all blocks as one shell script."""
    parts = ["set -euo pipefail"]
    for language, text in blocks(document):
        parts.append(text if language == "sh" else f"python - <<'PROGRAM'\n{text}PROGRAM")
    return "\n".join(parts)


Run = Callable[[str], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the user's current folder, beside a clone with its virtual environment."""
    clone = tmp_path / "clone"
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / "examples").symlink_to(ROOT / "examples")
    (clone / ".venv" / "bin" / "activate").write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def run(folder: Path) -> Run:
    """Return a function that runs a script in the user's folder and returns what it writes."""
    variables = {
        "REPO": str(folder.parent / "clone"),
        "HOME": str(folder.parent),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ARTFS_WORKSPACE": str(folder / "workspace"),
    }

    def run_script(script: str) -> str:
        finished = subprocess.run(
            ["bash", "-c", script], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    return run_script


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


@pytest.fixture
def bucket(moto: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Return the documents' ``s3://bucket/``, with credentials in the environment."""
    bucket = S3(moto.endpoint, "bucket")
    bucket.make()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.mark.fuse
def test_the_readme(run: Run, bucket: S3) -> None:
    """The README's examples are one session of a new user."""
    bucket.put("photos/1.jpg", b"photo")
    written = run(one_script(ROOT / "README.md"))
    assert "the test images are the same in both" in written
    assert "animals:v0" in written
    assert "removed train/dog.jpg" in written
    run("artfs get digits there-and-back && diff -r there-and-back pulled")


def test_drafts(run: Run, folder: Path, bucket: S3) -> None:
    write(folder, "data/train/broken.jpg", "data/train/cat.jpg", "data/val/1.jpg", "data/a.tmp", "new-images/new.jpg")
    bucket.put("extra/1.jpg", b"extra")
    run("artfs put data imagenet")
    run(one_script(ROOT / "docs/drafts.md"))
    assert run("artfs get imagenet:reviewed out >/dev/null && find out -type f -printf '%P\\n' | sort").split() == [
        *("extra/1.jpg", "train/new.jpg", "val/1.jpg", "val/cat.jpg")
    ]


def test_references(run: Run, folder: Path, bucket: S3) -> None:
    bucket.put("imagenet/train/1.jpg", b"one")
    write(folder, "labels.csv")
    script = one_script(ROOT / "docs/references.md")
    script = script.replace("https://host/labels.csv", f"file://{folder}/labels.csv")
    run(script)


def test_comparing(run: Run, folder: Path) -> None:
    """Rows are compared by a key that is found or given, also with a folder of the disk."""
    (folder / "data").mkdir()
    for amount in (5, 6):
        (folder / "data" / "orders.csv").write_text(f"order_id,amount\n1,5\n2,{amount}\n")
        run("artfs put data sales && artfs put data sales --new")
    written = run(one_script(ROOT / "docs/comparing.md"))
    assert "orders.csv" in written and "order_id" in written


def test_metadata(run: Run, folder: Path) -> None:
    """What was purged is in no file of the workspace."""
    write(folder, "run7/weights")
    log = run(one_script(ROOT / "docs/metadata.md") + "\nartfs meta log models/cat:v0")
    assert "note" not in log.rpartition("artfs meta log")[2] and "acc" in log
    assert not [
        path for path in (folder / "workspace").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()
    ]


def test_retention(run: Run, folder: Path) -> None:
    write(folder, "data/1")
    run("artfs put data model --type checkpoint --meta val_accuracy=0.9")
    assert "checkpoints" in run(one_script(ROOT / "docs/retention.md") + "\nartfs retention show")


def test_registry(run: Run) -> None:
    written = run(one_script(ROOT / "docs/registry.md"))
    assert "0001_pls$35f1eb7779ca:0\nruns/wheat/0001_pls/35f1eb7779ca/0:v0\n" in written
    assert len(re.findall("s1.MinMaxScaler>s2.Ridge", written)) == 5


def test_export(run: Run) -> None:
    """The archive is unpacked by tar, and checked by the program that the page shows."""
    assert "runs/wheat/0001_pls/35f1eb7779ca/0:v0 is whole" in run(one_script(ROOT / "docs/export.md"))


def test_remotes(run: Run, folder: Path) -> None:
    """What was pulled is what was put, by its names, bytes and times."""
    write(folder, "data/train/1", "data/2")
    (folder / "shared").mkdir()
    run(one_script(ROOT / "docs/remotes.md").replace("/mnt/shared", str(folder / "shared")))
    run("diff -r data copy")
    assert (folder / "data/2").stat().st_mtime_ns == (folder / "copy/2").stat().st_mtime_ns


@pytest.mark.fuse
def test_operating(run: Run, folder: Path) -> None:
    """The backup is a workspace of its own, and the moved one is the default."""
    write(folder, "data/1")
    (folder / "mnt").mkdir()
    run("artfs put data data && artfs mount mnt")
    script = one_script(ROOT / "docs/operating.md")
    run("artfs init theirs && artfs -w theirs put data data")
    places = (("WORKSPACE", "workspace"), ("BACKUP", "backup"), ("THEIRS", "theirs"), ("RECEIVED", "received"))
    for word, path in (*places, ("DIR", "mnt"), ("/elsewhere", "elsewhere")):
        script = re.sub(rf"(?<![\w-]){word}\b", str(folder / path), script)
    (folder / "elsewhere").mkdir()
    try:
        run(f"unset ARTFS_WORKSPACE\n{script}\ncmp mnt/data/v0/1 data/1\nartfs -w backup cat data:v0/1 | cmp - data/1")
        run("artfs -w received cat data:v0/1 | cmp - data/1")
    finally:
        run("artfs umount --lazy mnt || true")


def test_every_block_is_run() -> None:
    """Every document with examples is run here or by the test that it is named with."""
    with_blocks = {str(document.relative_to(ROOT)) for document in DOCUMENTS if blocks(document)}
    run_here = set(re.findall(r'one_script\(ROOT / "(.*?)"\)', Path(__file__).read_text())) - {"(.*?)"}
    assert with_blocks == run_here | set(TESTED)
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    assert [beginning for beginning in NOT_RUN if f"```sh\n{beginning}" not in text] == []
    for document, test in TESTED.items():
        if document == "docs/tools.md":
            continue  # it takes all blocks
        words = re.findall(r"""(?:recipe|programs)\((?:"docs/[\w.]+", )?["'](.*?)["']""", (ROOT / test).read_text())
        for _, block in blocks(ROOT / document):
            assert any(word in block for word in words), (document, block)
