"""The scripts that install what is missing fail with one clear sentence where they cannot, and say no address."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "scripts" / "environment.sh"


def run(script: str, **settings: str) -> tuple[int, str]:
    """Run a piece of shell that knows the functions of environment.sh; return its exit code and what it said."""
    finished = subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail; source {shlex.quote(str(ENVIRONMENT))}; {script}"],
        env={"PATH": os.environ["PATH"], "TMPDIR": os.environ.get("TMPDIR", "/tmp"), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert finished.stdout == ""
    return finished.returncode, finished.stderr


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def commands(folder: Path, *names: str, **stubs: str) -> str:
    """Make a folder to be the whole PATH: real commands by name, and stubs by their text."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, text in stubs.items():
        program(folder / name.replace("_", "-"), text)
    return str(folder)


def test_old_python_is_refused(tmp_path: Path) -> None:
    """A Python that is too old is named with its version, and so is the way out."""
    old = program(tmp_path / "python", 'case "$2" in *print*) echo 3.9;; *) exit 1;; esac')
    code, said = run("need_environment dev", ARTFS_PYTHON=old, ARTFS_VENV=str(tmp_path / "venv"))
    assert code == 1
    assert said.count("\n") == 1
    assert f"{old} is 3.9" in said
    assert "ARTFS_PYTHON" in said


def test_missing_apt_is_said(tmp_path: Path) -> None:
    """If there is no apt-get, the packages to install by other means are named."""
    code, said = run("install_packages fuse3", PATH=commands(tmp_path / "bin", "dirname", "realpath"))
    assert code == 1
    assert said.count("\n") == 1
    assert "fuse3" in said
    assert "no apt-get" in said


def test_missing_rights_are_said(tmp_path: Path) -> None:
    """Without root and without sudo, the command that root has to run is named."""
    path = commands(tmp_path / "bin", "dirname", "realpath", id="echo 1000", apt_get="exit 1")
    code, said = run("install_packages fuse3", PATH=path)
    assert code == 1
    assert said.endswith("ask root to run: apt-get install fuse3\n")


def test_failing_apt_is_said(tmp_path: Path) -> None:
    """When apt-get fails twice, one sentence names the packages and the log, which holds no address."""
    tools = ("dirname", "realpath", "mktemp", "sed", "env")
    path = commands(
        tmp_path / "bin", *tools, id="echo 0", apt_get="echo Failed to fetch http://example.org/x; exit 100"
    )
    code, said = run("install_packages fuse3", PATH=path, TMPDIR=str(tmp_path))
    [log] = tmp_path.glob("artfs-setup.*.log")
    assert code == 1
    assert said.endswith(f"apt-get could not install fuse3: the reason is in {log}\n")
    assert log.read_text() == "Failed to fetch <address>\n" * 2


def test_failing_pip_is_said(tmp_path: Path) -> None:
    """When pip cannot have a package, one sentence has its reason and the log."""
    settings = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "TMPDIR": str(tmp_path)}
    base = sys.executable if sys.prefix == sys.base_prefix else f"{sys.base_prefix}/bin/python3"
    code, said = run("need_environment dev", ARTFS_PYTHON=base, ARTFS_VENV=str(tmp_path / "venv"), **settings)
    assert code == 1
    assert "pip could not install artfs: No matching distribution found for hatchling" in said
    assert str(tmp_path / "artfs-setup.") in said.splitlines()[-1]


def test_foreign_folder_is_kept(tmp_path: Path) -> None:
    """A folder that is named as the virtual environment by mistake is refused and not touched."""
    (tmp_path / "mine").write_text("precious")
    code, said = run("need_environment dev", ARTFS_VENV=str(tmp_path))
    assert code == 1
    assert "is in the way" in said
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding /dev/fuse takes root")
def test_missing_fuse_is_said() -> None:
    """Without /dev/fuse both of the README's commands end with one sentence that says how to get it."""
    for script in ("quickstart", "test"):
        hidden = f"mount --bind /etc/passwd /dev/fuse; exec scripts/{script}"
        finished = subprocess.run(["unshare", "--mount", "sh", "-c", hidden], cwd=ROOT, capture_output=True, text=True)
        assert finished.returncode == 1
        assert finished.stderr.startswith("artfs: /dev/fuse is missing")
        assert finished.stderr.count("\n") == 1
