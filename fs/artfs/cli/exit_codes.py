"""The exit codes of the command: the one table that the program, its help and the documentation use."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["MEANINGS", "ExitCode"]


class ExitCode(IntEnum):
    """The exit code of a run of the command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    DAMAGE = 5
    OUT_OF_SPACE = 6
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed: an error of the disk, the network or the machine, a limit, or another process is busy",
    ExitCode.USAGE: "wrong usage: an unknown command or option, a value that the grammar does not allow, "
    "a file in place of a folder or a folder in place of a file",
    ExitCode.NOT_FOUND: "not found: no such workspace, artifact, version, alias, run, draft, rule, mount or file",
    ExitCode.REFUSED: "refused, and nothing was changed: aliased, protected, depended on, read-only, "
    "or something else is in that place; the message names the option or command that permits it",
    ExitCode.DAMAGE: "damage found: stored data fails its checksum, or a file outside differs from its reference",
    ExitCode.OUT_OF_SPACE: "the disk is full, or a quota is used up",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; the message describes what was kept",
    ExitCode.CLOSED_PIPE: "the reader of the output has closed it, as 'head' does",
}
"""What each exit code means, in the order of the numbers."""
