"""A workspace that must not change while invalid input is put, and the required form of a refusal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from artstore.errors import ArtfsError
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import Content, content_of
from crash.scenes import environment
from crash.states import faults
from messages import missing, raises
from reasons import has_reason


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
        self,
        kind: type[ArtfsError],
        path: Path | str,
        name: str = "data",
        *,
        names: Sequence[str] = (),
        reason: str | None = None,
    ) -> None:
        """Put refused input, by the API and by the command; both give the names and the reason."""
        with raises(kind, names=names, reason=reason):
            self.workspace.put(path, name)
        words = [sys.executable, "-m", "artfs", "-w", self.workspace.path, "put", "--", path, name]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=60)
        check_sentence(done, kind.exit_code, names=names, reason=reason)

    def holds(self) -> None:
        """Check that nothing was created or lost."""
        assert faults(self.workspace.path, self.versions) == []


def check_sentence(
    done: subprocess.CompletedProcess[bytes], code: int, *, names: Sequence[str] = (), reason: str | None = None
) -> None:
    """Check the exit code, and that stderr is one sentence with names and reason, then at most the files concerned."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    first, *rest = said.splitlines()
    assert first.startswith("artfs: ") and not missing(first, names), said
    assert reason is None or has_reason(first, reason), said
    assert "Traceback" not in said and "internal error" not in said and "Error:" not in first
    assert all(line.startswith("  ") for line in rest), said
    assert done.stdout == b""
