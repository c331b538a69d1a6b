"""The figures of a workspace and its mounts for Prometheus, from one catalogue, in its text format.

Names and units follow Prometheus' conventions (https://prometheus.io/docs/practices/naming), the text its exposition
format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats).  Every sample has the label ``workspace``,
so that the figures of several workspaces can be collected together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from artfs.mount.control import status

if TYPE_CHECKING:
    from artfs.mount.reports import MountStatus
    from artstore.workspace import Workspace

__all__ = ["CATALOGUE", "Family", "Metric", "Sample", "families", "text_of"]

Kind = Literal["counter", "gauge"]
Value = int | float
Labels = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """One figure: its name, its kind and what it is, in one sentence."""

    name: str
    kind: Kind
    help: str


class Sample(NamedTuple):
    """One value of a figure, with labels as (name, value)."""

    labels: Labels
    value: Value


@dataclass(frozen=True, slots=True)
class Family:
    """A figure with its values; one without values is not shown."""

    metric: Metric
    samples: Sequence[Sample]


CATALOGUE: Final = (
    Metric("artfs_versions", "gauge", "Living versions."),
    Metric("artfs_logical_bytes", "gauge", "Size of the files of all living versions, as separate copies."),
    Metric("artfs_stored_bytes", "gauge", "Stored content and folder records of versions and drafts."),
    Metric("artfs_disk_bytes", "gauge", "Bytes that the workspace takes on its disk."),
    Metric("artfs_disk_available_bytes", "gauge", "Bytes that the disk of the workspace has left."),
    Metric("artfs_manifest_bytes", "gauge", "Bytes of the LMDB files and the journal."),
    Metric("artfs_gap_bytes", "gauge", "Bytes of gaps in packs that still take blocks."),
    Metric("artfs_condemned_bytes", "gauge", "Bytes of reaped content that a reader may still read."),
    Metric("artfs_deadlist_bytes", "gauge", "Bytes that only deleted versions hold."),
    Metric("artfs_deadlist_entries", "gauge", "Deleted versions whose content is not freed yet."),
    Metric("artfs_deadlist_due_entries", "gauge", "Deleted versions whose content may be freed now."),
    Metric(
        "artfs_deadlist_oldest_due_timestamp_seconds",
        "gauge",
        "When the first entry of the deadlist was or will be due; absent if there is none.",
    ),
    Metric("artfs_interrupted_puts", "gauge", "Puts that were interrupted and can be resumed."),
    Metric("artfs_interrupted_bytes", "gauge", "Bytes that interrupted puts have stored."),
    Metric("artfs_mount_up", "gauge", "1 if the mount is served, 0 if its daemon is silent or dead."),
    Metric("artfs_mount_start_timestamp_seconds", "gauge", "When the mount was made."),
    Metric("artfs_mount_requests_total", "counter", "Requests of the kernel that were answered, by kind."),
    Metric("artfs_mount_read_bytes_total", "counter", "Bytes of files that were read through the mount."),
    Metric("artfs_mount_errors_total", "counter", "Requests that failed, among them reads of damaged content."),
    Metric(
        "artfs_mount_verification_failures_total", "counter", "Requests that failed because stored data is damaged."
    ),
    Metric("artfs_mount_cache_hits_total", "counter", "Reads that the cache of decompressed chunks answered."),
    Metric("artfs_mount_cache_misses_total", "counter", "Reads for which a chunk was decompressed into that cache."),
    Metric("artfs_mount_worker_restarts_total", "counter", "Processes that were started again after they had died."),
    Metric("artfs_mount_memory_bytes", "gauge", "Anonymous memory of the processes that answer requests."),
    Metric("artfs_mount_fast_lane", "gauge", "1 if the fast lane answers, 0 if it was turned off; absent without."),
    Metric("artfs_reaper_freed_bytes_total", "counter", "Bytes that the mount's reaper has freed."),
    Metric("artfs_reaper_in_use_versions", "gauge", "Deleted versions that are not freed because they are in use."),
    Metric("artfs_reaper_failing", "gauge", "1 if the mount's reaper has stopped or fails."),
)
"""All figures, in the order of the output."""


def families(workspace: Workspace) -> list[Family]:
    """Return the figures of a workspace and of its mounts, as of now, in the order of the catalogue."""
    label = ("workspace", str(workspace.path))
    samples: dict[str, list[Sample]] = {metric.name: [] for metric in CATALOGUE}
    for name, value in _of_workspace(workspace):
        samples[name].append(Sample((label,), value))
    for mount in status(workspace.path):
        for name, labels, value in _of_mount(mount):
            samples[name].append(Sample((label, ("mount", mount.directory), *labels), value))
    return [Family(metric, samples[metric.name]) for metric in CATALOGUE]


def _of_workspace(workspace: Workspace) -> Iterator[tuple[str, Value]]:
    usage = workspace.usage()
    disk = os.statvfs(workspace.path)
    yield "artfs_versions", usage.versions
    yield "artfs_logical_bytes", usage.logical_bytes
    yield "artfs_stored_bytes", usage.stored_bytes
    yield "artfs_disk_bytes", usage.disk_bytes
    yield "artfs_disk_available_bytes", disk.f_bavail * disk.f_frsize
    yield "artfs_manifest_bytes", usage.manifest_bytes
    yield "artfs_gap_bytes", usage.free_bytes
    yield "artfs_condemned_bytes", usage.condemned_bytes
    yield "artfs_deadlist_bytes", usage.deadlist_bytes
    yield "artfs_deadlist_entries", usage.deadlist_entries
    yield "artfs_deadlist_due_entries", usage.due_entries
    if usage.oldest_due_ns is not None:
        yield "artfs_deadlist_oldest_due_timestamp_seconds", usage.oldest_due_ns / 1e9
    yield "artfs_interrupted_puts", usage.interrupted_puts
    yield "artfs_interrupted_bytes", usage.interrupted_bytes


def _of_mount(mount: MountStatus) -> Iterator[tuple[str, Labels, Value]]:
    yield "artfs_mount_up", (), int(mount.state == "live")
    if mount.started_at is not None:
        yield "artfs_mount_start_timestamp_seconds", (), mount.started_at.timestamp()
    if mount.serving:
        lookups = sum(process.lookups for process in mount.serving)
        reads = sum(process.reads for process in mount.serving)
        others = max(0, mount.requests - lookups - reads)
        for kind, count in (("lookup", lookups), ("read", reads), ("other", others)):
            yield "artfs_mount_requests_total", (("kind", kind),), count
        yield "artfs_mount_read_bytes_total", (), mount.bytes
        yield "artfs_mount_errors_total", (), sum(process.errors for process in mount.serving)
        failures = sum(process.verification_failures for process in mount.serving)
        yield "artfs_mount_verification_failures_total", (), failures
        yield "artfs_mount_cache_hits_total", (), sum(process.cache_hits for process in mount.serving)
        yield "artfs_mount_cache_misses_total", (), sum(process.cache_misses for process in mount.serving)
        yield "artfs_mount_worker_restarts_total", (), sum(process.restarts for process in mount.serving)
        yield "artfs_mount_memory_bytes", (), sum(process.memory_bytes or 0 for process in mount.serving)
    if mount.lane is not None:
        yield "artfs_mount_fast_lane", (), int(mount.lane.pid != 0)
    if mount.reaper is not None:
        yield "artfs_reaper_freed_bytes_total", (), mount.reaper.freed_bytes
        yield "artfs_reaper_in_use_versions", (), mount.reaper.in_use
        yield "artfs_reaper_failing", (), int(mount.reaper.state in ("failing", "stopped"))


def text_of(found: Iterable[Family]) -> str:
    """Return figures in Prometheus' text format, which ends with a newline."""
    return "".join(_lines(found))


def _lines(found: Iterable[Family]) -> Iterator[str]:
    for family in found:
        if not family.samples:
            continue
        name = family.metric.name
        yield f"# HELP {name} {family.metric.help}\n# TYPE {name} {family.metric.kind}\n"
        for sample in family.samples:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels)
            yield f"{name}{{{labels}}} {sample.value}\n"


def _escaped(value: str) -> str:
    """Return the value of a label; bytes that are not UTF-8 are written as question marks."""
    legible = os.fsencode(value).decode("utf-8", "replace")
    return legible.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
