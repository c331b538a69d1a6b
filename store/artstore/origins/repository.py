"""The git repository of a folder: the commit that is checked out, and whether files differ from it.

The commit is read from the repository's files.  git itself is asked only whether tracked files were changed, in a
process that ends after a second.  A repository may belong to another user, and git runs what its configuration names.
So this process has a small environment, takes no locks, starts no monitor and no hook, does not look into submodules,
and is not started at all if the repository's own configuration names filters, or objects that are fetched when needed.
git's own rule about repositories of other users (``safe.directory``) applies.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import subprocess

__all__ = ["Limit", "RepositoryState", "find_repository", "is_dirty", "read_commit"]

SECONDS: Final = 1.0
"""How long a put waits for git, from its own start on."""
_HEX: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REFERENCE: Final = re.compile(r"refs/(?!.*(?:\.\.|//|/\.|@\{|\\))[^\s\x00-\x1f~^:?*\[]+")
_HESITATION: Final = 0.05
"""How long git is not asked yet unless that is expected to be needed: a put that makes no version often ends before."""
_STEPS: Final = 5
_SHORT_FILE: Final = 4096
_PACKED: Final = 64 * 1024 * 1024
_KEPT: Final = ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "SUDO_UID")
_FIXED: Final = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_SSH_COMMAND": "false",
    "GIT_ASKPASS": "false",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
}
_OPTIONS: Final = (
    "--no-optional-locks",
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.sshCommand=false"),
    *("-c", "core.pager=cat"),
    *("-c", "core.alternateRefsCommand="),
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "status.submoduleSummary=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "protocol.allow=never"),
)
_STATUS: Final = ("status", "--porcelain=v1", "--untracked-files=no", "--ignore-submodules=all", "--no-renames")
_RISKY: Final = re.compile(r"filter\..*|extensions\.partialclone|remote\..*\.(promisor|partialclonefilter)", re.DOTALL)
"""Settings, in a repository's own configuration, by which ``git status`` may run a program or ask a server."""
_RISKY_WORDS: Final = (b"filter", b"include", b"partialclone", b"promisor", b"worktreeconfig")
_OWN_SCOPES: Final = ("local", "worktree")


class Limit:
    """The time that git has, in seconds from now on; it can be ended early."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(0.0, self._until - time.monotonic())

    def watch(self, process: subprocess.Popen[bytes] | None) -> None:
        """Kill this process if the time ends early; None if it has ended, and its number may be another one's."""
        with self._lock:
            self._process = process
            if process is not None and not self.left:
                _kill(process)

    def end(self) -> None:
        """End the time now."""
        with self._lock:
            self._until = 0.0
            if self._process is not None:
                _kill(self._process)


