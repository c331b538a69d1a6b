"""Every public call with values of wrong types: one sentence in an error of artfs or a TypeError, or it works.

Never an AttributeError, KeyError or AssertionError of artfs's own, and no long message.  There is no network: no value
leads to a server.
"""

from __future__ import annotations

import errno
import inspect
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import artfs
from artfs.tracking import active_run
from artfs.tracking.aliases import NameList
from fs.surface import calls, parameters

WRONG: tuple[Any, ...] = (
    None,
    3,
    -1,
    10**30,
    1.5,
    math.nan,
    True,
    b"x",
    b"\xff",
    "",
    "\0",
    "\ud800",
    "a/../b",
    "x" * 3000,
    object(),
    [],
    ["x"],
    [3],
    {},
    {"a": 1},
    {3: object()},
    int,
    Path("x"),
    timedelta(days=-1),
    lambda *_: None,
)

LONGEST = 4000
"""Characters of a message: some name a value of thousands of characters in full."""

NOT_TRIED = {
    "Workspace.mount": "needs FUSE; its arguments are tried with the command",
    "Workspace.fsck": "reads the whole workspace for each value",
    "Gathering.merge": "takes ids of stored content, which only programs of the package have",
    "OpenDraft.merge": "takes ids of stored content, which only programs of the package have",
    "OpenDraft.commit_as": "takes a request, which only programs of the package make",
    "OpenDraft.retime": "takes a request, which only programs of the package make",
    "OpenDraft.record_in": "takes a transaction, which only programs of the package have",
    "Gathering.commit": "takes a request, which only programs of the package make",
    "Gathering.entry": "is a step of the package's own",
    "Gathering.include": "takes a record, which only programs of the package have",
    "Drafts.gather": "is what an artifact is put together with",
    "Artifact.be": "takes a version that the package has made",
    "Artifact.commit": "takes the number of a run",
    "Runs.start": "takes the fields of a record",
    "Runs.change": "takes the fields of a record",
    "Runs.log": "takes the number of a run and rows that were checked",
    "Runs.made": "takes the number of a run",
    "Runs.use": "takes the number of a run",
    "Runs.rows": "takes the number of a run",
    "Runs.versions": "takes the number of a run",
    "Runs.state": "takes a record",
    "Workspace.mounted_folder": "takes a version",
    "Workspace.refer": "may ask a server for what a value happens to name",
    "OpenDraft.refer": "may ask a server for what a value happens to name",
    "Gathering.refer": "may ask a server for what a value happens to name",
    "Run.log_code": "calls the functions that it is given",
    "Artifact.add_reference": "may ask a server for what a value happens to name",
}
"""Calls that are left out, and why."""

GIVEN: dict[str, Any] = {
    "name": "d",
    "ref": "d",
    "refs": "d:latest",
    "a": "d",
    "b": "d",
    "to": "renamed",
    "target": "d",
    "uri": "artfs://d",
    "path": "f",
    "local_path": "f",
    "dest": "out",
    "title": "p/r",
    "id": "draft",
    "ids": "draft",
    "digest": "0" * 64,
    "reason": "because",
    "group": "type",
    "type": "dataset",
    "text": "text",
    "aliases": "alias",
    "tags": "tag",
    "patterns": "f",
    "source": "f",
    "serial": 1,
    "ttl": "30d",
    "value": "value",
    "data": {"a": 1},
    "item": "f",
    "artifact_or_path": "f",
    "artifact_or_name": "d",
    "artifact": None,
    "target_path": "linked",
    "seconds": 0.01,
}
"""Right values of parameters that have no default."""


OPENING = ("open_workspace", "init_workspace")
"""Calls that are tried with values of their own."""


