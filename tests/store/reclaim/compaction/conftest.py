"""Versions whose dead lies scattered among the living, and faults at every call of the disk's seam."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artstore.reclaim import reaper
from artstore.storage import disk
from artstore.workspace import Workspace
from corpora.folders import Content, content_of
from crash.states import content_of_version

CALLS = ("append", "free_bytes", "read_exactly", "sync_data", "sync_folder", "write_file", "remove", "punch_hole")


class Faults:
    """Let the nth call of the disk's seam fail, before or after it has done its work."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._failing = 0
        self._after = False
        self._error: BaseException | None = None
        for name in CALLS:
            patch.setattr(disk, name, self._faulty(getattr(disk, name)))

    def _faulty(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            fails = self._error is not None and self.calls == self._failing
            if fails and not self._after:
                raise self._error  # type: ignore[misc]  # checked a line above
            result = original(*arguments, **options)
            if fails:
                raise self._error  # type: ignore[misc]
            return result

        return call

    def arm(self, nth: int, error: BaseException, *, after: bool) -> None:
        """Count from here, and let the nth call fail."""
        self.calls, self._failing, self._error, self._after = 0, nth, error, after

    def disarm(self) -> int:
        """Let all calls succeed; return how many there were."""
        self._error = None
        return self.calls


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.fixture
def untidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the reaper neither copy nor remove packs, so that tests do."""
    monkeypatch.setattr(reaper, "tidy", lambda *_: False)
    yield


def scatter(workspace: Workspace, folder: Path, *, files: int, size: int, dead: float, seed: int = 1) -> Content:
    """Put files of one chunk each as ``data:v0``, and what is left without a share of them as ``data:v1``; delete v0.

    Returns what ``data:v1`` holds.
    """
    noise = random.Random(seed)
    folder.mkdir(exist_ok=True)
    for number in range(files):
        (folder / f"{number:05}").write_bytes(noise.randbytes(size))
    workspace.put(folder, "data")
    for number in noise.sample(range(files), round(files * dead)):
        (folder / f"{number:05}").unlink()
    workspace.put(folder, "data")
    workspace.delete("data:v0", now=True)
    return content_of(folder)


def holds(workspace: Workspace, expected: Content, name: str = "data:v1") -> bool:
    """Return whether a version has the content it must have, read through the packs."""
    return content_of_version(workspace.version(name)) == expected


@pytest.fixture
def grown(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace whose environment is mostly free pages; ``keep:v0`` is what is left."""
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_bytes(b"kept %d" % number)
    workspace.put(folder, "keep", aliases=["good"])
    noise = random.Random(1)
    for number in range(1200):
        (folder / f"more{number:04}").write_bytes(noise.randbytes(30))
    workspace.put(folder, "gone")
    workspace.delete("gone:v0", now=True)
    return workspace
