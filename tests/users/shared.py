"""A workspace that two members of a group work with, each with a mount."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from users.fixtures import Users

__all__ = ["MEMBERS", "Holder", "Shared"]

MEMBERS = ("alice", "bob")

_HOLDER = """
import hashlib, json, os, sys
held = None
def take(path):
    global held
    held = open(path, "rb")
def content():
    os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    held.seek(0)
    return hashlib.sha256(held.read()).hexdigest()
def drop():
    held.close()
for line in sys.stdin:
    try:
        answer = {"is": eval(line)}
    except OSError as error:
        answer = {"errno": error.errno}
    print(json.dumps(answer), flush=True)
"""


class Holder:
    """A process of a user that has a file open."""

    def __init__(self, users: Users, user: str) -> None:
        pipe = subprocess.PIPE
        self.process = users.start(user, sys.executable, "-P", "-c", _HOLDER, stdin=pipe, stdout=pipe)

    def does(self, expression: str) -> Any:
        """Return what an expression is, or the number of the error that it ends with; it must not hang."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 20)[0], f"{expression} hangs"
        answer = json.loads(self.process.stdout.readline())
        return answer.get("is", answer)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Shared:
    """A workspace of alice's that she shares with bob; each of them may have it mounted at ``m``."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self.path = users.common("shared", "alice") / "ws"
        users.artfs("alice", "init", self.path, "--shared", users.group)

    def does(self, user: str, *arguments: str, **options: Any) -> Any:
        """Run a command of artfs as a user, and return what it says as JSON."""
        done = self.users.artfs(user, "-w", self.path, *arguments, "--json", **options)
        return json.loads(done.stdout) if done.stdout else done

    def put(self, user: str, name: str, content: str) -> None:
        source = self.users.home(user) / "source"
        self.users.run(user, "sh", "-c", f"umask 022; mkdir -p {source}; printf %s {content} > {source}/x")
        self.does(user, "put", str(source), name)

    def mount(self, user: str) -> Path:
        folder = self.users.home(user) / "m"
        self.users.run(user, "mkdir", "-p", folder)
        self.does(user, "mount", str(folder), "--workers", "2")
        return folder

    def pids(self, user: str) -> list[int]:
        """Return the processes of a user's daemons, the first of each before its children."""
        return sorted(pid for pid in self.users.processes() if _is_daemon(pid, self.users.uids[user]))

    def signal(self, user: str, number: signal.Signals) -> None:
        for pid in self.pids(user):
            os.kill(pid, number)

    def status(self, user: str, of: str) -> Any:
        """Return what a user is told of another's mount."""
        (mount,) = [one for one in self.does(user, "status")["mounts"] if one["uid"] in (self.users.uids[of], None)]
        return mount

    @contextmanager
    def holder(self, user: str) -> Iterator[Holder]:
        """Give a process of a user's."""
        made = Holder(self.users, user)
        try:
            yield made
        finally:
            made.end()


def _is_daemon(pid: int, uid: int) -> bool:
    return b"artfs" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.stat(f"/proc/{pid}").st_uid == uid
