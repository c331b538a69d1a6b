"""One text where several are expected is one name: it is never taken letter by letter."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import artfs
from artfs.tracking import active_run
from artfs.tracking.aliases import NameList
from artstore.errors import InvalidInputError
from fs.surface import calls, parameters

Observe = Callable[[artfs.Workspace, Any], object]


def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> artfs.Workspace:
    """Return a workspace in which letters of ``best`` are aliases and tags of versions of ``d``, and a folder."""
    for name in ("WORKSPACE", "CACHE_DIR"):
        monkeypatch.setenv(f"ARTFS_{name}", str(tmp_path / name))
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    for name in ("best", "b", "keep"):
        (tmp_path / "x" / name).write_text(name)
    made = artfs.init_workspace()
    first = made.put("x", "d", aliases=["b", "e", "s", "t"])
    made.tags.add(first.name, "b", "e", "s", "t")
    (tmp_path / "x" / "keep").write_text("more")
    made.put("x", "d", aliases=["best"])
    made.tags.add("d:v1", "best")
    (tmp_path / "x" / "keep").write_text("even more")
    return made


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> artfs.Workspace:
    return filled(tmp_path, monkeypatch)


def state(workspace: artfs.Workspace) -> object:
    """Return all names of the workspace, and the files of each version."""
    return [
        (version.name, version.aliases, version.tags, [names for _, _, names in version.walk()])
        for info in workspace.artifacts()
        for version in workspace.versions(info.name)
    ]


def refusal(action: Callable[[], object]) -> str:
    """Return why a call is refused."""
    with pytest.raises(artfs.ArtfsError) as caught:
        action()
    return f"{type(caught.value).__name__} {str(caught.value).rpartition('/')[2]}"


def changed(action: Callable[[artfs.Workspace, Any], object]) -> Observe:
    def observe(workspace: artfs.Workspace, value: Any) -> object:
        action(workspace, value)
        return state(workspace)

    return observe


def _artifact() -> artfs.Artifact:
    artifact = artfs.Artifact("d", "dataset")
    artifact.add_dir("x")
    return artifact


def _run() -> artfs.Run:
    return artfs.init(group="g")


def _logged(**options: Any) -> None:
    with _run() as run:
        run.log_artifact(_artifact(), **options)


def _with_files() -> artfs.Run:
    run = _run()
    run.save("x/*", "x", "now")
    run.log({"best": 1, "b": 2})
    return run


def _finished(value: Any) -> None:
    with _run() as run:
        run.upsert_artifact(_artifact())
        run.finish_artifact(artfs.Artifact("d", "dataset"), aliases=value)


def _upserted(value: Any) -> None:
    with _run() as run:
        run.upsert_artifact(_artifact(), aliases=value)
        run.finish_artifact(artfs.Artifact("d", "dataset"))


def _set(name: str) -> Observe:
    def action(workspace: artfs.Workspace, value: Any) -> None:
        artifact = artfs.Api().artifact("d")
        setattr(artifact, name, value)
        artifact.save()

    return changed(action)


def _draft(workspace: artfs.Workspace, value: Any, name: str) -> object:
    draft = workspace.drafts.new("d", base="latest")
    if name == "commit":
        return draft.commit(aliases=value, new=True)
    if name == "exclude":
        draft.add("x", exclude=value)
    else:
        draft.remove(*[value])
    return draft.commit(new=True)


def _gathered(workspace: artfs.Workspace, value: Any, name: str) -> object:
    from artstore.changes.committing import Commit

    gathering = workspace.drafts.gather("d", workspace.version("d"))
    if name == "exclude":
        gathering.add("x", exclude=value)
    else:
        gathering.remove(*[value])
    return gathering.commit(Commit.checked("d", new=True))


def _committed(workspace: artfs.Workspace, value: Any) -> object:
    workspace.drafts.new("d", id="best", base="latest")
    return workspace.drafts.commit(*[value], new=True)


OBSERVED: dict[tuple[str, str], Observe] = {
    ("Workspace.put", "aliases"): changed(lambda ws, value: ws.put("x", "d", aliases=value)),
    ("Workspace.put", "exclude"): changed(lambda ws, value: ws.put("x", "d", exclude=value)),
    ("Workspace.put", "remove"): changed(lambda ws, value: ws.put("x/keep", "d", base="latest", remove=value)),
    ("Workspace.preview", "aliases"): lambda ws, value: ws.preview("x", "d", aliases=value).number,
    ("Workspace.preview", "exclude"): lambda ws, value: list(ws.preview("x", "d", exclude=value).difference),
    ("Workspace.preview", "remove"): lambda ws, value: list(
        ws.preview("x/keep", "d", base="latest", remove=value).difference
    ),
    ("Workspace.refer", "aliases"): changed(lambda ws, value: ws.refer("artfs://d", "r", aliases=value)),
    ("Workspace.restore", "aliases"): changed(lambda ws, value: ws.restore("d:v0", aliases=value)),
    ("Workspace.find", "where"): lambda ws, value: [version.name for version in ws.find(where=value)],
    ("Workspace.find", "origin"): lambda ws, value: [version.name for version in ws.find(origin=value)],
    ("Workspace.gc", "evict"): lambda ws, value: refusal(lambda: ws.gc(evict=value)),
    ("Workspace.link", "aliases"): changed(lambda ws, value: ws.link("d:v0", "r", aliases=value)),
    ("Workspace.delete", "refs"): changed(
        lambda ws, value: ws.delete("d:best" if value == "best" else ["d:best"], force=True)
    ),
    ("Workspace.undelete", "refs"): changed(
        lambda ws, value: ws.delete("d:v0", force=True) and ws.undelete("d:v0" if value == "best" else ["d:v0"])
    ),
    ("Aliases.set", "aliases"): changed(lambda ws, value: ws.aliases.set("d:v0", value)),
    ("Aliases.remove", "aliases"): changed(lambda ws, value: ws.aliases.remove("d", value)),
    ("Tags.add", "tags"): changed(lambda ws, value: ws.tags.add("d:v0", value)),
    ("Tags.remove", "tags"): changed(lambda ws, value: ws.tags.remove("d:v1", value)),
    ("Drafts.commit", "aliases"): changed(lambda ws, value: _draft(ws, value, "commit")),
    ("Drafts.commit", "ids"): changed(_committed),
    ("Workspace.usage_of_artifacts", "names"): lambda ws, value: (
        ws.link("d:v0", "best"),
        ws.usage_of_artifacts(value),
    )[1],
    ("OpenDraft.add", "exclude"): changed(lambda ws, value: _draft(ws, value, "exclude")),
    ("OpenDraft.remove", "patterns"): changed(lambda ws, value: _draft(ws, value, "remove")),
    ("OpenDraft.commit", "aliases"): changed(lambda ws, value: _draft(ws, value, "commit")),
    ("Gathering.add", "exclude"): changed(lambda ws, value: _gathered(ws, value, "exclude")),
    ("Gathering.remove", "patterns"): changed(lambda ws, value: _gathered(ws, value, "remove")),
    ("Version.read_many", "paths"): lambda ws, value: list(ws.version("d:v1").read_many(value)),
    ("Artifact.aliases=", "value"): _set("aliases"),
    ("Artifact.tags=", "value"): _set("tags"),
    ("Artifact.files", "names"): lambda ws, value: [file.path for file in artfs.Api().artifact("d").files(value)],
    ("Artifact.link", "aliases"): changed(lambda ws, value: artfs.Api().artifact("d").link("r", aliases=value)),
    ("Run.log_artifact", "aliases"): changed(lambda ws, value: _logged(aliases=value)),
    ("Run.log_artifact", "tags"): changed(lambda ws, value: _logged(tags=value)),
    ("Run.use_artifact", "aliases"): changed(lambda ws, value: _run().use_artifact(_artifact(), aliases=value)),
    ("Run.link_artifact", "aliases"): changed(
        lambda ws, value: _run().link_artifact(artfs.Api().artifact("d:v0"), "r", aliases=value)
    ),
    ("Run.upsert_artifact", "aliases"): changed(lambda ws, value: _upserted(value)),
    ("Run.finish_artifact", "aliases"): changed(lambda ws, value: _finished(value)),
    ("Run.log_model", "aliases"): changed(lambda ws, value: _run().log_model("x", "d", aliases=value)),
    ("Run.link_model", "aliases"): changed(lambda ws, value: _run().link_model("x", "r", "d", aliases=value)),
    ("Run.files", "names"): lambda ws, value: [file.path for file in _with_files().files(value)],
    ("Run.history", "keys"): lambda ws, value: _with_files().history(keys=value),
    ("Run.scan_history", "keys"): lambda ws, value: list(_with_files().scan_history(keys=value)),
    ("Api.artifacts", "tags"): lambda ws, value: [each.name for each in artfs.Api().artifacts(tags=value)],
    ("init", "tags"): lambda ws, value: artfs.init(tags=value).tags,
    ("init", "config_exclude_keys"): lambda ws, value: dict(
        artfs.init(config={"b": 1, "best": 2, "x": 3}, config_exclude_keys=value).config
    ),
    ("init", "config_include_keys"): lambda ws, value: dict(
        artfs.init(config={"b": 1, "best": 2, "x": 3}, config_include_keys=value).config
    ),
}
"""What is seen after a call with a value for a parameter that takes several texts, for every such parameter."""


def takes_several(annotation: str, kind: Any) -> bool:
    several = re.search(r"\b(Sequence|Iterable|Collection|list|tuple)\[str", annotation) is not None
    return several or (kind.name == "VAR_POSITIONAL" and annotation.startswith("str"))


def test_every_parameter_is_tried() -> None:
    walked = {
        (name, parameter)
        for name, function in calls()
        for parameter, annotation, kind in parameters(function)
        if takes_several(annotation, kind.kind)
    }
    assert walked == OBSERVED.keys()


@pytest.mark.parametrize("place", OBSERVED, ids=":".join)
def test_one_text_is_one_name(place: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call with a text and one with a list of it have the same effect."""
    effects = []
    for number, value in enumerate(("best", ["best"], ("best",))):
        (tmp_path / str(number)).mkdir()
        made = filled(tmp_path / str(number), monkeypatch)
        effects.append(OBSERVED[place](made, value))
        artfs.finish()
    assert effects[0] == effects[1] == effects[2]


@pytest.mark.parametrize("wrong", [b"best", 3, {"best": 1}, [3], [b"best"], [["best"]]], ids=repr)
def test_what_is_no_name(workspace: artfs.Workspace, wrong: Any) -> None:
    before = state(workspace)
    for refused in (
        lambda: workspace.put("x", "d", aliases=wrong),
        lambda: workspace.put("x", "d", exclude=wrong),
        lambda: artfs.Artifact("d", "dataset").tags.extend(wrong),
    ):
        with pytest.raises(InvalidInputError):
            refused()
    assert state(workspace) == before


def test_a_list_changed_in_place() -> None:
    """Each way to change a list by several names takes one text as one name."""
    names = NameList("best", lambda: None)
    names += "second"
    names.extend("third")
    names[:1] = "first"
    assert names == ["first", "second", "third"]
    for refused in (lambda: names.append(3), lambda: names.insert(0, None), lambda: names.__setitem__(0, 5)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            refused()


def test_fields_of_a_run(workspace: artfs.Workspace) -> None:
    record, lease = workspace.runs.start("p", tags="best")
    lease.close()
    assert record.tags == ["best"]
    assert workspace.runs.change(record.number, tags="other").tags == ["other"]
