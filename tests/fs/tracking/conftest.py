"""A workspace and a folder of each test's own, as a program finds them that was started there."""

from __future__ import annotations

from pathlib import Path

import pytest

import artfs
from artfs.tracking import active_run


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> artfs.Workspace:
    """Return the workspace that runs of this test are kept in; the test stands in an empty folder."""
    for name in ("PROJECT", "CACHE_DIR", "ARTIFACT_DIR", "DOWNLOAD", "RUN_ID", "NAME", "RUN_GROUP", "JOB_TYPE", "MODE"):
        for prefix in ("ARTFS", "WANDB"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    return artfs.init_workspace(tmp_path / "ws")
