"""Only root's process is refused the workspace of another user, and it knows as whom to work there."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from artstore.errors import NotFoundError, RefusedError
from artstore.privileges import Owner, close_all, gave_up, refuse_root
from messages import raises

STRANGER = 42421
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_root_is_refused_what_belongs_to_another(tmp_path: Path) -> None:
    refuse_root(tmp_path)
    os.chown(tmp_path, STRANGER, STRANGER + 1)
    with pytest.raises(RefusedError) as caught:
        refuse_root(tmp_path)
    assert str(tmp_path) in str(caught.value) and f"user {STRANGER}" in str(caught.value)
    assert f"sudo -u '#{STRANGER}' artfs" in caught.value.hint


@needs_root
def test_the_owner_has_the_groups_of_a_login_and_of_the_workspace(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER + 1)
    assert Owner.of(tmp_path) == Owner(STRANGER, STRANGER + 1, (STRANGER + 1,))
    known = pwd.getpwnam("nobody")
    os.chown(tmp_path, known.pw_uid, STRANGER + 1)
    owner = Owner.of(tmp_path)
    assert (owner.uid, owner.gid, owner.name, owner.home) == (known.pw_uid, known.pw_gid, "nobody", known.pw_dir)
    assert {known.pw_gid, STRANGER + 1} <= set(owner.groups)


@needs_root
def test_a_link_leads_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.lchown(tmp_path / "link", STRANGER, STRANGER)
    assert Owner.of_another(tmp_path / "link") is None
    os.chown(tmp_path / "folder", STRANGER, STRANGER)
    assert Owner.of(tmp_path / "link").uid == STRANGER


def test_others_work_as_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member of a group works in the workspace of another member."""
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    refuse_root(tmp_path)
    assert Owner.of_another(tmp_path) is None
    assert Owner.of(tmp_path).uid == STRANGER
    Owner.of(tmp_path).become()
    assert not gave_up()


def test_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file" / "in a file"):
        assert Owner.of_another(path) is None


def test_users_by_name() -> None:
    assert Owner.named("root").uid == 0
    with raises(NotFoundError, names=["no-such-user"]):
        Owner.named("no-such-user")


def test_descriptors_are_closed_but_those_that_are_kept() -> None:
    first, second = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            close_all(second.fileno())
            left = [number for number in range(3, 4096) if os.path.exists(f"/proc/self/fd/{number}")]
            second.sendall(repr(left == [second.fileno()]).encode())
        finally:
            os._exit(0)
    with first, second:
        second.close()
        assert first.recv(100) == b"True"
    os.waitpid(pid, 0)
