"""Searches: the index leads to what reading every record finds, in the same order."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import InvalidInputError
from artstore.queries import query
from artstore.queries.conditions import parse_condition
from artstore.queries.query import Matches, Search, Selector, find
from artstore.queries.versions import Version
from artstore.records.terms import METADATA, ORIGIN
from artstore.rows import catalogue, terms
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound

VALUES: list[Any] = [0.1, 0.5, "0.90", 0.95, "n/a", None, True, [0.2, 0.99], ["x", 0.3], {"b": 1}, "x" * 200, "2024-01"]
CONDITIONS = ["acc>0.4", "acc<=0.5", "acc=0.9", "acc!=n/a", "acc", "acc>n", "seed<30", "deep.x=1", "acc=" + "x" * 200]


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with 60 versions of three artifacts, of which three are partly indexed."""
    (tmp_path / "file").write_text("x")
    workspace.put(tmp_path / "file", "a", type="model")
    first = workspace.version("a").record
    chance = random.Random(3)
    for name in ("p/b", "c"):
        workspace.link("a", name)
    with workspace.store.write() as transaction:
        for number in range(1, 61):
            artifact = catalogue.find_name(transaction, ("a", "p/b", "c")[number % 3])
            assert artifact is not None
            metadata: dict[str, Any] = {"acc": chance.choice(VALUES), "seed": number, "deep": {"x": number % 5}}
            if number % 20 == 0:
                metadata |= {f"k{key}": key for key in range(300)}
            if number % 7 == 0:
                del metadata["acc"]
            state = transaction.state
            record = replace(
                first,
                serial=state.next_serial,
                mount=state.next_serial,
                artifact=artifact.number,
                number=artifact.next_version,
                metadata=metadata,
                tags=["t"] if number % 2 else [],
                created_ns=time.time_ns() - number * 10**12,
            )
            state.next_serial += 1
            catalogue.put_version(transaction, record)
            catalogue.put_artifact(transaction, replace(artifact, next_version=artifact.next_version + 1))
    return workspace


def names(versions: list[Version]) -> list[str]:
    return [version.name for version in versions]


def every(ws: Workspace) -> Iterator[Version]:
    for artifact in ws.artifacts():
        yield from ws.versions(artifact.name)


def searches() -> Iterator[Search]:
    """Yield searches with one and two conditions, with and without other selectors."""
    for written in CONDITIONS:
        yield Search(Selector(), [parse_condition(written)])
        for selector in (Selector(artifact="a"), Selector(artifact="*"), Selector(tag="t"), Selector(project="p")):
            yield Search(selector, [parse_condition(written), parse_condition("seed>5")])
        yield Search(Selector(), [parse_condition(text) for text in (written, "acc<0.95", "acc>0.1")])
        yield Search(Selector(), [parse_condition(written)], latest=True)
        yield Search(Selector(), [parse_condition(written)], younger=30_000, older=2_000)


