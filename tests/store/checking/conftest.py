"""A workspace with a past, and what a check says of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore import creating
from artstore.checking.files import Place, check_files
from artstore.checking.report import Report
from artstore.checking.structure import check_structure
from artstore.creating import create_workspace
from artstore.storage import manifest, reserve
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store
from artstore.workspace import Workspace
from store.checking.lived import live_through
from store.conftest import forget

Tamper = Callable[[WriteTransaction], None]


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with shared, deleted and reaped versions, aliases, tags, lists and split directories.

    Nobody has it open; it is to be copied.
    """
    folder = tmp_path_factory.mktemp("past")
    with pytest.MonkeyPatch.context() as patch:
        for module in (creating, reserve):
            patch.setattr(module, "RESERVE", 4096)
        made = Workspace(create_workspace(folder / "ws"))
    live_through(made, folder)
    forget(made.store)
    return made.path


@pytest.fixture
def copy(past: Path, quick_dir: Path) -> Path:
    """Return a copy of it, with its holes, that nobody has open."""
    subprocess.run(["cp", "-a", "--sparse=always", past, quick_dir / "ws"], check=True)
    return quick_dir / "ws"


@pytest.fixture
def lived(past: Path, copy: Path, tmp_path: Path) -> Iterator[Workspace]:
    """Return a copy of it, open; what was put into it is in ``first``, ``second`` and ``third`` of `tmp_path`."""
    subprocess.run(["cp", "-a", *(past.parent / name for name in ("first", "second", "third")), tmp_path], check=True)
    ws = Workspace(Store.open(copy))
    yield ws
    forget(ws.store)


def structure_of(path: Path) -> Report:
    """Check the structure of a workspace in this process."""
    report = Report()
    place = check_files(path, report)
    assert isinstance(place, Place)
    with manifest.read(path) as transaction:
        check_structure(path, transaction, place, report)
    return report


def found(report: Report, kind: str, words: str) -> bool:
    """Return whether a report has a problem of a kind whose sentence has some words."""
    return any(problem.kind == kind and words in problem.message for problem in report.problems)
