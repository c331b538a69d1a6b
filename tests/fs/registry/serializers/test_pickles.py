"""Pickles are written where nothing else takes the object, and loaded only by who wrote them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.errors import UnserializableError, UntrustedError
from artfs.registry.trust import sign
from payloads import Store


class Runs:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.canary,)


def test_a_pickle_of_ones_own_is_loaded(store: Store) -> None:
    stored = store(lambda x: x + 1)
    assert (stored.payload.format, stored.payload.safe) == ("cloudpickle", False)
    assert stored.load()(1) == 2


def test_only_with_this_users_mac(store: Store, canary: Path, own_key: Path) -> None:
    """Without a MAC, with one of another payload, format or user, nothing runs; with `trust=True` it does."""
    stored = store(Runs(canary))
    other = store(lambda: 1)
    mac = stored.mac
    forged: list[str | None] = [None, "", "0" * 64, other.mac, sign("json", stored.digest), "é", mac.upper()]
    own_key.rename(own_key.with_name("mine"))
    forged.append(sign("cloudpickle", stored.digest))  # another user's
    own_key.unlink()
    own_key.with_name("mine").rename(own_key)
    for attempt in forged:
        with pytest.raises(UntrustedError):
            stored.load(mac=attempt)
    with pytest.raises(UntrustedError):
        stored.load(mac=mac, content_hash="")
    assert not canary.exists()
    stored.load(mac=None, trust=True)
    assert canary.exists()


def test_a_copied_mac_does_not_cover_other_bytes(store: Store, canary: Path) -> None:
    stored = store(lambda: 1)
    stored.file.write_bytes(pickle.dumps(Runs(canary)))
    with pytest.raises(OSError, match="digest"):
        stored.load()
    assert not canary.exists()


def test_a_list_of_types_does_not_make_a_pickle_safe(store: Store, canary: Path) -> None:
    with pytest.raises(UntrustedError):
        store(Runs(canary)).load(mac=None, trusted=["posix.mkdir", "os.mkdir"])
    assert not canary.exists()


def test_what_cannot_be_pickled(store: Store) -> None:
    class Refuses:
        def __reduce__(self) -> Any:
            raise ValueError("never")

    for obj in (Refuses(), (each for each in ()), threading.Lock()):
        with pytest.raises(UnserializableError):
            store(obj)


def test_another_process_of_the_user_loads_it(store: Store) -> None:
    stored = store(lambda: 41 + 1)
    program = (
        "import sys; from artfs.registry.serializers import deserialize; "
        "print(deserialize(open(sys.argv[1], 'rb'), 'cloudpickle', content_hash=sys.argv[2], mac=sys.argv[3])())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, stored.file, stored.digest, stored.mac], capture_output=True, text=True
    )
    assert done.stdout == "42\n", done.stderr


def test_a_pickle_in_the_clothes_of_a_safe_format(store: Store, canary: Path, tmp_path: Path) -> None:
    """No safe format loads a pickle, not even with a MAC of the user's."""
    file = tmp_path / "hostile"
    file.write_bytes(pickle.dumps(Runs(canary)))
    for name in ("json", "npy", "safetensors"):
        with file.open("rb") as stream, pytest.raises(ValueError, match="payload"):
            deserialize(stream, name, label="the payload")
    assert not canary.exists()
