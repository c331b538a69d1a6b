"""The requests that pushes and reads take, on a smaller tree: `scripts/soak remote-requests` has the full one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from artstore.objects import probing
from artstore.remotes import adding
from artstore.workspace import Workspace
from servers.faults import FaultProxy
from servers.s3 import S3
from store.remotes.remote_requests import BOUNDS, measure


def test_pushes_and_reads_take_few_requests(
    workspace: Workspace, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 1,000 files in 10 folders the bounds of 100,000, and where the tree decides, what such a tree needs."""
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=1, rounds=1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with FaultProxy(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        workspace.remotes.add("origin", s3.uri("remote"))
        counts = measure(workspace, s3.uri("remote"), proxy, tmp_path, files=1000, folders=10, pushes=4)
    few = {"metadata after small pushes: bytes a file": 100}  # each push writes the records of its folders again
    assert {what: counts[what] for what, most in (BOUNDS | few).items() if counts[what] > most} == {}
    assert counts["walk: requests"] <= 4 and counts["walk after small pushes: requests"] <= 4 + 4
    assert counts["push of ten changed files: bytes"] < 200_000
