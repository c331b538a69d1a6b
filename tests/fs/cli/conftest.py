"""Running the command, in this process and in one of its own, where nothing of the user's is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artfs.cli.main import main
from artstore.storage import environment
from fs.documents.shapes import check


@dataclass
class Result:
    """What one run of the command left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def message(self) -> str:
        return self.err.decode()

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout, which must have the shape of its schema."""
        document = json.loads(self.out)
        check(document)
        return dict(document)

    @property
    def json(self) -> Any:
        """The keys of the document but for its schema."""
        document = self.document
        del document["schema"]
        return document


Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with the workspace in it."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("ARTFS_WORKSPACE", str(directory / "workspace"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(directory / "data"))
    monkeypatch.delenv("ARTFS_DEBUG", raising=False)
    return directory


@pytest.fixture
def artfs(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """Run the command in this process, and close what it opened: it has addresses for 128 workspaces at once."""

    def run(*arguments: str | Path) -> Result:
        capfdbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err)

    yield run
    for opened in set(environment._open_environments.values()):
        opened.drop()


@pytest.fixture
def artfs_process(home: Path) -> Run:
    """Run the command in a process of its own; ``environment`` is added to this one's."""

    def run(*arguments: str | bytes | Path, environment: dict[str, str] | None = None, **options: Any) -> Result:
        command = [sys.executable, "-m", "artfs", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **(environment or {})}, capture_output=True, timeout=120, **options
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small folder to put."""
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a.txt").write_text("a" * 1000)
    (folder / "train" / "b.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "empty").touch()
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("train/a.txt")
    return folder
