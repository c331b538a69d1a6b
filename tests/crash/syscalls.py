"""Recording a process's system calls on the files of one folder, with all bytes that it writes.

strace prints every string as hexadecimal and every descriptor with its path, so this module guesses nothing.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHANGING: Final = (
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "mkdir",
        "mkdirat",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
    ),
    *("link", "linkat", "symlink", "symlinkat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek"),
    *("truncate", "ftruncate", "fallocate", "copy_file_range", "sendfile", "splice", "mmap"),
    *("fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"),
)
"""Every call that changes files or makes a change durable; `lseek`, for where the next write goes."""
_LINE: Final = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")
_UNFINISHED: Final = " <unfinished ...>"
_TEXT: Final = re.compile(r"(?:\\x[0-9a-f]{2})+")
_QUOTED: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR: Final = re.compile(r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_LARGEST: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Call:
    """A call that succeeded; ``begin`` and ``end`` number the lines of the record at which it was made and returned."""

    begin: int
    end: int
    name: str
    arguments: str
    """As strace prints them: strings in hexadecimal, descriptors with their paths."""
    result: int
    opened: bytes = b""
    """The path of the file that it opened, also where its argument led to the file through a link elsewhere."""

    def strings(self) -> list[bytes]:
        """Return the quoted arguments: paths, or the bytes written."""
        return [_bytes_of(text) for text in _QUOTED.findall(self.arguments)]

    def descriptor(self, which: int = 0) -> tuple[str, bytes, bool]:
        """Return (number or "AT_FDCWD", path, whether it has been unlinked) of the first or a later descriptor."""
        number, path, deleted = _DESCRIPTOR.findall(self.arguments)[which]
        return number, _bytes_of(path), bool(deleted)

    def number(self, which: int) -> int:
        """Return an argument by its position, counted from the front, or from the back if it is negative."""
        return int(self.arguments.split(", ")[which])

    def __str__(self) -> str:
        text = _TEXT.sub(lambda found: _shortened(_bytes_of(found[0])), self.arguments)
        return f"{self.name}({text}) = {self.result}"


def _bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _shortened(data: bytes) -> str:
    return data.decode("latin-1") if data.isascii() and len(data) < 200 else f"{len(data)} bytes"


def record(
    arguments: Sequence[str], environment: Mapping[str, str], trace: Path, folder: Path
) -> tuple[list[Call], str]:
    """Run a command that must succeed; return its calls that concern ``folder`` or its stdout, and its output."""
    traced = f"trace={','.join(CHANGING)}"
    options = ["-f", "-qq", "-y", "-xx", "-s", str(_LARGEST), "-e", traced, "-o", str(trace)]
    done = subprocess.run(
        ["strace", *options, *arguments], env=environment, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed under strace: {done.stderr}")
    return calls_of(trace, folder), done.stdout


def calls_of(trace: Path, folder: Path) -> list[Call]:
    """Return the calls of a record that concern ``folder``, or a standard stream, in the order of their ends."""
    wanted = "".join(f"\\x{byte:02x}" for byte in bytes(folder))
    begun: dict[str, tuple[int, str, str]] = {}
    found: list[Call] = []
    with trace.open(encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines):
            match = _LINE.match(line)
            if match is None:
                continue  # signals and exits
            thread, resumed, rest, name, text = match.groups()
            begin = number
            if resumed:
                begin, name, text = begun.pop(thread)
                text += rest
            elif text.endswith(_UNFINISHED):
                begun[thread] = number, name, text.removesuffix(_UNFINISHED)
                continue
            before, _, after = text.rpartition(" = ")
            if after.startswith(("-", "?")) or not (wanted in text or before.startswith(("1<", "2<"))):
                continue
            result = int(after.split("<")[0].split()[0], 0)
            opened = _TEXT.search(after)
            path = _bytes_of(opened[0]) if opened else b""
            found.append(Call(begin, number, name, before.rstrip().removesuffix(")"), result, path))
    return found
