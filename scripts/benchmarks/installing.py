"""Finding and installing the programs of the peers, and inspecting the file system of the data."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import ROOT
from benchmarks.processes import unescaped


def installed(package: str) -> bool:
    """Return whether one of Debian's packages is installed."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"


def install(packages: Sequence[str]) -> str:
    """Install missing Debian packages; return why that is impossible, or an empty text if all are installed."""
    if not shutil.which("dpkg-query"):
        return ""  # another system: a missing program reports itself
    missing = [package for package in packages if not installed(package)]
    if not missing:
        return ""
    script = f'source "{ROOT}/scripts/environment.sh"; install_packages "$@"'
    finished = subprocess.run(["bash", "-c", script, "bash", *missing], capture_output=True, text=True)
    return finished.stderr.strip().splitlines()[-1] if finished.returncode else ""


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    found, best = "unknown", ""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        point, kind = unescaped(fields.split(b" ")[4]), os.fsdecode(rest)
        if len(point) >= len(best) and os.path.commonpath([point, folder]) == point:
            found, best = kind.split()[0], point
    return found
