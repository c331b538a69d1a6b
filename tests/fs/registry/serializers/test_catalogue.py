"""Serialisers of users and of installed packages are asked before ours, and none replaces another."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from artfs.registry.serializers import catalogue, register_serializer
from artfs.registry.serializers.errors import UnknownFormatError, UnserializableError, UntrustedError
from artfs.registry.trust import sign
from artstore.errors import ExistsError, InvalidInputError
from payloads import Store


class Roman:
    """Stores whole numbers as texts of as many letters."""

    name = "roman"
    extension = "txt"
    safe = True

    def accepts(self, obj: Any) -> bool:
        return type(obj) is int

    def dump(self, obj: Any, folder: Path) -> None:
        if obj < 0:
            raise UnserializableError("negative")
        (folder / "anything").write_text("I" * obj)

    def load(self, folder: Path, trusted: Sequence[str]) -> int:
        return len((folder / "payload.txt").read_text())

    def versions(self) -> dict[str, str]:
        return {"numpy": "1.2"}


@pytest.fixture(autouse=True)
def none_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_registered", {})
    monkeypatch.setattr(catalogue, "_loaded", {})
    catalogue._points.cache_clear()


def test_a_serialiser_of_the_user_is_asked_first(store: Store) -> None:
    register_serializer(Roman())
    stored = store(4)
    assert (stored.payload.format, stored.payload.filename) == ("roman", "payload.txt")
    assert stored.payload.versions["numpy"] == "1.2"
    assert stored.load(versions=None) == 4
    assert store(-1).payload.format == "json", "one that passes lets the next be asked"
    assert store("x").payload.format == "json"


def test_one_that_is_not_safe_needs_a_mac(store: Store) -> None:
    class Risky(Roman):
        safe = False

    register_serializer(Risky())
    stored = store(3)
    assert not stored.payload.safe
    assert stored.load(versions=None) == 3
    with pytest.raises(UntrustedError):
        stored.load(mac=None, versions=None)
    with pytest.raises(UntrustedError):
        stored.load(mac=sign("json", stored.digest), versions=None)


@pytest.mark.parametrize("name", ["json", "cloudpickle"])
def test_ours_are_not_replaced(name: str) -> None:
    serializer = Roman()
    serializer.name = name
    with pytest.raises(ExistsError):
        register_serializer(serializer)


def test_a_format_has_one_serialiser() -> None:
    serializer = Roman()
    register_serializer(serializer)
    register_serializer(serializer)
    with pytest.raises(ExistsError):
        register_serializer(Roman())


@pytest.mark.parametrize(("attribute", "value"), [("name", None), ("safe", 1), ("extension", "a/b"), ("dump", None)])
def test_what_lacks_a_part_is_refused(attribute: str, value: Any) -> None:
    serializer = Roman()
    setattr(serializer, attribute, value)
    with pytest.raises(InvalidInputError):
        register_serializer(serializer)


def test_installed_packages_name_theirs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is loaded when its format is asked for, and cannot take the name of ours."""

    class Point:
        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> type:
            return Roman

    def points(*, group: str) -> Iterator[Point]:
        assert group == "artfs.serializers"
        return iter([Point("json"), Point("roman")])

    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    assert catalogue.names()[:2] == ["roman", "json"]
    assert store(2).load(versions=None) == 2
    catalogue._points.cache_clear()


def test_formats_that_nothing_has(store: Store) -> None:
    with pytest.raises(UnknownFormatError):
        store(1, "nonsense")
    with pytest.raises(UnserializableError):
        store({1}, "json")


@pytest.mark.parametrize(("hint", "format_name"), [("pickle", "cloudpickle"), ("joblib", "cloudpickle")])
def test_names_used_elsewhere_are_hints(store: Store, hint: str, format_name: str) -> None:
    assert store(1, hint).payload.format == format_name