class RepositoryState:
    """The state of the repository of a folder, read in a thread of its own while the folder is walked.

    git is started when the result is expected to be needed, or is asked for, or if that takes a while.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._limit = Limit(SECONDS)
        self._result: dict[str, Any] = {}
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._read, name="artfs-git", daemon=True)
        self._thread.start()

    def expect(self) -> None:
        """Ask git now, because the result will probably be asked for."""
        self._wanted.set()

    def result(self) -> dict[str, Any]:
        """Return ``commit`` and ``dirty``, None for what is unknown; {} if the folder is in no repository.

        Waits until a second after the start at most.
        """
        self._wanted.set()
        self._thread.join(self._limit.left)
        return dict(self._result)

    def close(self) -> None:
        """End the thread, so that the process may fork without it."""
        self._limit.end()
        self._wanted.set()
        self._thread.join(SECONDS)

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            found = find_repository(self._folder)
            if found is None:
                return
            top, git_folder = found
            self._result = {"commit": None, "dirty": None}
            self._result = {"commit": read_commit(git_folder), "dirty": None}
            self._wanted.wait(_HESITATION)
            if self._limit.left:
                self._result = {**self._result, "dirty": is_dirty(top, git_folder, self._limit)}


# -- reading the repository's files ------------------------------------------------------------------------------------


def find_repository(folder: Path) -> tuple[Path, Path] | None:
    """Return (top folder, git's folder) of the repository that a folder belongs to, or None.

    In worktrees and submodules ``.git`` is a file that names git's folder.
    """
    place = Path(os.path.realpath(folder))  # unlike resolve(), it accepts a circle of links
    for top in [place, *place.parents]:
        dot_git = top / ".git"
        if dot_git.is_dir():
            return (top, dot_git) if (dot_git / "HEAD").is_file() else None
        if dot_git.is_file():
            text = _short(dot_git)
            if not text.startswith("gitdir: "):
                return None
            return top, top / text.removeprefix("gitdir: ")
    return None


def read_commit(git_folder: Path) -> str | None:
    """Return the commit that is checked out, in hex; None if there is none yet, or if it cannot be read from files."""
    common = _common(git_folder)
    text = _short(git_folder / "HEAD")
    for _ in range(_STEPS):
        if _HEX.fullmatch(text):
            return text
        name = text.removeprefix("ref: ")
        if name == text or _REFERENCE.fullmatch(name) is None:
            return None
        for place in (git_folder, common):
            with suppress(OSError):
                text = _short(place / name)
                break
        else:
            return _packed(common, name)
    return None


def _common(git_folder: Path) -> Path:
    """Return the folder that the worktrees of a repository share."""
    with suppress(OSError):
        return git_folder / _short(git_folder / "commondir")
    return git_folder


def _short(path: Path) -> str:
    """Return the text of a short file; raise `OSError` for anything that is no regular file."""
    return _content(path, _SHORT_FILE).decode("utf-8", "replace").strip()


def _content(path: Path, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(most)


def _packed(common: Path, name: str) -> str | None:
    with suppress(OSError):
        for line in _content(common / "packed-refs", _PACKED).decode("utf-8", "replace").splitlines():
            ident, _, packed = line.partition(" ")
            if packed == name and _HEX.fullmatch(ident):
                return ident
    return None


# -- asking git --------------------------------------------------------------------------------------------------------


def is_dirty(top: Path, git_folder: Path, limit: Limit) -> bool | None:
    """Return whether tracked files of a repository differ from its commit; None if that is unknown.

    ``top`` is its top folder, ``git_folder`` git's.
    """
    from shutil import which

    git = which("git", path=_FIXED["PATH"])
    if git is None:
        return None
    if not _is_plain(git_folder):
        settings = _output(git, top, ("config", "--list", "--show-scope", "--includes", "-z"), limit)
        if settings is None or _is_risky(settings):
            return None
    changed = _output(git, top, _STATUS, limit, most=1)
    return None if changed is None else bool(changed)


def _is_plain(git_folder: Path) -> bool:
    """Return whether a repository's own configuration surely has no risky setting: not even the words are there.

    Most have none, which saves a process.  Names in a configuration cannot be written in another way.
    """
    if (git_folder / "config.worktree").exists():
        return False
    with suppress(OSError):
        text = _content(_common(git_folder) / "config", _PACKED).lower()
        return not any(word in text for word in _RISKY_WORDS)
    return False


def _is_risky(settings: bytes) -> bool:
    """Return whether a repository's own configuration has a setting that runs a program."""
    fields = settings.decode("utf-8", "replace").split("\0")
    for scope, setting in zip(fields[::2], fields[1::2], strict=False):
        if scope in _OWN_SCOPES and _RISKY.fullmatch(setting.partition("\n")[0].lower()):
            return True
    return False


def _output(git: str, top: Path, words: tuple[str, ...], limit: Limit, *, most: int = 1 << 22) -> bytes | None:
    """Return what git prints, or its beginning; None if it fails, or does not end in time."""
    import subprocess

    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = subprocess.Popen(
        [git, "-C", os.fspath(top), *_OPTIONS, *words],
        env={**kept, **_FIXED},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    timer = threading.Timer(limit.left, limit.end)
    timer.name, timer.daemon = "artfs-git-limit", True
    timer.start()
    try:
        limit.watch(process)
        assert process.stdout is not None  # it is a pipe
        with process.stdout:
            data = process.stdout.read(most)
        if len(data) == most:  # enough is known
            _kill(process)
            process.wait()
            return data
        return data if process.wait() == 0 else None
    finally:
        limit.watch(None)
        timer.cancel()
        timer.join()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git and what it has started."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