@pytest.mark.parametrize("search", list(searches()))
def test_the_index_leads_to_what_a_scan_finds(
    filled: Workspace, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same versions in the same order, and the same number of values that were left out."""
    fast = find(filled.store, search)
    wanted = [
        version
        for version in every(filled)
        if all(condition.holds(version.metadata) for condition in search.conditions)
        and search.selector.selects(version.artifact, version.type, version.tags, version.metadata)
    ]
    if not (search.latest or search.younger):
        assert names(fast) == names(wanted)
        left_out = sum(
            condition.left_out(version.record)
            for condition in search.conditions
            for version in every(filled)
            if search.selector.selects(version.artifact, version.type, version.tags, version.metadata)
            and all(other.holds(version.metadata) for other in search.conditions if other is not condition)
        )
        assert fast.left_out == left_out
    monkeypatch.setattr(query._Finding, "_candidates", lambda finding: None)
    assert names(find(filled.store, search)) == names(fast)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 5, 30, 100])
@pytest.mark.parametrize("written", [(), ("seed>20",), ("deep.x=1", "acc")])
def test_the_first_of_an_order(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, reverse: bool, limit: int, written: tuple[str, ...]
) -> None:
    """The index in its order gives what sorting all gives: the same values, with those that have none at the end."""
    monkeypatch.setattr(query, "_NARROW", 1)
    search = Search(Selector(), [parse_condition(text) for text in written], sort="acc", reverse=reverse, limit=limit)
    fast = find(filled.store, search)
    monkeypatch.setattr(query._Finding, "_in_order", lambda finding: None)
    slow = find(filled.store, search)
    assert [version.metadata.get("acc") for version in fast] == [version.metadata.get("acc") for version in slow]
    assert fast.unordered == slow.unordered and len(fast) == min(limit, len(slow))


def test_orders(filled: Workspace) -> None:
    """By name, creation, size, or metadata of the same name."""
    found = filled.find(where="seed<=4")
    assert names(found) == ["a:v1", "c:v1", "p/b:v1", "p/b:v2"]
    assert names(filled.find(where="seed<=4", reverse=True)) == names(found)[::-1]
    assert [v.metadata["seed"] for v in filled.find(where="seed<=4", sort="created")] == [4, 3, 2, 1]
    assert [v.metadata["seed"] for v in filled.find(where="seed<=4", sort="seed", limit=2)] == [1, 2]
    assert [v.metadata["seed"] for v in filled.find(sort="meta.seed", reverse=True, limit=2)] == [60, 59]
    assert len(filled.find(sort="size", limit=3)) == 3
    by_none = filled.find(where="seed<=4", sort="none")
    assert by_none.unordered == 4 and names(by_none) == names(found)
    with raises(InvalidInputError, names=["0"]):
        filled.find(limit=0)
    with pytest.raises(InvalidInputError):
        filled.find(sort=5)  # type: ignore[arg-type]


def test_changes_are_found_at_once(workspace: Workspace, tmp_path: Path) -> None:
    """The index follows every change of a version: its metadata, deletion, restoration, purge and reaping."""

    def found(written: str) -> list[str]:
        return names(workspace.find(where=written))

    (tmp_path / "file").write_text("x")
    workspace.put(tmp_path, "a", metadata={"n": 1})
    workspace.put(tmp_path, "b")
    assert found("n=1") == ["a:v0"]
    workspace.metadata.set("a", {"n": 2})
    assert (found("n=1"), found("n=2")) == ([], ["a:v0"])
    workspace.tags.add("a", "t")
    workspace.purge("a:v0/file", reason="test", everywhere=True)
    assert found("n>1") == ["a:v0"]
    workspace.delete("a:v0")
    assert found("n") == []
    workspace.undelete("a:v0")
    assert found("n") == ["a:v0"]
    workspace.rename("a", "c")
    assert found("n") == ["c:v0"]
    workspace.metadata.remove("c", "n", purge=True)
    assert found("n") == []
    workspace.metadata.set("c", {"n": 3})
    workspace.delete("c:v0", now=True)
    assert found("n") == []
    with workspace.store.snapshot() as snapshot:
        assert list(terms.serials_between(snapshot.transaction, METADATA, ORIGIN)) == []
    assert_sound(workspace)


def test_nothing_is_read_that_the_index_excludes(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that few versions match reads their records, and those that are partly indexed."""
    read: list[int] = []
    version = catalogue.version

    def counted(transaction: Any, serial: int) -> Any:
        read.append(serial)
        return version(transaction, serial)

    monkeypatch.setattr(catalogue, "version", counted)
    assert len(filled.find(where=["seed=31", "acc"])) <= 1
    assert len(read) <= 1 + 3
    read.clear()
    monkeypatch.setattr(query, "_NARROW", 1)
    assert len(filled.find(sort="seed", limit=3)) == 3
    assert len(read) <= 3 + 3


def test_what_a_search_returns(filled: Workspace) -> None:
    """A list of versions, with how many values were left out."""
    found = filled.find(where="acc>0.5")
    assert isinstance(found, Matches) and found.left_out > 0 and found.unordered == 0
