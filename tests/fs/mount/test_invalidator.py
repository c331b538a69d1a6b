"""What a change makes stale is forgotten name by name, the store is not kept open meanwhile, and `latest` follows."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest

from artfs.mount import holding, inodes, invalidator
from artfs.mount.counters import Epoch
from artfs.mount.invalidator import Invalidator
from artfs.mount.notifications import expire_entries, invalidate_entry, invalidate_inode
from artstore.daemon_requests import Change, PurgedEntry


@pytest.fixture
def done(fake_store: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the notifications sent to a kernel that has nothing cached."""
    notified: list[Any] = []

    def tell(*call: Any, **options: Any) -> bool:
        assert fake_store.open_snapshots == 0
        notified.append((*call[1:], *options))
        return False

    for module in (invalidator, holding):
        monkeypatch.setattr(module, "invalidate_entry", tell)
        monkeypatch.setattr(module, "invalidate_inode", tell)
    monkeypatch.setattr(invalidator, "expire_entries", tell)
    return notified


def test_names_become_entries_of_the_directory_that_lists_them(fake_store: Any, done: list[Any]) -> None:
    """Each changed name is forgotten, `latest` with it, and the listing too; what has gone is its parent's business."""
    fake_store.put("team/data", {})
    changes = [Change("", ["team"]), Change("team/data", ["w0", "ü"]), Change("gone", ["x"])]
    Invalidator(fake_store, 99, Epoch()).apply(changes)
    (team, _), (data, _) = fake_store.name_number("team"), fake_store.name_number("team/data")
    assert team != data
    artifact = inodes.artifact(data)
    assert done == [
        (inodes.ROOT, b"team"),
        (inodes.ROOT,),
        (artifact, b"w0"),
        (artifact, "ü".encode()),
        (artifact, b"latest"),
        (artifact,),
    ]


def test_a_deleted_version_is_asked_about(fake_store: Any, done: list[Any]) -> None:
    """A version's name may be that of a deleted one, so its root is asked about; of one that is not there, nothing."""
    version = fake_store.put("data", {b"a": b"1"})
    fake_store.delete(version.serial)
    Invalidator(fake_store, 99, Epoch()).apply([Change("data", ["v0", "v7"])])
    artifact = inodes.artifact(version.artifact)
    assert done == [
        (artifact, b"v0"),
        (artifact, b"v7"),
        (artifact, b"latest"),
        (artifact,),
        (artifact, b"v0"),
        (inodes.entry(version.serial, 0), "attributes_only"),
    ]


def test_names_of_a_retired_artifact_are_forgotten(
    fake_store: Any, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_store, "retired_number", lambda full: 7 if full == "gone" else None)
    Invalidator(fake_store, 99, Epoch()).apply([Change("gone", ["v0"])])
    assert done == [(inodes.artifact(7), b"v0"), (inodes.artifact(7), b"latest"), (inodes.artifact(7),)]


def test_purged_entries_are_forgotten(fake_store: Any, done: list[Any]) -> None:
    """Name and bytes of each, and the listing; then every name is looked up again, and workers drop what they know."""
    epoch = Epoch()
    Invalidator(fake_store, 99, epoch).purge([PurgedEntry(5, 0, 3, b"secret"), PurgedEntry(6, 2, 4, b"\xff")])
    assert done == [
        (inodes.entry(5, 0), b"secret"),
        (inodes.entry(5, 0),),
        (inodes.entry(5, 3),),
        (inodes.entry(6, 2), b"\xff"),
        (inodes.entry(6, 2),),
        (inodes.entry(6, 4),),
        (),
    ]
    assert epoch.value == 1


def test_messages_are_those_of_the_kernels_protocol() -> None:
    """Length, code and ``unique`` 0, then the arguments, as in linux/fuse.h; a name ends with a zero byte."""
    reading, writing = os.pipe()
    try:
        assert invalidate_entry(writing, 5, b"v0")
        assert os.read(reading, 100) == struct.pack("<IiQ QII", 16 + 16 + 3, 3, 0, 5, 2, 0) + b"v0\0"
        assert invalidate_inode(writing, 5, attributes_only=True)
        assert os.read(reading, 100) == struct.pack("<IiQ Qqq", 16 + 24, 2, 0, 5, -1, 0)
        assert expire_entries(writing)
        assert os.read(reading, 100) == struct.pack("<IiQ", 16, 8, 0)
    finally:
        os.close(reading)
        os.close(writing)
