"""No operation takes another process's change between two of its snapshots for damage, or ends with a lost hint."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from artstore.drafting.open_draft import OpenDraft
from artstore.storage.environment import Environment
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace, open_workspace
from corpora import folders
from crash.interleaving import is_expected, outcomes
from crash.scenes import copy_workspace
from crash.states import forget

Change = Callable[[Workspace], object]
Operation = Callable[[Workspace, Path], object]


def _reaped(ws: Workspace) -> None:
    """Delete every version of ``data``, and free all that no draft holds."""
    ws.delete("data:*", now=True, force=True, cascade="orphan")
    ws.gc(now=True)


def _replaced(ws: Workspace) -> None:
    """Commit another version of ``data`` and delete the others."""
    draft = ws.drafts.new("data", base="latest", id="other")
    draft.remove("class-0")
    version = draft.commit()
    ws.delete(*[each.name for each in ws.versions("data") if each.name != version.name], now=True, force=True)
    ws.gc(now=True)


def _stepped(ws: Workspace) -> None:
    """Change the open draft, and free what it held before."""
    draft = ws.drafts.get("shared")
    draft.remove("class-1")
    ws.gc(now=True)


def _purged(ws: Workspace) -> None:
    """Purge a file of every version, which gives each another root."""
    version = ws.version("data")
    path = next(path for folder, _, files in version.walk() for path in [f"{folder}/{f}".strip("/") for f in files])
    ws.drafts.get("shared").abort()
    ws.purge(version.stat(path).digest, reason="of the rig", everywhere=True)
    ws.gc(now=True)


CHANGES: Mapping[str, Change] = {"reaped": _reaped, "replaced": _replaced, "stepped": _stepped, "purged": _purged}


def _read_all(ws: Workspace, source: Path) -> None:
    version = ws.version("data:v0")
    for folder, _, files in version.walk():
        for name in files:
            version.read_bytes(f"{folder}/{name}".strip("/"))


def _gathered(ws: Workspace, source: Path) -> None:
    gathering = ws.drafts.gather("data", ws.version("data:v0"))
    try:
        gathering.add(source, "more")
        gathering.add(next(source.rglob("*.bin"), source / "x"), "more/again", overwrite=True)
        gathering.remove("class-3")
        list(gathering.files())
    finally:
        gathering.close()


OPERATIONS: Mapping[str, Operation] = {
    "put": lambda ws, source: ws.put(source, "data"),
    "put --base": lambda ws, source: ws.put(source, "data", base="v0"),
    "get": lambda ws, source: ws.get("data:v0", source.parent / "out", overwrite=True),
    "read": _read_all,
    "stat": lambda ws, source: [ws.version("data:v0").stat(each.name) for each in ws.version("data:v0").listdir()],
    "diff": lambda ws, source: ws.diff("data:v0/class-1", "data:v1"),
    "warm": lambda ws, source: ws.warm("data:v1"),
    "link": lambda ws, source: ws.link("data:v0", "shown"),
    "delete": lambda ws, source: ws.delete("data:v0", now=True, force=True),
    "purge": lambda ws, source: ws.purge("data:v0/class-4", reason="of the rig", everywhere=True),
    "gc": lambda ws, source: ws.gc(now=True, compact=True),
    "usage": lambda ws, source: (ws.usage(), ws.usage_by("type"), ws.usage_by_version("data"), ws.du("data:v0")),
    "why": lambda ws, source: (ws.why("data:v0"), ws.why("data:v0/class-1"), ws.why("data:v1")),
    "log": lambda ws, source: (ws.log("data"), ws.lineage("data:v0"), ws.find(), ws.artifacts()),
    "fsck": lambda ws, source: _clean(ws.fsck(data=True)),
    "draft new": lambda ws, source: ws.drafts.new("data", base="v0", id="mine"),
    "draft add": lambda ws, source: ws.drafts.get("shared").add(source, "class-1/added"),
    "draft add file": lambda ws, source: ws.drafts.get("shared").add(source / "new", "class-1/x/new", overwrite=True),
    "draft rm": lambda ws, source: ws.drafts.get("shared").remove("class-2/*"),
    "draft mv": lambda ws, source: ws.drafts.get("shared").move("class-3", "class-1/there"),
    "draft status": lambda ws, source: (ws.drafts.get("shared").status(), ws.drafts.states()),
    "draft commit": lambda ws, source: ws.drafts.get("shared").commit(),
    "gather": _gathered,
}


def _clean(report: Any) -> None:
    assert report.clean, report.problems


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with two versions and a draft, and a source."""
    folder = tmp_path_factory.mktemp("interleaving")
    source = folder / "source"
    source.mkdir()
    folders.small(source, seed=1, files=24)
    workspace = init_workspace(folder / "workspace")
    workspace.put(source, "data")
    folders.change_some(source, seed=2)
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="latest", id="shared")
    (source / "new").write_bytes(b"new content")
    draft.add(source / "new", "class-2/new")
    folders.change_some(source, seed=3)
    forget(workspace.path)
    yield folder


def wrong_outcomes(base: Path, folder: Path, operation: str, change: str) -> list[str]:
    """Return what an operation must not say of a change that happens during it."""
    counter = itertools.count()

    def prepare() -> tuple[Callable[[], object], Callable[[], object]]:
        place = folder / f"workspace-{next(counter)}"
        copy_workspace(base / "workspace", place)
        (folder / "out").mkdir(exist_ok=True)
        ws = open_workspace(place)
        return lambda: OPERATIONS[operation](ws, base / "source"), lambda: CHANGES[change](ws)

    wrong = [
        f"before snapshot {at}: {type(error).__name__}: {error}"
        for at, error in outcomes(prepare)
        if not is_expected(error)
    ]
    for number in range(next(counter)):
        Environment.close_of((folder / f"workspace-{number}").resolve())
    return wrong


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_change_between_two_snapshots(base: Path, tmp_path: Path, operation: str, change: str) -> None:
    """Whatever another process does between two snapshots of an operation, it succeeds or names what is gone."""
    assert wrong_outcomes(base, tmp_path, operation, change) == []


@pytest.mark.parametrize(("operation", "change"), [("diff", "reaped"), ("draft add", "stepped"), ("why", "reaped")])
def test_the_rig_sees_a_seeded_bug(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, change: str
) -> None:
    """The rig reports operations that take what an earlier snapshot showed for the present."""
    monkeypatch.setattr(Store, "confirmed", lambda store, operation: operation(store))
    monkeypatch.setattr(OpenDraft, "_has_changed", lambda *_: False)
    assert any("DamageError" in each for each in wrong_outcomes(base, tmp_path, operation, change))
