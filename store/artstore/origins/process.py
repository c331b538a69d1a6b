"""The process that makes a version: its user, host, command line and working folder."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

from artstore.records.uris import shown_arguments

__all__ = ["process_origin", "user_and_host"]

_LONGEST: Final = 4000
"""Characters of a command line that are kept."""
_NOTEBOOKS: Final = ("ipykernel_launcher", "colab_kernel_launcher", "ipykernel", "ipykernel/__main__")


def process_origin() -> dict[str, Any]:
    """Return ``user``, ``host``, ``command`` and ``folder`` of this process.

    What looks like a secret in the command line is left out, by the rule of `artstore.records.uris`; so are the code of
    ``python -c`` and the arguments of a notebook's kernel, which are those of the notebook server.
    """
    return {
        "user": _user(os.geteuid()),
        "host": socket.gethostname(),
        "command": _command(sys.argv),
        "folder": _folder(),
    }


def user_and_host() -> str:
    """Return ``USER@HOST`` of this process."""
    return f"{_user(os.geteuid())}@{socket.gethostname()}"


@lru_cache(maxsize=8)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def _command(arguments: Sequence[str]) -> str:
    if not arguments or not arguments[0]:
        return ""  # an interactive interpreter
    program = PurePath(arguments[0])
    if arguments[0] == "-c":
        return "python -c ..."
    if str(program.with_suffix("")).endswith(_NOTEBOOKS):
        return program.name
    name = program.name if program.name == "artfs" else arguments[0]
    command = shlex.join([name, *shown_arguments(arguments[1:])])
    return command if len(command) <= _LONGEST else f"{command[: _LONGEST - 3]}..."
