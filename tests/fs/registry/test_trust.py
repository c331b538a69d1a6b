"""The key is made once, is private, and is never made for another user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.registry.trust import is_own, key_file, sign, vouch
from artstore.errors import ArtfsError, InvalidInputError, RefusedError


def test_the_key_is_private_and_random(own_key: Path) -> None:
    sign("json", "blake3:00")
    assert len(own_key.read_bytes()) == 32
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    first = own_key.read_bytes()
    own_key.unlink()
    sign("json", "blake3:00")
    assert own_key.read_bytes() != first
    assert list(own_key.parent.iterdir()) == [own_key]


def test_the_mac_covers_format_and_digest(own_key: Path) -> None:
    """No two (format, digest) have one MAC, not even where their texts joined are equal."""
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("ab", "d")]
    macs = {sign(*pair) for pair in pairs}
    assert len(macs) == len(pairs)
    assert all(is_own(*pair, sign(*pair)) for pair in pairs)
    assert not is_own("ab", "c", sign("ab", "d"))


def test_asking_makes_no_key(own_key: Path) -> None:
    assert not is_own("json", "blake3:00", "0" * 64)
    assert not own_key.exists()


def test_processes_that_begin_at_once_agree(own_key: Path) -> None:
    program = "from artfs.registry.trust import sign; print(sign('a', 'b'))"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(6)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert list(own_key.parent.iterdir()) == [own_key]


@pytest.mark.parametrize("fault", ["open", "short", "long", "link", "folder"])
def test_a_key_that_is_not_private_is_refused(own_key: Path, fault: str) -> None:
    """A key that others can read or replace would sign for them."""
    own_key.write_bytes(b"k" * {"short": 31, "long": 33}.get(fault, 32))
    own_key.chmod(0o640 if fault == "open" else 0o600)
    if fault == "link":
        own_key.rename(own_key.with_name("elsewhere"))
        own_key.symlink_to("elsewhere")
    if fault == "folder":
        own_key.unlink()
        own_key.mkdir(mode=0o700)
    with pytest.raises(RefusedError):
        sign("json", "blake3:00")
    with pytest.raises(RefusedError):
        is_own("json", "blake3:00", "0" * 64)


def test_root_makes_no_key_for_another(own_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the home of another user, as `sudo -E` leaves it, root refuses."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(own_key.parent, 12345, 12345)
    with pytest.raises(RefusedError):
        sign("json", "blake3:00")
    os.chown(own_key.parent, 0, 0)
    monkeypatch.setenv("ARTFS_KEY_FILE", str(own_key.parent / "a" / "b" / "key"))
    sign("json", "blake3:00")
    os.chown(key_file(), 12345, 12345)
    with pytest.raises(RefusedError):
        sign("json", "blake3:00")


def test_where_the_key_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARTFS_KEY_FILE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert tmp_path in key_file().parents
    assert key_file().parent != tmp_path / "artfs", "that is the default workspace, which may be copied and shared"


def test_a_place_that_cannot_hold_a_key(own_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_KEY_FILE", "/proc/self/none/key")
    with pytest.raises(ArtfsError):
        sign("json", "blake3:00")


def test_a_payload_of_another_that_is_vouched_for(own_key: Path) -> None:
    """The MAC is kept beside the key, covers that format and digest alone, and is this user's alone."""
    digest = "blake3:" + "ab" * 32
    assert not is_own("cloudpickle", digest, None)
    vouch("cloudpickle", digest)
    assert is_own("cloudpickle", digest, None) and is_own("cloudpickle", digest, "0" * 64)
    assert not is_own("skops", digest, None) and not is_own("cloudpickle", digest[:-1] + "c", None)
    (kept,) = own_key.with_name("registry.key.trusted").iterdir()
    kept.write_text("0" * 64)
    assert not is_own("cloudpickle", digest, None)
    vouch("cloudpickle", digest)
    own_key.unlink()
    sign("json", digest)
    assert not is_own("cloudpickle", digest, None)
    for wrong in ("", "blake3:../x", "md5:00", "blake3:" + "A" * 64):
        with pytest.raises(InvalidInputError):
            vouch("cloudpickle", wrong)
