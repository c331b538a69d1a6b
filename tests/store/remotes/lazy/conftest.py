"""A workspace that has pushed to a remote, and clones of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore.objects import probing
from artstore.remotes import adding
from artstore.remotes.exchanging import clone
from artstore.workspace import Workspace

NewClone = Callable[..., Workspace]


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache that this test alone uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "artfs" / "remote"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def new_clone(tmp_path: Path, place: Path) -> Iterator[NewClone]:
    """Return a function that clones the remote at ``place``, or at a URL."""
    made: list[Workspace] = []

    def make(url: str = "") -> Workspace:
        made.append(Workspace(clone(url or place.as_uri(), tmp_path / f"clone{len(made)}")))
        return made[-1]

    yield make
    for each in made:
        each.close()