class Scene:
    """A workspace with versions, a draft and a run; what a call has taken away is made again before the next."""

    def __init__(self) -> None:
        self.workspace = artfs.init_workspace()

    def refresh(self) -> None:
        if not self.workspace.has_artifact("d"):
            for text in ("one", "two"):
                Path("f").write_text(text)
                self.workspace.put("f", "d", type="dataset")
        if not any(draft.id == "draft" for draft in self.workspace.drafts.all()):
            self.workspace.drafts.new("d", id="draft", base="latest")

    def receiver(self, owner: str) -> Any:
        workspace = self.workspace
        if owner in ("Run", "Artifact", "NameList", "ArtifactEntry"):
            run = artfs.run or artfs.init(group="g")
            if owner == "Run":
                return run
            fresh = artfs.Artifact("new", "dataset")
            fresh.add_file("f")
            return {"Artifact": fresh, "NameList": NameList((), list), "ArtifactEntry": fresh.get_entry("f")}[owner]
        makers: dict[str, Callable[[], Any]] = {
            "Workspace": lambda: workspace,
            "OpenDraft": lambda: workspace.drafts.get("draft"),
            "Gathering": lambda: workspace.drafts.gather("d", workspace.version("d")),
            "Version": lambda: workspace.version("d"),
            "Api": artfs.Api,
        }
        return makers[owner]() if owner in makers else getattr(workspace, owner.lower())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return made(tmp_path, monkeypatch)


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("f").write_text("one")
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    return Scene()


def arguments(function: Callable[..., Any], changed: str, value: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call with right values but for one parameter."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, _, parameter in parameters(function):
        kind = parameter.kind
        if name != changed and (parameter.default is not parameter.empty or kind is parameter.VAR_KEYWORD):
            continue
        given = value if name == changed else GIVEN.get(name)
        if kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL) or (
            kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        ):
            positional.append(given)
        else:
            named[name] = given
    return positional, named


def consumed(result: object) -> None:
    """Run what a call returns lazily."""
    if inspect.isgenerator(result):
        list(result)
    elif hasattr(result, "__exit__") and not isinstance(result, artfs.Workspace | artfs.Run):
        with result:
            pass


def complaint(error: BaseException | None) -> str | None:
    """Return what is wrong with an error."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return None  # the system's own word, with the path
    if not isinstance(error, artfs.ArtfsError | TypeError | IsADirectoryError | NotADirectoryError):
        return f"is {type(error).__name__}: {error}"
    sentence = str(error)
    if not sentence or "\n" in sentence or len(sentence) > LONGEST:
        return f"says {sentence!r}"
    return None


def tried(scene: Scene, name: str, function: Callable[..., Any]) -> Iterator[str]:
    """Yield what is wrong with the answers of a call to wrong values."""
    owner = name.partition(".")[0] if "." in name else ""
    for parameter in dict.fromkeys(each for each, _, _ in parameters(function)):
        for value in WRONG:
            scene.refresh()
            positional, named = arguments(function, parameter, value)
            failed: BaseException | None = None
            try:
                receiver = [scene.receiver(owner)] if owner else []
                consumed(function(*receiver, *positional, **named))
            except Exception as error:
                failed = error
            wrong = complaint(failed)
            if wrong is not None:
                yield f"{name}({parameter}={value!r:.60}) {wrong[:300]}"


@pytest.mark.parametrize("name", [name for name, _ in calls() if name not in (*NOT_TRIED, *OPENING)])
def test_every_public_call(scene: Scene, name: str) -> None:
    assert list(tried(scene, name, dict(calls())[name])) == []


def test_what_is_left_out_exists() -> None:
    assert {*NOT_TRIED, *OPENING} <= dict(calls()).keys()


@pytest.mark.parametrize("value", [each for each in WRONG if not isinstance(each, str | bytes | Path | None)], ids=repr)
def test_workspaces_at_no_path(scene: Scene, value: Any) -> None:
    for function in (artfs.open_workspace, artfs.init_workspace):
        if value is not None:
            with pytest.raises((artfs.ArtfsError, TypeError)):
                function(value)
