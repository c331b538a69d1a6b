"""The origin of a process: its user, host, command line without secrets, and folder."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from pathlib import Path

import pytest

from artstore.origins import process_origin


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", list(arguments))
    return str(process_origin()["command"])


def test_who_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    origin = process_origin()
    assert origin.keys() == {"user", "host", "command", "folder"}
    assert origin["user"] == pwd.getpwuid(os.geteuid()).pw_name and origin["host"] == socket.gethostname()
    assert origin["folder"] == str(tmp_path)


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers often run as a number."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)
    assert process_origin()["user"] == "4000000123"


def test_a_folder_that_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert process_origin()["folder"] == ""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/venv/bin/artfs", "put", "a b", "x"], "artfs put 'a b' x"),
        (["train.py", "--lr", "0.1"], "train.py --lr 0.1"),
        (["train.py", "--token", "abc"], "train.py --token '***'"),
        (["-c", "password"], "python -c ..."),
        ([""], ""),
        ([], ""),
        (["/x/site-packages/ipykernel_launcher.py", "-f", "/run/kernel-1.json"], "ipykernel_launcher.py"),
        (["/x/site-packages/ipykernel/__main__.py", "--f=/run/kernel-1.json"], "__main__.py"),
        (["/x/colab_kernel_launcher.py", "-f", "y"], "colab_kernel_launcher.py"),
    ],
)
def test_command_lines(monkeypatch: pytest.MonkeyPatch, arguments: list[str], shown: str) -> None:
    """Without secrets, without code, and without what the notebook server passes to its kernel."""
    assert command(monkeypatch, *arguments) == shown


def test_a_long_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning is kept."""
    shown = command(monkeypatch, "artfs", *["a/file/of/many"] * 1000)
    assert len(shown) == 4000 and shown.endswith("...")
