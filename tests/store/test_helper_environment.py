"""Helpers get the variables that they need, and import nothing from the folder where a process happens to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artstore.helper_environment import helper_environment, import_paths


def test_only_listed_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "https_proxy", "HTTPS_PROXY", "ARTFS_REFERENCE_TIMEOUT", "GOOGLE_BASE_URL"):
        monkeypatch.setenv(name, "kept")
    for name in ("PYTHONSTARTUP", "PYTHONINSPECT", "LD_PRELOAD", "MY_TOKEN", "BASH_ENV", "PYTHONBREAKPOINT"):
        monkeypatch.setenv(name, "dropped")
    environment = helper_environment()
    assert "dropped" not in environment.values()
    assert [name for name, value in environment.items() if value == "kept"] == sorted(
        ["AWS_ACCESS_KEY_ID", "https_proxy", "HTTPS_PROXY", "ARTFS_REFERENCE_TIMEOUT", "GOOGLE_BASE_URL"],
        key=list(environment).index,
    )


def test_import_paths_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "lib", "/opt/lib"]))
    paths = import_paths("/first").split(os.pathsep)
    assert paths[0] == "/first" and paths[-2:] == [str(tmp_path / "lib"), "/opt/lib"]
    assert all(map(os.path.isabs, paths)) and str(tmp_path) not in paths


@pytest.mark.parametrize("module", ["artstore.objects.helper", "artstore.checking.lmdb_audit"])
def test_a_package_of_the_same_name_in_the_current_folder_is_not_run(tmp_path: Path, module: str) -> None:
    (tmp_path / "artstore").mkdir()
    (tmp_path / "artstore" / "__init__.py").write_text("print('evil')")
    (tmp_path / "json.py").write_text("print('evil')")
    command = [sys.executable, "-P", "-m", module, "0"]
    done = subprocess.run(command, cwd=tmp_path, env=helper_environment(), capture_output=True, timeout=60, stdin=-3)
    assert b"evil" not in done.stdout + done.stderr


def test_the_helper_of_a_forked_process_in_such_a_folder(tmp_path: Path) -> None:
    """The references' helper, as a child that cannot use the client starts it."""
    (tmp_path / "artstore").mkdir()
    (tmp_path / "artstore" / "__init__.py").write_text("open('ran', 'w')")
    program = (
        "from artstore.objects import delegating\n"
        "from artstore.objects.access import Access\n"
        "from artstore.objects.locations import parse_location\n"
        "delegating._used_by = 1\n"
        "access = Access('http://127.0.0.1:9', None, None, True)\n"
        "from artstore.references.delegating import open_service\n"
        "service = open_service(parse_location('s3://b/k'), access)\n"
        "try:\n"
        "    service.head('k')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    permitted = {"ARTFS_REFERENCE_ROOTS": "http://127.0.0.1:9", "XDG_CONFIG_HOME": str(tmp_path)}
    environment = {**helper_environment(), **permitted, "ARTFS_REFERENCE_TIMEOUT": "2"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, capture_output=True, timeout=60, text=True
    )
    assert done.stdout == "OutsideError\n", done.stderr
    assert not (tmp_path / "ran").exists()
