"""The git repository of a folder: its commit from files, its changes from git, and nothing of it is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from artstore.origins import repository
from artstore.origins.repository import Limit, RepositoryState, find_repository, is_dirty, read_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a configuration of git."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


def git(folder: Path, *words: str) -> str:
    options = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always"]
    line = ["git", "-C", str(folder), *options, *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a file and a folder."""
    top = tmp_path / "top"
    (top / "data").mkdir(parents=True)
    (top / "data" / "file").write_text("one\n")
    git(top, "init", "-q", "-b", "main")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    return top


def state(folder: Path) -> dict[str, object]:
    return RepositoryState(folder).result()


def test_a_clean_and_a_changed_repository(top: Path) -> None:
    """Files that git does not track are no change: the data that is put is often one."""
    head = git(top, "rev-parse", "HEAD")
    assert state(top / "data") == state(top) == state(top / "data" / "file") == {"commit": head, "dirty": False}
    (top / "untracked").write_text("x")
    assert state(top)["dirty"] is False
    (top / "data" / "file").write_text("two\n")
    assert state(top) == {"commit": head, "dirty": True}
    git(top, "add", ".")
    assert state(top)["dirty"] is True


def test_a_folder_in_no_repository(tmp_path: Path) -> None:
    """Nor one with a folder, or a file, of that name that is none."""
    (tmp_path / "plain" / ".git").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".git").write_text("nothing")
    for name in ("plain", "other", "none"):
        assert find_repository(tmp_path / name) is None and state(tmp_path / name) == {}


def test_a_folder_by_a_link(top: Path, tmp_path: Path) -> None:
    """The repository is that of the folder that the link leads to."""
    (tmp_path / "link").symlink_to(top / "data")
    assert state(tmp_path / "link")["commit"] == git(top, "rev-parse", "HEAD")


def test_heads(top: Path) -> None:
    """A detached one, a packed one, one in a branch of several components, and one that has no commit yet."""
    head = git(top, "rev-parse", "HEAD")
    git(top, "pack-refs", "--all")
    assert not (top / ".git" / "refs" / "heads" / "main").exists()
    assert read_commit(top / ".git") == head
    git(top, "checkout", "-q", "-b", "feature/x")
    git(top, "commit", "-q", "--allow-empty", "-m", "second")
    assert read_commit(top / ".git") == git(top, "rev-parse", "HEAD") != head
    git(top, "checkout", "-q", head)
    assert read_commit(top / ".git") == head
    git(top, "checkout", "-q", "--orphan", "fresh")
    assert read_commit(top / ".git") is None
    git(top, "symbolic-ref", "refs/heads/fresh", "refs/heads/main")
    assert read_commit(top / ".git") == head


@pytest.mark.parametrize(
    "head",
    [
        "ref: refs/heads/.invalid",  # reftable
        "ref: refs/../../../etc/passwd",
        "ref: /etc/passwd",
        "ref: refs/heads/loop",
        "0" * 39,
        "",
        "x" * 5000,
    ],
)
def test_heads_that_say_nothing(top: Path, head: str) -> None:
    """The commit is unknown; no file outside of the references is read."""
    (top / ".git" / "HEAD").write_text(head + "\n")
    (top / ".git" / "refs" / "heads" / "loop").write_text("ref: refs/heads/loop\n")
    assert read_commit(top / ".git") is None


def test_files_that_are_not_regular(top: Path) -> None:
    """A pipe does not make a put wait."""
    (top / ".git" / "refs" / "heads" / "main").unlink()
    os.mkfifo(top / ".git" / "refs" / "heads" / "main")
    assert read_commit(top / ".git") is None


def test_worktrees_and_submodules(top: Path, tmp_path: Path) -> None:
    """There ``.git`` is a file; a worktree's branches are those of its repository."""
    git(top, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    git(tmp_path / "side", "commit", "-q", "--allow-empty", "-m", "side")
    side = git(tmp_path / "side", "rev-parse", "HEAD")
    assert state(tmp_path / "side" / "data") == {"commit": side, "dirty": False}
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "--quiet", "add", str(top), "inner")
    assert state(outer / "inner") == {"commit": git(top, "rev-parse", "HEAD"), "dirty": False}


# -- repositories of others --------------------------------------------------------------------------------------------


def hostile(top: Path, *settings: str, attributes: str = "* filter=evil diff=evil\n") -> Path:
    """Let a repository's configuration run a program wherever it can, and the next status compare a file."""
    mark = top.parent / "mark"
    program = top.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    (top / ".gitattributes").write_text(attributes)
    for setting in settings:
        name, _, value = setting.partition("=")
        git(top, "config", name, value.replace("PROGRAM", str(program)))
    os.utime(top / "data" / "file", (1, 1))
    return mark


