"""Working folders for the tests here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.storage import environment
from corpora import folders
from crash.places import cannot_mount, quick_folder
from crash.scenes import Scene, scenes
from crash.sound import Sound


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """Close the workspaces that a test opened: each takes 1 TiB of addresses, and there are only 128."""
    yield
    for opened in list(environment._open_environments.values()):
        opened.drop()


@pytest.fixture
def quick_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is one, for rigs that sync very often; else the test's own."""
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    """Return the scenes by name."""
    with quick_folder(tmp_path_factory.mktemp("scenes")) as folder:
        yield {scene.name: scene for scene in scenes(folder)}


@pytest.fixture(scope="session")
def may_mount() -> None:
    """Skip if no small disk can be mounted; fail in CI, where a skip would pass unseen."""
    reason = cannot_mount()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def sound(quick_dir: Path) -> Iterator[Sound]:
    """A workspace that is checked afterwards: nothing was created or lost."""
    made = Sound(quick_dir)
    yield made
    made.holds()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An ordinary folder, for tests to spoil."""
    folder = tmp_path / "source"
    folder.mkdir()
    folders.small(folder, seed=2, files=20)
    return folder
