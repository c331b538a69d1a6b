"""Shells complete artifacts, versions, aliases, paths and the rest: each that is here is started on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.cli.shells import SCRIPTS, typed
from artstore.storage import environment
from fs.cli.conftest import main

Run = Callable[..., Any]

SETUP = {
    "bash": (["bash", "--norc", "-i"], "bind 'set enable-bracketed-paste off'; eval \"$(artfs completion bash)\""),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; bindkey -e; eval "$(artfs completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "artfs completion fish | source"),
}
START, END = "\x01", "\x05"
"""Ctrl-A and Ctrl-E, which go to the start and the end of a line."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace in which every kind of thing has a name, and with the command."""
    folder = tmp_path_factory.mktemp("shells")
    for file in ("data/train/a.txt", "data/my dir/b c.txt", "data/top"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    (folder / "bin").mkdir()
    command = folder / "bin" / "artfs"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore -m artfs "$@"\n')
    command.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ARTFS_WORKSPACE", str(folder / "workspace"))
        for line in (
            "put data team/image -a clean --type dataset",
            "put data y",
            "draft new y --from v0 --id fixes",
            "draft new y",
            "retention set young --keep-within 7d",
            "tag add y good",
        ):
            assert main(line.split()) == 0
        for opened in set(environment._open_environments.values()):
            opened.drop()
    return folder


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment of a shell in which the command and its workspace are found."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    found = {"PATH": path, "ARTFS_WORKSPACE": str(folder / "workspace"), "HOME": str(folder), "TERM": "xterm"}
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "TMPDIR") if name in os.environ}
    return {**kept, **found, "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def completed(shell: str, folder: Path, line: str) -> list[str]:
    """Return the words of a line after a press of the tabulator key at its end, in a shell on a terminal."""
    command, setup = SETUP[shell]
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execvpe(command[0], command, environment_of(folder))
    try:
        keys = f" {setup}; printf 'REA%s\\n' DY\n"
        os.write(terminal, keys.encode())
        read_until(terminal, r"READY\r")
        os.write(terminal, f"{line}\t{START}printf '[%s]' {END}; printf 'DO%s\\n' NE\n".encode())
        shown = read_until(terminal, r"\[artfs\].*DONE\r")
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    words = re.findall(r"\[([^\]\x1b]*)\]", shown[shown.rindex("[artfs]") :])
    return [word.removesuffix("/") for word in words]  # zsh removes the slash at the end of a line


def read_until(terminal: int, pattern: str) -> str:
    """Read what a terminal shows until it matches."""
    shown, deadline = "", time.monotonic() + 60
    while not re.search(pattern, shown, re.DOTALL):
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


COMPLETIONS = {
    "artfs sta": ["artfs", "status"],
    "artfs show te": ["artfs", "show", "team/image"],
    "artfs show team/image:cl": ["artfs", "show", "team/image:clean"],
    "artfs show y:v": ["artfs", "show", "y:v0"],
    "artfs cat y:v0/tr": ["artfs", "cat", "y:v0/train"],
    "artfs cat y:v0/train/": ["artfs", "cat", "y:v0/train/a.txt"],
    "artfs ls y:v0/my": ["artfs", "ls", "y:v0/my dir"],
    "artfs draft status fi": ["artfs", "draft", "status", "fixes"],
    "artfs put data y --base=v": ["artfs", "put", "data", "y", "--base=v0"],
    "artfs put da": ["artfs", "put", "data"],
}
"""What is typed, and the words of the line after the tabulator key."""


@pytest.mark.parametrize("line", COMPLETIONS)
@pytest.mark.parametrize("shell", SETUP)
def test_a_shell_completes(stocked: Path, shell: str, line: str) -> None:
    """In words with colons too, which bash takes for several words."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert completed(shell, stocked, line) == COMPLETIONS[line]


CANDIDATES = {
    "artfs show ": ["team/image", "y"],
    "artfs show team/image:": ["clean", "latest", "v0"],
    "artfs alias ls ": ["team/image", "y"],
    "artfs alias rm team/image ": ["clean"],
    "artfs alias rm y ": [],
    "artfs tag rm y ": ["good"],
    "artfs find --tag ": ["good"],
    "artfs find --type ": ["dataset"],
    "artfs find --project ": ["team"],
    "artfs draft add ": ["fixes", "d2"],
    "artfs draft commit f": ["fixes"],
    "artfs draft rm fixes ": ["my\\ dir/", "top", "train/"],
    "artfs draft mv fixes train/": ["train/a.txt"],
    "artfs retention rm ": ["young"],
    "artfs get y out --path ": ["my\\ dir/", "top", "train/"],
    "artfs warm y:v0 tr": ["train/"],
    "artfs put data y --base ": ["latest", "v0"],
    "artfs put data y --base y:": ["latest", "v0"],
    "artfs cat 'y:v0/my": ["y:v0/my dir/"],
    "artfs completion ": ["bash", "zsh", "fish"],
    "artfs config pro": ["protected-aliases"],
    "artfs rm x --cascade=o": ["orphan"],
    "artfs show no-such:": [],
}
"""What is typed in bash, and all candidates."""


def test_candidates(stocked: Path) -> None:
    """Each place offers what can stand there, of the workspace that the line names."""
    found = {line: candidates(line, stocked) for line in CANDIDATES}
    assert found == CANDIDATES


def candidates(line: str, folder: Path, **variables: str) -> list[str]:
    """Return the texts that bash gets for a line."""
    variables = {"_ARTFS_COMPLETE": "bash", "_ARTFS_BREAKS": " \t\n\"'@><=;|&(:", **variables}
    command = [folder / "bin" / "artfs", line]
    done = subprocess.run(command, env=environment_of(folder) | variables, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [text.split("\t")[1] for text in done.stdout.splitlines()]


def test_without_a_workspace_nothing_is_offered_and_nothing_said(stocked: Path, tmp_path: Path) -> None:
    """A shell that completes has nowhere to show a failure; no workspace is made either."""
    assert candidates("artfs show ", stocked, ARTFS_WORKSPACE=str(tmp_path / "none")) == []
    assert candidates(f"artfs -w {stocked / 'workspace'} show t", stocked, ARTFS_WORKSPACE="") == ["team/image"]
    assert not (tmp_path / "none").exists()


def test_a_bash_that_splits_elsewhere_gets_whole_words(stocked: Path) -> None:
    """Users may take the colon out of COMP_WORDBREAKS."""
    assert candidates("artfs show y:v", stocked, _ARTFS_BREAKS=" \t\n") == ["y:v0"]


@pytest.mark.parametrize(
    ("line", "words", "incomplete", "quote"),
    [
        ("artfs", [], "artfs", ""),
        ("artfs ", ["artfs"], "", ""),
        ("artfs  ls  a b", ["artfs", "ls", "a"], "b", ""),
        (r"artfs a\ b c\:", ["artfs", "a b"], "c:", ""),
        ("artfs 'a b' \"c", ["artfs", "a b"], "c", '"'),
        ("artfs '' x", ["artfs", ""], "x", ""),
        ("artfs 'a", ["artfs"], "a", "'"),
        ('artfs "a\\"b', ["artfs"], 'a"b', '"'),
    ],
)
def test_words_of_a_line(line: str, words: list[str], incomplete: str, quote: str) -> None:
    """Quotes and backslashes are those of a shell; the last word may be open."""
    assert typed(line) == (words, incomplete, quote)


def test_completing_loads_no_more_than_it_needs(stocked: Path) -> None:
    """Whoever presses a key waits for the answer."""
    code = "import sys; from artfs.cli.main import main; main(['artfs show y:']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment_of(stocked) | {"_ARTFS_COMPLETE": "bash"},
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"rich", "trio", "pyfuse3", "mypy", "artfs.mount", "obstore", "fsspec"}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_valid(artfs: Run, shell: str) -> None:
    """The shell itself reads it without an error."""
    result = artfs("completion", shell)
    assert (result.code, result.text) == (0, SCRIPTS[shell])
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=result.out, check=True)
