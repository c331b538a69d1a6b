"""Values have rich forms in a real IPython, and their text where that is not possible."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import artfs
from artfs import notebook


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    assert notebook.register()
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> artfs.Workspace:
    folder = tmp_path_factory.mktemp("notebook")
    workspace = artfs.init_workspace(folder / "ws")
    (folder / "f").write_text("one")
    workspace.put(folder / "f", "data")
    (folder / "f").write_text("two")
    workspace.put(folder / "f", "data")
    return workspace


def test_every_value_has_a_form(shell: Any, workspace: artfs.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    version = workspace.version("data")
    monkeypatch.setenv("ARTFS_WORKSPACE", str(workspace.path))
    with artfs.init(project="p", id="one", config={"rate": 0.5}) as run:
        run.log({"loss": 0.25})
        artifact = run.use_artifact("data:latest")
    values = [
        (workspace, "data"),
        (version, "data:v1"),
        (workspace.version("data:v0").compare(version), "changed"),
        (workspace.usage(), "manifest"),
        (workspace.lineage("data:v1"), "<svg"),
        (workspace.retention.plan(), "would be freed"),
        (run, "0.25"),
        (artifact, "data:v1"),
    ]
    for value, text in values:
        forms, _ = shell.display_formatter.format(value)
        assert text in forms["text/html"] and forms["text/plain"] == repr(value), value
        assert forms["text/html"].isprintable() or "\n" in forms["text/html"]


def test_forms_name_types_that_exist() -> None:
    from artfs.display import fragments

    for (module, name), function in notebook.FORMS.items():
        assert getattr(sys.modules.get(module) or __import__(module, fromlist=[name]), name)
        assert callable(getattr(fragments, function))


def test_without_the_extra_the_form_is_text(
    shell: Any, workspace: artfs.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "artfs.display.page", raising=False)
    forms, _ = shell.display_formatter.format(workspace.usage())
    assert set(forms) == {"text/plain"}


def test_what_cannot_be_read_is_text(shell: Any, workspace: artfs.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from artfs.display import fragments

    def gone(_: object) -> None:
        raise artfs.ArtfsError("data:v1 is gone")

    monkeypatch.setattr(fragments, "of_version", gone)
    forms, _ = shell.display_formatter.format(workspace.version("data"))
    assert set(forms) == {"text/plain"}


def test_without_a_session_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.register()
