"""`put --base --remove` against a dictionary."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import InvalidInputError, NotFoundError
from artstore.workspace import Workspace
from messages import raises
from store.oracle import Model, assert_sound, canonical_digest, model_of, whole, write_folder

COMPONENTS = st.sampled_from([b"a", b"b", b"c", b"d.txt", b"e.txt"])
VALUES = st.sampled_from([("file", b"one"), ("file", b"two"), ("exec", b"one"), ("link", b"nowhere"), ("dir", b"")])


@st.composite
def models(draw: st.DrawFn) -> Model:
    model: Model = {}
    for parts, value in draw(st.lists(st.tuples(st.lists(COMPONENTS, min_size=1, max_size=3), VALUES), max_size=8)):
        path = b"/".join(parts)
        above = {b"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if any(model.get(up, ("dir", b""))[0] != "dir" for up in above):
            continue
        if any(other.startswith(path + b"/") for other in model) and value[0] != "dir":
            continue
        if value[0] == "link" and len(parts) > 1:
            value = ("file", b"no link")
        model[path] = value
    return whole(model)


Folder = dict[bytes, Any]


def nested(model: Model) -> Folder:
    root: Folder = {}
    for path in sorted(model):
        *above, name = path.split(b"/")
        folder = root
        for part in above:
            folder = folder[part]
        folder[name] = {} if model[path][0] == "dir" else model[path]
    return root


def flat(folder: Folder, prefix: bytes = b"") -> Model:
    found: Model = {}
    for name, value in folder.items():
        found[prefix + name] = ("dir", b"") if isinstance(value, dict) else value
        if isinstance(value, dict):
            found |= flat(value, prefix + name + b"/")
    return found


def lay(base: Folder, over: Folder, removed: list[bytes], path: bytes = b"") -> tuple[Folder, bool]:
    """Return a folder over a version's, and whether patterns took anything away."""
    result, took = dict(over), False
    for name, value in base.items():
        full = path + name
        mine = over.get(name)
        if full in removed:
            took = True
        elif isinstance(value, dict) and (mine is None or isinstance(mine, dict)):
            below, took_below = lay(value, mine or {}, removed, full + b"/")
            took = took or took_below
            if below or mine is not None or not took_below:  # one of which patterns took everything goes as well
                result[name] = below
        elif mine is None:
            result[name] = value
    return result, took


def laid_over(base: Model, over: Model, removed: list[bytes]) -> Model:
    return flat(lay(nested(base), nested(over), removed)[0])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=models(),
    over=models(),
    removed=st.lists(st.lists(COMPONENTS, min_size=1, max_size=2).map(b"/".join), max_size=2),
)
def test_a_folder_over_a_version(
    new_workspace: Any, tmp_path: Path, base: Model, over: Model, removed: list[bytes]
) -> None:
    """What the folder lacks stays, what globs name goes, and the digest is that of the whole put as one."""
    below, above = tmp_path / "below", tmp_path / "above"
    for folder, model in ((below, base), (above, over)):
        shutil.rmtree(folder, ignore_errors=True)
        write_folder(folder, model)
    expected = laid_over(base, over, removed)
    with new_workspace() as workspace:
        workspace.put(below, "a")
        globs = ["/" + os.fsdecode(path) for path in removed]
        version = workspace.put(above, "a", base="v0", remove=globs)
        assert model_of(workspace.store, version.record.root) == expected
        assert version.record.digest == canonical_digest(expected)
        assert_sound(workspace)


def test_globs(workspace: Workspace, tmp_path: Path) -> None:
    """They are those of gitignore, take away from the version alone, and leave the folder's own."""
    base: Model = {
        b"x.tmp": ("file", b"1"),
        b"deep/x.tmp": ("file", b"2"),
        b"deep/keep": ("file", b"3"),
        b"only/x.tmp": ("file", b"4"),
        b"empty": ("dir", b""),
    }
    workspace.put(write_folder(tmp_path / "base", base), "a", metadata={"k": 1})
    version = workspace.put(
        write_folder(tmp_path / "over", {b"new.tmp": ("file", b"5")}), "a", base="a:latest", remove=["*.tmp"]
    )
    found = model_of(workspace.store, version.record.root)
    assert sorted(found) == [b"deep", b"deep/keep", b"empty", b"new.tmp"]
    assert (version.base, version.metadata) == ("a:v0", {})
    assert_sound(workspace)


def test_large_directories_below(workspace: Workspace, tmp_path: Path) -> None:
    """A directory of several records is laid over, entry by entry."""
    base: Model = {b"%05d" % n: ("file", b"%d" % (n % 7)) for n in range(1500)}
    over: Model = {b"%05d" % n: ("file", b"new") for n in range(0, 3000, 100)}
    workspace.put(write_folder(tmp_path / "base", base), "a")
    version = workspace.put(write_folder(tmp_path / "over", over), "a", base="v0", remove=["0001*"])
    expected = {**{path: value for path, value in base.items() if not path.startswith(b"0001")}, **over}
    assert model_of(workspace.store, version.record.root) == expected
    assert version.record.digest == canonical_digest(expected)
    assert_sound(workspace)


def test_removal_needs_a_base_that_exists(workspace: Workspace, tmp_path: Path) -> None:
    """Removing without a base, and a base that is not there."""
    write_folder(tmp_path / "data", {b"f": ("file", b"")})
    with raises(InvalidInputError, names=["--remove", "--base"]):
        workspace.put(tmp_path / "data", "a", remove=["*"])
    with pytest.raises(NotFoundError):
        workspace.put(tmp_path / "data", "a", base="v0")
    assert workspace.artifacts() == []


def test_another_artifact_as_base(workspace: Workspace, tmp_path: Path) -> None:
    """A version of any artifact may lie below; nothing of it is stored again."""
    base: Model = {b"big": ("file", os.urandom(200_000))}
    workspace.put(write_folder(tmp_path / "base", base), "team/base", aliases=["best"])
    version = workspace.put(write_folder(tmp_path / "over", {b"small": ("file", b"x")}), "other", base="team/base:best")
    assert version.base == "team/base:v0"
    assert version.new_bytes < 1000
    assert sorted(model_of(workspace.store, version.record.root)) == [b"big", b"small"]