@pytest.mark.parametrize(
    ("setting", "dirty"),
    [
        ("core.fsmonitor=PROGRAM", False),
        ("core.sshCommand=PROGRAM", False),
        ("core.pager=PROGRAM", False),
        ("pager.status=PROGRAM", False),
        ("core.editor=PROGRAM", False),
        ("core.askPass=PROGRAM", False),
        ("core.gitProxy=PROGRAM", False),
        ("core.alternateRefsCommand=PROGRAM", False),
        ("diff.external=PROGRAM", False),
        ("diff.evil.textconv=PROGRAM", False),
        ("diff.evil.command=PROGRAM", False),
        ("credential.helper=PROGRAM", False),
        ("alias.status=!PROGRAM", False),
        ("alias.config=!PROGRAM", False),
        ("gpg.program=PROGRAM", False),
        ("status.submoduleSummary=true", False),
        ("filter.evil.clean=PROGRAM", None),
        ("filter.evil.process=PROGRAM", None),
        ("FILTER.evil.CLEAN=PROGRAM", None),
        ("remote.origin.promisor=true", None),
        ("extensions.partialClone=origin", None),
    ],
)
def test_no_setting_runs_a_program(top: Path, setting: str, dirty: bool | None) -> None:
    """Where git would have to run one to compare files, changes are unknown, and the commit is known all the same."""
    mark = hostile(top, setting)
    assert state(top) == {"commit": git_head(top), "dirty": dirty}
    assert not mark.exists()


def git_head(top: Path) -> str:
    return (top / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_filters_are_found_wherever_they_are_set(top: Path, tmp_path: Path) -> None:
    """In an included file, in a worktree's own configuration, and with attributes of the repository."""
    mark = hostile(top, attributes="")
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    (tmp_path / "more").write_text(f'[filter "evil"]\n\tclean = {tmp_path / "program"}\n')
    git(top, "config", "include.path", str(tmp_path / "more"))
    assert state(top)["dirty"] is None
    git(top, "config", "--unset", "include.path")
    git(top, "config", "includeIf.onbranch:main.path", str(tmp_path / "more"))
    assert state(top)["dirty"] is None
    git(top, "config", "--unset", "includeIf.onbranch:main.path")
    git(top, "config", "extensions.worktreeConfig", "true")
    git(top, "config", "--worktree", "filter.evil.clean", str(tmp_path / "program"))
    assert state(top)["dirty"] is None
    assert not mark.exists()


def test_hooks_do_not_run(top: Path) -> None:
    """Neither the usual ones nor those of another folder; the index is not written, so nothing would call them."""
    mark = hostile(top, attributes="")
    hooks = top / "hooks"
    hooks.mkdir()
    for folder in (hooks, top / ".git" / "hooks"):
        folder.mkdir(exist_ok=True)
        shutil.copy(top.parent / "program", folder / "post-index-change")
    git(top, "config", "core.hooksPath", str(hooks))
    before = (top / ".git" / "index").read_bytes()
    assert state(top)["dirty"] is False
    assert (top / ".git" / "index").read_bytes() == before and not mark.exists()


def test_a_program_in_the_path_or_folder(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git is that of the system, whatever the environment says, and finds no other repository by it."""
    mark = hostile(top, attributes="")
    shutil.copy(top.parent / "program", top / "git")
    monkeypatch.chdir(top)
    monkeypatch.setenv("PATH", f".:{top}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "program"))
    assert state(top)["dirty"] is False and not mark.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_repository_of_another_user(top: Path) -> None:
    """git's rule about them holds: changes are unknown unless the user calls the folder safe."""
    for path in [top, *top.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert state(top) == {"commit": git_head(top), "dirty": None}
    git(top, "config", "--global", "safe.directory", str(top))
    assert state(top)["dirty"] is False


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_slow_git(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time it is killed with all that it started, and changes are unknown."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path / 'pid'}\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setitem(repository._FIXED, "PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(repository, "SECONDS", 0.3)
    found = RepositoryState(top)
    assert found.result() == {"commit": git_head(top), "dirty": None}
    found._thread.join(10)
    assert not found._thread.is_alive()
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if not is_running(pid):
            return
        time.sleep(0.02)
    raise AssertionError("what git had started is still running")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_no_git(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is read without it."""
    monkeypatch.setitem(repository._FIXED, "PATH", "/nowhere")
    assert is_dirty(top, top / ".git", Limit(1)) is None
    assert state(top)["commit"] == git_head(top)


def threads() -> int:
    """Return how many threads read a repository, or wait to end that."""
    return sum(thread.name.startswith("artfs-git") for thread in threading.enumerate())


def test_no_thread_is_left(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may fork after a put; git is ended early if its answer is not needed."""
    found = RepositoryState(top)
    found.close()
    assert threads() == 0
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setitem(repository._FIXED, "PATH", f"{slow.parent}:/usr/bin:/bin")
    monkeypatch.setattr(repository, "SECONDS", 50.0)
    found = RepositoryState(top)
    found.close()
    assert threads() == 0 and found.result() in ({}, {"commit": None, "dirty": None}, _unknown(top))


def _unknown(top: Path) -> dict[str, object]:
    return {"commit": git_head(top), "dirty": None}
