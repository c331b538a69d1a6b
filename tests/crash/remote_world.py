"""Several machines and one remote behind a proxy, for rigs that kill commands at their requests and lose answers.

A machine is a folder with a home and a workspace; its commands run in processes of their own (`crash.remote_child`).
What is right is judged from outside: a fresh clone of another machine, straight at the server, must have what was
acknowledged and nothing that was never put.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from artstore.creating import create_workspace
from artstore.errors import ArtfsError
from artstore.objects.opening import open_store
from artstore.remotes.exchanging import clone
from artstore.workspace import Workspace, open_workspace
from crash import remote_child
from servers.faults import Fault, FaultProxy, Request, Rule
from servers.s3 import S3
from store.oracle import model_of

__all__ = ["Done", "Machine", "World", "killing", "opened_world"]

_SECONDS = 120.0
Content = dict[str, tuple[str, dict[bytes, tuple[str, bytes]]]]
"""Versions by their names in the remote: the digest, and all content by path."""


class Done(NamedTuple):
    """How a command ended: its exit code (negative: the signal), what it wrote, and the requests that it made."""

    code: int
    lines: list[str]
    error: str
    requests: list[Request]


class Children:
    """The process that forks commands; one command at a time."""

    def __init__(self) -> None:
        tests = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])}
        self._zygote = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "crash.remote_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = 0

    def run(self, order: Mapping[str, Any]) -> int:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        self.pid = int(self._zygote.stdout.readline())
        try:
            return int(self._zygote.stdout.readline())
        finally:
            self.pid = 0

    def kill(self) -> None:
        """End the command that runs, if there is one, with SIGKILL."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(10)
        self._zygote.stdout.close()


@dataclass
class Machine:
    """A home, and a workspace in it."""

    world: World
    home: Path

    @property
    def workspace(self) -> Path:
        return self.home / "ws"

    def run(self, *words: str, rule: Rule | None = None, bug: str = "") -> Done:
        """Run a command to its end; ``rule`` sees its requests."""
        world, proxy = self.world, self.world.proxy
        proxy.forget()
        if rule is not None:
            proxy.rules.append(rule)
        order = {
            "words": words,
            "folder": str(self.home),
            "stdout": str(self.home / "stdout"),
            "stderr": str(self.home / "stderr"),
            "bug": bug,
            "environment": world.environment(proxy.url, self.home),
        }
        code = world.children.run(order)
        done = Done(
            code,
            (self.home / "stdout").read_text().splitlines(),
            (self.home / "stderr").read_text(),
            list(proxy.requests),
        )
        proxy.forget()
        return done

    @contextmanager
    def opened(self) -> Iterator[Workspace]:
        """Open the workspace in this process."""
        workspace = open_workspace(self.workspace)
        try:
            yield workspace
        finally:
            workspace.close()

    def copy(self, name: str) -> Machine:
        """Return another machine that is as this one, with its workspace's id."""
        home = self.home.with_name(name)
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.home, home, symlinks=True)
        return Machine(self.world, home)


@dataclass
class World:
    """A bucket of a server, a proxy before it, and machines."""

    server: S3
    folder: Path
    proxy: FaultProxy
    children: Children
    seconds: str = "10"
    known: Content = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"s3://{self.server.bucket}/remote"

    def environment(self, endpoint: str, home: Path) -> dict[str, str]:
        """Return the environment of a machine's commands."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
        return {
            **kept,
            **self.server.environment,
            "AWS_ENDPOINT_URL": endpoint,
            "ARTFS_REMOTE_TIMEOUT": self.seconds,
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "ARTFS_WORKSPACE": str(home / "ws"),
        }

    def machine(self, name: str) -> Machine:
        """Make a machine with an empty workspace."""
        home = self.folder / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        create_workspace(home / "ws").close()
        return Machine(self, home)

    def expect(self, workspace: Workspace, local: str, remote: str) -> None:
        """Remember what a version of a workspace is to be in the remote."""
        version = workspace.version(local)
        self.known[remote] = (version.digest, model_of(workspace.store, version.record.root))

    # -- the bucket ----------------------------------------------------------------------------------------------------

    @contextmanager
    def here(self) -> Iterator[None]:
        """Let this process be another machine, straight at the server, with a home of its own."""
        before = dict(os.environ)
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            os.environ.update(self.environment(self.server.endpoint, Path(home)))
            try:
                yield
            finally:
                os.environ.clear()
                os.environ.update(before)

    def objects(self) -> dict[str, bytes]:
        """Return all objects of the remote."""
        with self.here():
            store = open_store(self.url)
            return {info.name: store.read(info.name) for info in store.list("")}

    def reset(self, objects: Mapping[str, bytes]) -> None:
        """Make the remote what it was."""
        with self.here():
            store = open_store(self.url)
            store.delete([info.name for info in list(store.list("")) if info.name not in objects])
            there = {info.name for info in store.list("")}
            for name, body in objects.items():
                if name not in there:
                    store.create(name, body)
                elif name == "state/hint":
                    store.replace(name, body)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def faults(self, acknowledged: Sequence[str], *, complete: Sequence[str] = ()) -> list[str]:
        """Return what a fresh clone finds wrong: one sentence for each.

        All that was ``acknowledged`` must be there, ``complete`` must be all that is there, and what is there must be
        what was put; the check of the remote must be clean.
        """
        wrong: list[str] = []
        with self.here(), tempfile.TemporaryDirectory(dir=self.folder) as folder:
            try:
                workspace = Workspace(clone(self.url, Path(folder) / "ws"))
            except ArtfsError as error:
                return [f"the remote cannot be cloned: {error}"]
            try:
                report = workspace.remotes.fsck(data=True)
                wrong += [f"fsck: {problem.message}" for problem in report.problems]
                there = {}
                for done in workspace.remotes.pull(every=True).versions:
                    version = workspace.version(done.name)
                    there[done.remote_name] = (version.digest, model_of(workspace.store, version.record.root))
            except Exception as error:
                return [*wrong, f"a clone cannot read the remote: {type(error).__name__}: {error}"]
            finally:
                workspace.close()
        wrong += [f"{name} was acknowledged and is not there" for name in acknowledged if name not in there]
        wrong += [f"{name} is not what was put" for name, found in there.items() if self.known.get(name) != found]
        if complete and set(there) != set(complete):
            wrong.append(f"there are {sorted(there)} instead of {sorted(complete)}")
        return wrong


def killing(world: World, number: int, *, after: bool) -> Rule:
    """Return a rule that kills the command at its request of a number: before the server sees it, or afterwards."""

    def rule(request: Request) -> Fault | None:
        if request.number < number:
            return None
        if request.number > number:
            return Fault(drop=True, lose=True)
        return Fault(drop=not after, lose=True, act=world.children.kill)

    return rule


@contextmanager
def opened_world(server: S3, folder: Path) -> Iterator[World]:
    """Make a bucket of a server, with a proxy before it."""
    with pytest.MonkeyPatch.context() as patch:
        remote_child.prepare(patch.setattr)
        children = Children()
        try:
            with FaultProxy(server.endpoint) as proxy:
                yield World(server.in_new_bucket(), folder, proxy, children)
        finally:
            children.close()
