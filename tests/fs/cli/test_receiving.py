"""Receiving a workspace from others: as the document says, nothing of theirs is opened before it was checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.store import Store
from artstore.workspace import Workspace, init_workspace
from forgery import claim_id

Run = Callable[..., Any]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A workspace whose LMDB file nobody should open, and whose content claims to be other content."""
    workspace: Workspace = init_workspace(tmp_path / "theirs")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_bytes(b"what is stored")
    version = workspace.put(tmp_path / "source", "data")
    (tmp_path / "source" / "a.txt").write_bytes(b"what it claims")
    other = workspace.put(tmp_path / "source", "data")
    assert version.digest != other.digest
    workspace.close()
    return workspace.path


def copy_parts(theirs: Path, received: Path) -> None:
    received.mkdir(mode=0o700)
    for name in ("artfs.json", "current"):
        shutil.copy(theirs / name, received / name)
    for name in ("packs", "journal"):
        shutil.copytree(theirs / name, received / name, symlinks=True)


def test_a_rebuild_needs_nothing_of_their_manifest(artfs: Run, theirs: Path, tmp_path: Path) -> None:
    """Its pages may be anything: the content is what packs and journal have."""
    (theirs / "manifest.1" / "data.mdb").write_bytes(os.urandom(1 << 16))
    received = tmp_path / "received"
    copy_parts(theirs, received)
    assert artfs("-w", received, "fsck", "--rebuild").code == 0
    assert artfs("-w", received, "fsck", "--data").code == 0
    assert artfs("-w", received, "cat", "data:v0/a.txt").text == "what is stored"
    assert artfs("-w", received, "cat", "data:v1/a.txt").text == "what it claims"


def test_a_whole_copy_is_audited_before_it_is_opened(artfs: Run, theirs: Path, tmp_path: Path) -> None:
    """Pages that would end the process that reads them are a finding of the other process."""
    received = tmp_path / "received"
    shutil.copytree(theirs, received, symlinks=True)
    data = bytearray((received / "manifest.1" / "data.mdb").read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 + 16 : page * 4096 + 400] = b"\xff" * 384  # nodes far outside of their page
    (received / "manifest.1" / "data.mdb").write_bytes(data)
    result = artfs("-w", received, "fsck", "--data")
    assert result.code == 5 and "pages: " in result.text, result.text


def test_claims_are_found(artfs: Run, theirs: Path, tmp_path: Path) -> None:
    """Content that is not what its id says is named by the check, and no link of theirs is followed."""
    ours = Workspace(Store.open(theirs))
    claim_id(ours, "data:v0", b"a.txt", bytes.fromhex(ours.version("data:v1").stat("a.txt").digest))
    ours.close()
    received = tmp_path / "received"
    shutil.copytree(theirs, received, symlinks=True)
    result = artfs("-w", received, "fsck", "--data")
    assert result.code == 5 and "does not match its id" in result.text, result.text
    received = tmp_path / "again"
    pack = theirs / "packs" / "00000001.pack"
    pack.rename(tmp_path / "elsewhere")
    pack.symlink_to(tmp_path / "elsewhere")
    copy_parts(theirs, received)
    assert artfs("-w", received, "fsck", "--rebuild").code in (4, 5)
