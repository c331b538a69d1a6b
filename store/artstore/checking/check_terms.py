"""Checking the index of terms against the records of the versions that it leads to."""

from __future__ import annotations

from collections.abc import Sequence

from artstore.checking.check_names import Names
from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.records.catalogue import VersionRecord
from artstore.records.tables import Table
from artstore.records.terms import terms_of
from artstore.storage.manifest import ReadTransaction

__all__ = ["check_terms"]


def check_terms(transaction: ReadTransaction, names: Names, versions: Sequence[VersionRecord], report: Report) -> None:
    """Check that the index has the terms of the living versions, and no others."""
    kept = wanted = rows = terms = 0
    for key, payload in readable_rows(transaction, Table.TERMS, report):
        kept, rows = kept + hash(key + payload), rows + 1
    for version in versions:
        keys = terms_of(version)
        wanted, terms = wanted + sum(map(hash, keys)), terms + len(keys)
    if (kept, rows) != (wanted, terms):
        _name_terms(transaction, names, versions, report)


def _name_terms(transaction: ReadTransaction, names: Names, versions: Sequence[VersionRecord], report: Report) -> None:
    """Name the versions whose terms are wrong: slow, for an index that is known to be wrong."""
    left = {version.serial: terms_of(version) for version in versions}
    labels = {version.serial: names.label(version.artifact, version.number) for version in versions}
    extra: dict[int, int] = {}
    for key, payload in readable_rows(transaction, Table.TERMS, Report()):
        serial = int.from_bytes(key[-4:], "big")
        if key in left.get(serial, ()) and not payload:
            left[serial].discard(key)
        else:
            extra[serial] = extra.get(serial, 0) + 1
    for serial in sorted(extra.keys() | left.keys()):
        lacking, surplus = len(left.get(serial, ())), extra.get(serial, 0)
        if lacking or surplus:
            label = labels.get(serial, f"the serial {serial}, which has no version")
            touched = [labels[serial]] if serial in labels else []
            sentence = f"the index of metadata lacks {lacking} terms of {label}, and has {surplus} that it should not"
            report.add("index", sentence, versions=touched)
