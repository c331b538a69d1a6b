"""A workspace with a past and a hostile corpus, made once for all tests of this folder, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import artfs
from artstore.workspace import Workspace
from browser import hostile, past, rig


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for all tests of a run, removed at its end."""
    folder = tmp_path_factory.mktemp("browser")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def lived(place: Path) -> Workspace:
    """Return a workspace with a past."""
    ws = artfs.init_workspace(place / "lived")
    past.build(ws, place / "sources")
    return ws


@pytest.fixture(scope="session")
def canary(place: Path) -> Path:
    """Return the folder that a pickle makes if it is loaded."""
    return place / "canary"


@pytest.fixture(scope="session")
def cases(place: Path, canary: Path) -> list[hostile.Case]:
    """Return the cases of the hostile corpus; `attacked` is the workspace that has them."""
    return hostile.build(artfs.init_workspace(place / "attacked"), place / "hostile", canary)


@pytest.fixture(scope="session")
def attacked(place: Path, cases: list[hostile.Case]) -> Workspace:
    """Return the workspace of the hostile corpus."""
    assert cases
    return artfs.open_workspace(place / "attacked")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium; skip where it or axe-core is not there.

    Its driver keeps an event loop in this thread, in which other tests may run theirs: it ends with the module.
    """
    if rig.chromium() is None or rig.axe() is None:
        pytest.skip("Chromium or axe-core is not installed; scripts/test installs both on Debian and Ubuntu")
    with rig.running_chromium() as started:
        yield started
