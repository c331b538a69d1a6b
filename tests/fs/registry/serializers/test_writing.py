"""An object becomes one file, and there is one warning for a pickle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from artfs.registry.serializers import catalogue, register_serializer, serialize
from artfs.registry.serializers.errors import PickleWarning, UnserializableError
from artfs.registry.serializers.plain import JsonSerializer


def test_it_is_said_once_for_each_class(tmp_path: Path) -> None:
    class Odd:
        pass

    said = []
    for index in range(2):
        folder = tmp_path / str(index)
        folder.mkdir()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            serialize(Odd(), folder)
        said.append([warning.category for warning in caught])
    assert said == [[PickleWarning], []]


@pytest.mark.parametrize("names", [(), ("a", "b"), ("folder/",), ("link@",)], ids=str)
def test_one_that_does_not_write_one_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """A serialiser that writes nothing, two files, a folder or a link has failed."""
    monkeypatch.setattr(catalogue, "_registered", {})

    class Other(JsonSerializer):
        name = "other"

        def dump(self, obj: Any, folder: Path) -> Any:
            for name in names:
                if name.endswith("/"):
                    (folder / name).mkdir()
                elif name.endswith("@"):
                    (folder / name).symlink_to("/etc/passwd")
                else:
                    (folder / name).touch()

    register_serializer(Other())
    with pytest.raises(UnserializableError):
        serialize(1, tmp_path, "other")


def test_a_dump_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a serialiser wrote before it passed, or failed, is gone when the next one is asked."""
    monkeypatch.setattr(catalogue, "_registered", {})

    class Fails(JsonSerializer):
        name = "fails"

        def dump(self, obj: Any, folder: Path) -> Any:
            (folder / "rest").touch()
            raise UnserializableError("no") if obj == 1 else OSError("disk")

    register_serializer(Fails())
    assert serialize(1, tmp_path).format == "json"
    (tmp_path / "payload.json").unlink()
    with pytest.raises(OSError, match="disk"):
        serialize(2, tmp_path)
    assert not list(tmp_path.iterdir())
