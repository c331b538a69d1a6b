"""The programs of docs/training.md, run as a user runs them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import artfs

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "training.md"


def programs(word: str) -> str:
    """Return the one program of the document that has a word."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return str(block)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> str:
    """Return what a program prints about ``imagenet:v3``, which has two files."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    (tmp_path / "data" / "train" / "cat").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "data" / "train" / "cat" / name).write_bytes(name.encode())
    with artfs.init_workspace() as workspace:
        for _ in range(4):
            workspace.put(tmp_path / "data", "imagenet", new=True)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = programs("WindowOrder(files, seed=1)") + "print(sorted(samples))\n"
    assert run(tmp_path, monkeypatch, program) == "[('cat/a.jpg', b'a.jpg'), ('cat/b.jpg', b'b.jpg')]\n"


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed: its wheels have gigabytes"
)
def test_with_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = programs("WindowSampler(data, seed=1)").replace("range(90)", "range(2)")
    printed = run(tmp_path, monkeypatch, program.replace("...", "print(len(values), set(classes))"))
    assert printed == "2 {'cat'}\n" * 2
