"""From damage to files and versions: all of them, each path once, in bounds, and never in circles."""

from __future__ import annotations

import pytest

from artstore.checking import tracing
from artstore.checking.check_names import read_names
from artstore.checking.report import Report
from artstore.checking.tracing import Touched, trace
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import Extent
from artstore.records.tables import Table
from artstore.records.trees import Kind, TreeEntry, TreeTotals, TreeView, encode_tree
from artstore.rows.nodes import node_payload
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from messages import missing


def traced(ws: Workspace, *groups: list[int]) -> list[Touched]:
    with ws.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        versions = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
        return trace(transaction, groups, versions, read_names(transaction, Report()))


def node_at(ws: Workspace, version: str, path: bytes) -> int:
    with ws.store.snapshot() as snapshot:
        entry = snapshot.resolve(ws.version(version).record.root, path)
    assert entry is not None
    return entry.node


def test_a_path_is_named_once_with_the_newest_version_that_has_it(lived: Workspace) -> None:
    [touched] = traced(lived, [node_at(lived, "team/vision/data:v0", b"many/007")])
    assert touched.files == ["team/vision/data:v1/many/007", "alone:v1/many/007", "gone/away:v0/many/007"]
    assert touched.versions == [
        *("team/vision/data:v1", "team/vision/data:v0"),
        *("alone:v1", "alone:v0", "gone/away:v0"),
    ]


def test_a_directory_is_a_path_that_ends_in_a_slash(lived: Workspace) -> None:
    root = lived.version("alone:v1").record.root
    deep, top = traced(lived, [node_at(lived, "alone:v1", b"deep")], [root])
    assert "alone:v1/deep/" in deep.files
    assert "alone:v1/" in top.files


def test_groups_are_told_apart(lived: Workspace) -> None:
    first, second = (node_at(lived, "alone:v1", path) for path in (b"many/001", b"deep/run"))
    one, other, both = traced(lived, [first], [second], [first, second])
    assert "alone:v1/many/001" in one.files and "alone:v1/many/001" not in other.files
    assert sorted(both.files) == sorted(one.files + other.files)


def test_what_nobody_has_touches_nothing(lived: Workspace) -> None:
    assert traced(lived, [1 << 40], []) == [Touched(), Touched()]


def test_there_is_a_bound(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with lived.store.snapshot() as snapshot:
        many = [entry.node for path, entry in snapshot.walk(lived.version("alone:v1").record.root) if b"many/" in path]
    monkeypatch.setattr(tracing, "MOST_TRACED", 2)
    first, second, third = traced(lived, many, many[:1], many[1:2])
    assert (len(first.files), len(first.versions), first.more) == (2, 2, 3)
    assert second.files
    assert third == Touched()
    assert missing(first.problem("chunk", "x").message, ["x", "3"]) == []


def put_directory(transaction: WriteTransaction, number: int, below: int) -> None:
    """Write a directory that has one directory below it."""
    row = TreeEntry(b"down", Kind.DIRECTORY, below, 0, 0, 0o755, 0, 1)
    payload = encode_tree(0, bytes(32), bytes(32), TreeTotals(1, 0, 1, 0, 0), Extent(1, 0, 0, 0), [row])
    transaction.put_numbered(Table.NODES, number, payload)


def test_records_that_lead_in_a_circle_end(lived: Workspace) -> None:
    version = lived.version("alone:v1").record
    with lived.store.write() as transaction:
        put_directory(transaction, 1, version.root)
        view = TreeView(node_payload(transaction, version.root))
        rows = [entry._replace(node=1) if entry.name == b"deep" else entry for entry in view.entries()]
        payload = encode_tree(0, view.digest, view.form, view.totals, view.extent, rows)
        transaction.put_numbered(Table.NODES, version.root, payload)
    [touched] = traced(lived, [node_at(lived, "alone:v1", b"large")])
    assert "alone:v1/large" in touched.files


def test_a_reference_to_a_higher_number_is_followed(lived: Workspace) -> None:
    run = node_at(lived, "alone:v1", b"deep/run")
    with lived.store.write() as transaction:
        root = lived.version("alone:v1").record.root
        view = TreeView(node_payload(transaction, root))
        deep = node_at(lived, "alone:v1", b"deep")
        put_directory(transaction, 1, deep)
        rows = [entry._replace(node=1) if entry.name == b"deep" else entry for entry in view.entries()]
        transaction.put_numbered(
            Table.NODES, root, encode_tree(0, view.digest, view.form, view.totals, view.extent, rows)
        )
    [touched] = traced(lived, [run])
    assert "alone:v1/deep/down/run" in touched.files
