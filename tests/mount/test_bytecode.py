"""Python's compiled files under a mount are current: each records the second and the size of its source."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.workspace import Workspace, init_workspace
from mount.conftest import Mounts

FLAT = 300
"""Modules of a package whose directory has more than one record."""
IMPORT = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
for name in ("package", "flat"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
print(importlib.import_module("package.inner.edited").VALUE)
"""


def write_sources(site: Path, value: str) -> None:
    for folder in ("package", "package/inner", "flat"):
        (site / folder).mkdir(parents=True)
        (site / folder / "__init__.py").touch()
    for number in range(20):
        (site / "package" / f"module{number}.py").write_text(f"VALUE = {number}\n")
    for number in range(FLAT):
        (site / "flat" / f"{'Mm'[number % 2]}odule{number:03}.py").write_text(f"VALUE = {number}\n")
    (site / "package" / "inner" / "edited.py").write_text(f"VALUE = {value!r}\n")


def install(site: Path, value: str, seconds: float) -> None:
    """Write a site-packages as an installer does: the sources at one time, and then their compiled files."""
    write_sources(site, value)
    for path in site.rglob("*.py"):
        os.utime(path, (seconds, seconds))
    mode = py_compile.PycInvalidationMode.TIMESTAMP
    assert compileall.compile_dir(site, quiet=2, invalidation_mode=mode, workers=1)


def imported(site: Path) -> tuple[str, int, int]:
    """Import everything; return (a module's value, compiled files that were current, those that were stale)."""
    command = [sys.executable, "-S", "-E", "-v", "-c", IMPORT, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    verdicts = [line for line in done.stderr.splitlines() if line.startswith("# ") and f" {site}/" in f" {line[2:]}"]
    verdicts += [line for line in done.stderr.splitlines() if "bytecode is stale" in line]
    stale = sum("bytecode is stale" in line for line in verdicts)
    current = sum(".pyc matches " in line for line in verdicts)
    return done.stdout.strip(), current, stale


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[tuple[Workspace, Path, Path]]:
    """Return (workspace, source, artifact): installed, again with one other module, and once more as it was."""
    folder = tmp_path_factory.mktemp("bytecode")
    workspace = init_workspace(folder / "ws")
    source = folder / "site"
    for number, value in enumerate(("first", "other", "first")):
        shutil.rmtree(source, ignore_errors=True)
        install(source, value, time.time() - 1000 + 100 * number)
        workspace.put(source, "venv")
    mounts = Mounts(workspace.path, folder, transport)
    yield workspace, source, mounts().directory / "venv"
    mounts.end()


def test_no_compiled_file_is_stale(versions: tuple[Workspace, Path, Path]) -> None:
    """Neither those that were put first, nor those of the same packages installed again."""
    _, source, artifact = versions
    files = len(list(source.rglob("*.py")))
    for number, value in enumerate(("first", "other", "first")):
        assert imported(artifact / f"v{number}") == (value, files, 0)
    assert imported(artifact / "latest") == ("first", files, 0)


def test_touched_sources_keep_their_times(versions: tuple[Workspace, Path, Path]) -> None:
    """Sources of other times and equal content, beside their old compiled files: the folder is shared as it was."""
    workspace, source, artifact = versions
    files = len(list(source.rglob("*.py")))
    for path in source.rglob("*.py"):
        path.touch()
    (source / "note").write_text("another file")
    version = workspace.put(source, "venv")
    assert imported(artifact / f"v{version.number}") == ("first", files, 0)
    for name in ("flat/module001.py", "flat/Module000.py", "package/module1.py"):
        assert (artifact / "latest" / name).stat().st_mtime_ns == (artifact / "v2" / name).stat().st_mtime_ns


def test_packages_are_added_to_a_draft(versions: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    """Installed again, and added to a draft over a version, or put over it: none is stale either."""
    workspace, _, artifact = versions
    install(tmp_path / "site", "added", time.time() - 500)
    files = len(list((tmp_path / "site").rglob("*.py")))
    draft = workspace.drafts.new("venv", base="v1")
    draft.add(tmp_path / "site")
    added = draft.commit()
    assert imported(artifact / f"v{added.number}") == ("added", files, 0)
    shutil.rmtree(tmp_path / "site")
    install(tmp_path / "site", "put", time.time() - 400)
    laid_over = workspace.put(tmp_path / "site", "venv", base="v0")
    assert imported(artifact / f"v{laid_over.number}") == ("put", files, 0)
