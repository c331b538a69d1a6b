"""`import artfs` in a training script: what it exports, and what it leaves alone."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import artfs
import artstore.workspace
from artstore import errors
from artstore.storage.environment import Environment
from messages import raises


def test_what_is_exported_is_what_is_there() -> None:
    """`__all__` is what the package has, what `dir` shows, and what its table of homes can fetch."""
    assert len(set(artfs.__all__)) == len(artfs.__all__)
    assert dir(artfs) == sorted([*artfs.__all__, "config", "run", "summary"])
    assert {"errors", "__version__", *artfs._HOME} == set(artfs.__all__)
    assert {name for name in artfs.__all__ if not hasattr(artfs, name)} == set()
    with raises(AttributeError, names=["nothing_of_the_kind"]):
        _ = artfs.nothing_of_the_kind


def test_every_module_exports_what_it_has() -> None:
    """`__all__` of the engine's modules is true too."""
    root = Path(artstore.workspace.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(("artstore", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", ()):
            assert hasattr(module, exported), f"{name}.{exported}"


def test_importing_is_light() -> None:
    """A fresh interpreter that imports artfs has neither FUSE nor an event loop nor a terminal library in it."""
    code = (
        "import sys, artfs\n"
        "assert not [name for name in sys.modules if name.startswith('artstore')]\n"
        "artfs.open_workspace, artfs.Version\n"
        "heavy = {'pyfuse3', 'trio', 'rich', 'click', 'asyncio', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [name for name in sys.modules if name.startswith(('artfs.mount', 'artfs.cli'))]\n"
    )
    path = [str(Path(module.__file__ or "").parents[1]) for module in (artfs, artstore.workspace)]
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={"PYTHONPATH": ":".join(path)})


def test_workspaces_of_the_package(tmp_path: Path) -> None:
    """They are those of the engine, with mounting; errors are found where the documentation says."""
    workspace = artfs.init_workspace(tmp_path / "ws")
    assert type(workspace) is artfs.Workspace and isinstance(workspace, artstore.workspace.Workspace)
    assert artfs.open_workspace(tmp_path / "ws") == workspace
    assert artfs.errors.NotFoundError is errors.NotFoundError and artfs.ArtfsError is errors.ArtfsError
    (tmp_path / "file").write_bytes(b"x")
    version = workspace.put(tmp_path / "file", "a")
    assert isinstance(version, artfs.Version) and version.read_bytes("file") == b"x"
    assert isinstance(version.listdir()[0], artfs.FileInfo) and isinstance(version.receipt, artfs.PutReceipt)
    assert isinstance(workspace.artifacts()[0], artfs.ArtifactInfo)
    Environment.of(workspace.path).drop()
