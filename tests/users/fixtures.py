"""The driver of the users, and the fixture that gives it to a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from users import namespace

__all__ = ["Users", "make_users", "users", "users_are_missing"]

Word = str | os.PathLike[str]
ROOT: Final = "root"
ALLOW_OTHER: Final = "user_allow_other\n"
_PROGRAMS: Final = ("nsenter", "setpriv", "fusermount3")
_SECONDS: Final = 60


class Users:
    """Alice, bob, carol and root: programs run as one of them, in a namespace that ends with this object.

    Alice and bob are members of the group `group`; carol is not.  ``fuse_conf`` is the content of /etc/fuse.conf.
    Folders of the users are seen by the test as well, their mounts only by programs that `run` and `start` run.
    """

    group: Final = namespace.GROUP[0]
    gid: Final = namespace.GROUP[1]
    uids: Final = {**namespace.USERS, ROOT: 0}

    def __init__(self, *, fuse_conf: str = ALLOW_OTHER) -> None:
        with ExitStack() as stack:
            # Below the folder of temporary files, because a workspace in memory has other properties than one on disk.
            self.folder = Path(tempfile.mkdtemp(prefix="art-users-"))
            """A folder of root's that every user can reach, on the disk of temporary files."""
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.folder.chmod(0o755)
            self._started: list[subprocess.Popen[str]] = []
            self.home(ROOT).mkdir(0o700)
            self._keeper = self._keep(fuse_conf)
            stack.callback(self._keeper.communicate, timeout=_SECONDS)
            self._mounts = os.open(f"/proc/{self._keeper.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, self._mounts)
            stack.callback(self._kill)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every process in the namespace, which ends its mounts, and remove the folders."""
        self._stack.close()

    def home(self, user: str) -> Path:
        """Return the home of a user: empty at first, and closed to others."""
        return Path(namespace.home_of(str(self.folder), user))

    def common(self, name: str, user: str, mode: int = 0o755) -> Path:
        """Make and return a folder that all can reach, and that belongs to a user."""
        folder = self.folder / "common" / name
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir()
        folder.chmod(mode)
        os.chown(folder, self.uids[user], self.uids[user])
        return folder

    def start(
        self, user: str, *command: Word, env: Mapping[str, str] | None = None, cwd: Word | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a program as a user, in the user's home; its pid is that of the process that is returned.

        ``env`` is added to a user's ordinary environment, ``options`` are those of `subprocess.Popen`.
        """
        place = os.fspath(cwd or self.home(user))
        enter = ["nsenter", f"--mount=/proc/self/fd/{self._mounts}", "--"]
        become = [] if user == ROOT else _become(user)
        where = ["env", f"--chdir={place}", "--"]
        options.setdefault("stdin", subprocess.DEVNULL)
        environment = {**self._environment(user), **(env or {})}
        words = [*enter, *become, *where, *(os.fspath(word) for word in command)]
        kept = (*options.pop("pass_fds", ()), self._mounts)
        process: subprocess.Popen[str] = subprocess.Popen(words, text=True, env=environment, pass_fds=kept, **options)
        self._started.append(process)
        return process

    def run(
        self, user: str, *command: Word, check: bool = True, timeout: float = _SECONDS, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as a user and return what it printed; with ``check`` it must succeed."""
        with self.start(user, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        assert not check or process.returncode == 0, f"{command} ended with {process.returncode}: {output}{errors}"
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def artfs(self, user: str, *arguments: Word, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of artfs as a user, as `run` does."""
        return self.run(user, sys.executable, "-P", "-m", "artfs", *arguments, **options)

    def python(self, user: str, code: str, *arguments: Word, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Python code as a user, as `run` does."""
        return self.run(user, sys.executable, "-P", "-c", code, *arguments, **options)

    def processes(self) -> list[int]:
        """Return the pids of the processes in the namespace, without the one that keeps it."""
        mine = os.fstat(self._mounts).st_ino
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with suppress(OSError):
                    if os.stat(f"/proc/{name}/ns/mnt").st_ino == mine:
                        found.append(int(name))
        return [pid for pid in found if pid != self._keeper.pid]

    def _environment(self, user: str) -> dict[str, str]:
        own = {"HOME": str(self.home(user)), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": _packages()}
        if user != ROOT:
            name = namespace.account(user)
            own |= {"USER": name, "LOGNAME": name, "XDG_RUNTIME_DIR": namespace.run_dir_of(user)}
        return own

    def _keep(self, fuse_conf: str) -> subprocess.Popen[str]:
        """Start the process that makes and keeps the namespace."""
        script = str(Path(namespace.__file__))
        paths = [sys.base_prefix, sys.prefix, os.path.dirname(script), *_packages().split(os.pathsep)]
        process = subprocess.Popen(
            [sys.executable, "-I", script, str(self.folder), fuse_conf, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            _, errors = process.communicate(timeout=_SECONDS)
            raise OSError(f"the namespace was not made: {errors}")
        return process

    def _kill(self) -> None:
        """Kill what was started, which may be on its way into the namespace, and what is there until nothing is."""
        for process in self._started:
            process.kill()
            process.wait()
        deadline = time.monotonic() + _SECONDS
        while pids := self.processes():
            assert time.monotonic() < deadline, f"the processes {pids} do not end"
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _become(user: str) -> list[str]:
    name = namespace.account(user)
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--inh-caps=-all", "--"]


def _packages() -> str:
    """Return the folders in which the users' Python finds the packages that are tested."""
    import artfs
    from artstore import errors

    return os.pathsep.join([str(Path(artfs.__path__[0]).parent), str(Path(str(errors.__file__)).parents[1])])


@cache
def users_are_missing() -> str:
    """Return why there can be no users here, or an empty text: each must be able to start the interpreter."""
    if os.geteuid() != 0:
        return "only root can make users"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing or not os.path.exists("/dev/fuse"):
        return f"{', '.join(missing) or '/dev/fuse'} is missing"
    try:
        with Users() as made:
            for user in namespace.USERS:
                made.python(user, "import artfs.cli.main, artstore.workspace")
    except (OSError, AssertionError, subprocess.SubprocessError) as error:
        return f"users cannot be made: {error}"
    return ""


@contextmanager
def _present(**options: Any) -> Iterator[Users]:
    """Yield users; skip on a machine where there can be none, but fail in CI, where a skip would pass unseen."""
    missing = users_are_missing()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)
    with Users(**options) as made:
        yield made


@pytest.fixture
def users() -> Iterator[Users]:
    """Give three users and root, in a namespace of the test's own."""
    with _present() as made:
        yield made


@pytest.fixture
def make_users() -> Iterator[Callable[..., Users]]:
    """Give a function that makes users, with the options of `Users`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(_present(**options))
