"""The figures for Prometheus: valid text, the values of the workspace and its mounts, and each documented."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from artfs import metrics
from artfs.metrics import CATALOGUE, Family, Metric, Sample, families, text_of
from artfs.mount.reports import MountStatus, ReaperStatus, WorkerStatus
from artstore.workspace import Workspace, init_workspace

DOCS = Path(__file__).parents[2] / "docs" / "operating.md"
LINE = re.compile(
    r"""([a-zA-Z_:][\w:]*)\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"""
)
LABEL = re.compile(r"""([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)\"""")


def parsed(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Return the values by name and labels; fail for anything that the format does not have."""
    assert text.endswith("\n")
    values: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    current = kind = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in values, "all samples of a figure are together"
            values[current] = {}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == current and kind in ("counter", "gauge")
        else:
            match = LINE.fullmatch(line)
            assert match is not None and match[1] == current, line
            assert (kind == "counter") == current.endswith("_total")
            labels = frozenset((key, value) for key, value in LABEL.findall(match[2]))
            assert labels not in values[current]
            values[current][labels] = float(match[3])
    return values


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = init_workspace(tmp_path / "ws")
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    made.put(tmp_path / "file", "a")
    made.put(tmp_path / "file", "a", new=True)
    made.delete("a:v1")
    return made


def test_the_figures_of_a_workspace(workspace: Workspace) -> None:
    """They are those of `usage`; without mounts, there are no figures of mounts."""
    values = parsed(text_of(families(workspace)))
    usage = workspace.usage()
    label = frozenset({("workspace", str(workspace.path))})
    for name, value in (
        ("artfs_versions", 1),
        ("artfs_logical_bytes", 10_000),
        ("artfs_stored_bytes", usage.stored_bytes),
        ("artfs_disk_bytes", usage.disk_bytes),
        ("artfs_deadlist_entries", 1),
        ("artfs_deadlist_due_entries", 0),
        ("artfs_deadlist_oldest_due_timestamp_seconds", (usage.oldest_due_ns or 0) / 1e9),
        ("artfs_interrupted_puts", 0),
    ):
        assert values[name] == {label: pytest.approx(value)}, name
    assert not [name for name in values if "mount" in name or "reaper" in name]
    workspace.undelete("a:v1")
    assert "artfs_deadlist_oldest_due_timestamp_seconds" not in parsed(text_of(families(workspace)))


def test_the_figures_of_mounts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are summed over the processes; a mount that does not answer has only that it is not up."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    process = WorkerStatus(
        1, now, 2, requests=100, lookups=60, reads=30, bytes=4096, errors=1, memory_bytes=7, cache_hits=20,
        cache_misses=5, verification_failures=4,
    )  # fmt: skip
    reaper = ReaperStatus("failing", 500, 3, 1, None, "damage")
    served = MountStatus("ws", "/mnt/a", "live", started_at=now, workers=[process] * 2, lane=process, reaper=reaper)
    silent = MountStatus("ws", '/mnt/"b"\n\\', "silent")
    monkeypatch.setattr(metrics, "status", lambda _path: [served, silent])
    values = parsed(text_of(families(workspace)))

    def of(name: str, **labels: str) -> dict[str, float]:
        found = {frozenset(each) - {("workspace", str(workspace.path))}: value for each, value in values[name].items()}
        return {dict(each)["mount"]: value for each, value in found.items() if labels.items() <= dict(each).items()}

    assert of("artfs_mount_up") == {"/mnt/a": 1, '/mnt/\\"b\\"\\n\\\\': 0}
    for name, expected in (
        ("artfs_mount_read_bytes_total", 3 * 4096),
        ("artfs_mount_errors_total", 3),
        ("artfs_mount_verification_failures_total", 12),
        ("artfs_mount_cache_hits_total", 60),
        ("artfs_mount_cache_misses_total", 15),
        ("artfs_mount_worker_restarts_total", 6),
        ("artfs_mount_memory_bytes", 21),
        ("artfs_mount_fast_lane", 1),
        ("artfs_mount_start_timestamp_seconds", now.timestamp()),
        ("artfs_reaper_freed_bytes_total", 500),
        ("artfs_reaper_in_use_versions", 1),
        ("artfs_reaper_failing", 1),
    ):
        assert of(name) == {"/mnt/a": expected}, name
    kinds = {kind: of("artfs_mount_requests_total", kind=kind)["/mnt/a"] for kind in ("lookup", "read", "other")}
    assert kinds == {"lookup": 180, "read": 90, "other": 30}


def test_labels_that_are_not_utf_8() -> None:
    sample = Sample((("workspace", "/a\udcff"),), 1)
    assert parsed(text_of([Family(Metric("x", "gauge", "X."), [sample])])) == {
        "x": {frozenset({("workspace", "/a\ufffd")}): 1}
    }


def test_every_figure_is_documented() -> None:
    """The table of the documentation has each name and its kind, and no other."""
    rows = re.findall(r"^\| `(artfs_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    assert rows == [(metric.name, metric.kind) for metric in CATALOGUE]
    used = re.findall(r"artfs_\w+", DOCS.read_text().partition("Examples of alerts")[2])
    assert used and set(used) <= {metric.name for metric in CATALOGUE}


def test_the_command_prints_them(workspace: Workspace, capsys: Any) -> None:
    from artfs.cli.main import main

    assert main(["-w", str(workspace.path), "metrics"]) == 0
    values = parsed(capsys.readouterr().out)
    assert set(values) <= {metric.name for metric in CATALOGUE} and "artfs_disk_available_bytes" in values
