"""Checking versions against their root directories, and the mount serials of inode numbers against the versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from artstore.checking.check_names import Names
from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.records.catalogue import VersionRecord
from artstore.records.counters import Counters
from artstore.records.nodes import KIND_TREE
from artstore.records.tables import Table, key32
from artstore.records.trees import MODE_BITS, TreeView
from artstore.storage.manifest import ReadTransaction

__all__ = ["check_versions", "root_view"]


def check_versions(
    transaction: ReadTransaction, names: Names, versions: Sequence[VersionRecord], counters: Counters, report: Report
) -> None:
    """Check what the records of versions repeat of their roots, their times, and the rows of mount serials."""
    for version in versions:
        label = names.label(version.artifact, version.number)
        with report.guard("record", f"the root of {label}"):
            for fault in _faults(transaction, version):
                report.add("catalogue", f"{label} {fault}", versions=[label])
        if version.mount >= counters.next_serial:
            report.add("counter", f"the mount serial of {label} has not been assigned yet", versions=[label])
    _check_mounts(transaction, versions, report)


def root_view(transaction: ReadTransaction, version: VersionRecord) -> TreeView | None:
    """Return the root record of a version; None if it is missing or lost."""
    payload = transaction.get_numbered(Table.NODES, version.root)
    return TreeView(payload) if payload and payload[0] == KIND_TREE else None


def _faults(transaction: ReadTransaction, version: VersionRecord) -> Iterator[str]:
    """Yield how a version disagrees with its root."""
    if version.mode & ~MODE_BITS:
        yield f"has the invalid mode {version.mode:o}"
    view = root_view(transaction, version)
    if view is None:
        return  # reported as missing or lost
    if (version.digest, version.form) != (view.digest, view.form):
        yield "does not have the digest and form id of its root"
    if (version.files, version.bytes) != (view.total_files, view.total_bytes):
        yield "does not have the number of files or bytes of its root"
    if version.newest_ns < view.totals.newest_ns:
        yield "contains a time after its newest time"


def _check_mounts(transaction: ReadTransaction, versions: Sequence[VersionRecord], report: Report) -> None:
    """Check that each mount serial is that of one version, and that MOUNTS leads from those that were drawn later."""
    serials = {version.serial for version in versions}
    wanted: dict[bytes, bytes] = {}
    for version in versions:
        if version.mount == version.serial:
            continue
        if version.mount in serials or key32(version.mount) in wanted:
            report.add("catalogue", f"two versions have the mount serial {version.mount}")
        wanted[key32(version.mount)] = key32(version.serial)
    rows = dict(readable_rows(transaction, Table.MOUNTS, report))
    for key in sorted(wanted.keys() | rows.keys()):
        if wanted.get(key) != rows.get(key):
            mount = int.from_bytes(key, "big")
            report.add("catalogue", f"the entry of the mount serial {mount} does not point to its version")
