"""Walking a folder and recording the events of the walk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore.ingest.source import Event, FileEntry, LeaveDirectory, LinkEntry, open_source

NOBODY = 65534


def outline(events: Iterator[Event]) -> dict[bytes, object]:
    """Return path -> content of a file, text of a link (str), or None for a folder, and check the order."""
    found: dict[bytes, object] = {}
    folders: list[bytes] = []
    previous: list[bytes] = []
    for event in events:
        if isinstance(event, LeaveDirectory):
            assert folders.pop() == event.path
            previous.pop()
            continue
        name = os.path.basename(event.path)
        if event.path:
            assert os.path.dirname(event.path) == folders[-1]
            assert previous[-1] < name, "entries come in the order of their bytes"
            previous[-1] = name
        assert event.path not in found
        if isinstance(event, FileEntry):
            with open(event.open(), "rb") as file:
                found[event.path] = file.read()
        elif isinstance(event, LinkEntry):
            found[event.path] = event.text.decode()
        else:
            found[event.path] = None
            folders.append(event.path)
            previous.append(b"")
    assert not folders
    return found


@pytest.fixture
def walked() -> Callable[..., dict[bytes, object]]:
    """Open a path as a source, walk it to the end, and outline it without the source folder itself."""

    def walk(path: Path | bytes | str, **options: object) -> dict[bytes, object]:
        with open_source(path, **options) as source:
            found = outline(source.walk())
        assert found.pop(b"") is None
        return found

    return walk


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Run the test as an ordinary user, even if root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
