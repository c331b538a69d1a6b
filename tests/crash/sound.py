"""A workspace that must not change while invalid input is put, and the required form of a refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artstore.errors import ArtfsError
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import Content, content_of
from crash.scenes import environment
from crash.states import faults


class Sound:
    """A workspace with one version, which must be its only content in the end."""

    def __init__(self, folder: Path) -> None:
        source = folder / "sound"
        source.mkdir()
        folders.small(source, seed=1, files=10)
        self.workspace: Workspace = init_workspace(folder / "workspace")
        self.workspace.put(source, "sound")
        self.versions: dict[str, Content] = {"sound:v0": content_of(source)}

    def refuses(
        self, kind: type[ArtfsError], what: str, path: Path | str, name: str = "data", **options: object
    ) -> None:
        """Put refused input, by the API and by the command; ``what`` is a part of the sentence."""
        with pytest.raises(kind) as caught:
            self.workspace.put(path, name, **options)  # type: ignore[arg-type]
        assert what in str(caught.value)
        words = [sys.executable, "-m", "artfs", "-w", self.workspace.path, "put", "--", path, name]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=60)
        check_sentence(done, kind.exit_code, what)

    def holds(self) -> None:
        """Check that nothing was created or lost."""
        assert faults(self.workspace.path, self.versions) == []


def check_sentence(done: subprocess.CompletedProcess[bytes], code: int, what: str) -> None:
    """Check the exit code, and that stderr is one sentence with ``what`` in it, then at most the files concerned."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    first, *rest = said.splitlines()
    assert first.startswith("artfs: ") and what in first
    assert "Traceback" not in said and "internal error" not in said and "Error:" not in first
    assert all(line.startswith("  ") for line in rest), said
    assert done.stdout == b""
