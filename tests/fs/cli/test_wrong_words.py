"""Every command, called with wrong words: the right exit code, one sentence with names and a way out, and no change.

Each word of a call that would work is replaced in turn by what is wrong in that place, and each option that takes a
value gets what is wrong for it: `fs.cli.wrong_words` has the tables.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import artfs as api
from artfs.cli.exit_codes import MEANINGS
from artfs.cli.main import cli, main
from artfs.registry import ArtifactRegistry, LibraryManager
from artfs.tracking import active_run
from artstore.storage import environment
from fs.cli.conftest import Result
from fs.cli.wrong_words import CALLS, ELSEWHERE, WORDS
from messages import missing

Run = Callable[..., Any]


def leaves(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not a group, by its words; ``artifact cache`` is ``cache``."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            if (*path, name) != ("artifact", "cache"):
                yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaves())


def place_of(parameter: click.Parameter) -> str:
    """Return the name of a place on the command line: an argument as the help shows it, or an option."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    shown = parameter.make_metavar(click.Context(cli)).strip("[]")
    return shown if shown in WORDS else shown.strip("[]").removesuffix("...") + "..." * (parameter.nargs == -1)


def wrong_words(line: str, place: str) -> dict[str, int]:
    """Return what is wrong in a place of a command, with the exit codes."""
    here = ELSEWHERE.get(f"{line} {place}")
    return WORDS[place] if here is None else here


def wrong_calls(line: str, command: click.Command) -> Iterator[tuple[list[str], int, str]]:
    """Yield calls of a command, each with one wrong word, with the exit code and the word."""
    words = CALLS[line].split()
    for position, argument in enumerate(p for p in command.params if isinstance(p, click.Argument)):
        place = place_of(argument)
        for word, code in wrong_words(line, place).items():
            call = [*words[:position], word, *words[position + 1 :]]
            yield [*line.split(), *call], code, word
        if argument.required:
            yield [*line.split(), *words[:position]], 2, ""
    for option in (p for p in command.params if isinstance(p, click.Option) and not p.is_flag):
        place = place_of(option)
        for word, code in wrong_words(line, place).items():
            yield [*line.split(), *words, f"{place}={word}"], code, word
    yield [*line.split(), *words, "--no-such-option"], 2, "--no-such-option"
    if not any(p.nargs == -1 for p in command.params):
        yield [*line.split(), *words, *["more"] * 4], 2, "more"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the commands are run; the workspace is in it."""
    folder = tmp_path_factory.mktemp("world")
    for file in ("file", "data/empty", "data/train/a", "full/file", "mnt/.x"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    (folder / "mnt/.x").unlink()
    (folder / "bucket").mkdir()
    subprocess.run(["mkfifo", folder / "pipe"], check=True)
    (folder / "dangling").symlink_to("nowhere")
    listener = socket.socket(socket.AF_UNIX)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        listener.bind("socket")
        patch.setenv("ARTFS_WORKSPACE", str(folder / "workspace"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setattr(active_run, "_run", None)
        patch.setattr(active_run, "_hooked", True)
        for line in (
            "put data x -a prod",
            "put data y --type dataset",
            "put data y --new",
            "put data y --new",
            "rm y:v0",
            "rm --now y:v1",
            "put data team/z",
            "draft new x --from v0 --id d",
            "retention set rule --keep-last 5",
            "tag add x t",
            f"ref add {folder}/data refs",
            f"remote add origin file://{folder}/bucket",
        ):
            assert main(line.split()) == 0, line
        with api.init(project="p", id="one"):
            pass
        registry = ArtifactRegistry(folder / "workspace", "wheat", "pls")
        registry.register_with_chain([0], "s1.MinMaxScaler>s3.PLSRegression", "model", 3, fold_id=0)
        registry.export_bundle(folder / "bundle")
        LibraryManager(registry.workspace).save_template({"steps": [0]}, "pls")
    yield folder
    listener.close()
    for opened in set(environment._open_environments.values()):
        opened.drop()


def state(folder: Path) -> dict[str, object]:
    """Return what no wrong call may change: the files of the folder, and the workspace's journal and records."""
    listed = {str(path.relative_to(folder)) for path in folder.rglob("*") if "workspace" not in path.parts}
    journal = b"".join(file.read_bytes() for file in sorted((folder / "workspace/journal").iterdir()))
    workspace = api.open_workspace(folder / "workspace")
    drafts = {draft.id: draft.record() for draft in workspace.drafts.all()}
    return {"files": listed, "journal": journal, "drafts": drafts, "settings": workspace.settings}


INTERNAL = re.compile(
    r"Traceback|Errno|Error\b|NoneType|0x[0-9a-f]{6,}|\b[a-z]+_[a-z_]+\(|<class|\bclick\b|\.artfs-init-"
)
"""What only those who know the code understand."""
LONGEST = 200


def problems(call: list[str], code: int, word: str, result: Any) -> Iterator[str]:
    """Yield what is wrong with the answer to a wrong call."""
    sentence = result.message
    if result.code != code:
        yield f"exit code {result.code}, not {code}"
    if code == 0:
        return
    if not sentence.startswith("artfs: ") or sentence.count("\n") != 1:
        yield "not one sentence"
    if INTERNAL.search(sentence):
        yield "an internal name"
    if word and word.strip() not in sentence:
        named = re.split(r"[:/=]", word)
        if not any(part and part in sentence for part in named):
            yield "the word is not named"
    if "; " not in sentence and "see '" not in sentence and ": " not in sentence.removeprefix("artfs: "):
        yield "no way out"
    without_names = sentence
    for name in sorted([*call, *word.split("/")], key=len, reverse=True):
        without_names = without_names.replace(name, "") if len(name) > 2 else without_names
    if len(re.sub(r"/\S+", "", without_names)) > LONGEST:
        yield f"{len(without_names)} characters"
    if result.out:
        yield "something on stdout"


def test_every_command_has_a_call() -> None:
    """A new command needs a line in ``CALLS``, a new place one in ``WORDS``."""
    assert set(CALLS) == set(COMMANDS)
    places = {
        place_of(p)
        for command in COMMANDS.values()
        for p in command.params
        if not (isinstance(p, click.Option) and p.is_flag)
    }
    assert places <= set(WORDS) | {name.rpartition(" ")[2] for name in ELSEWHERE}


@pytest.mark.parametrize("line", sorted(CALLS))
def test_wrong_words(artfs: Run, world: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Each wrong word has its exit code and one sentence that names it, and nothing is changed."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(world / "workspace"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world / "config"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(world / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(world / "runtime"))
    monkeypatch.chdir(world)
    before = state(world)
    found = []
    for call, code, word in wrong_calls(line, COMMANDS[line]):
        assert code in MEANINGS
        result = artfs(*[each.replace("{cwd}", str(world)) for each in call])
        found += [f"{shlex.join(call)}: {what}: {result.message}" for what in problems(call, code, word, result)]
    assert not found, "\n".join(found)
    assert state(world) == before


@pytest.mark.parametrize("group", ["", *sorted({line.rpartition(" ")[0] for line in CALLS} - {""})])
def test_a_command_that_does_not_exist(artfs: Run, home: Path, group: str) -> None:
    """The likely ones are named, in one sentence."""
    likely = sorted(COMMANDS[line].name or "" for line in COMMANDS if line.rpartition(" ")[0] == group)[0]
    for word in (f"{likely}x", "zzz"):
        result = artfs(*group.split(), word)
        found = list(problems([word], 2, word, result))
        assert not found, (found, result.message)
        assert ". (" not in result.message and ".;" not in result.message and "?)" not in result.message
    assert not missing(artfs(*group.split(), f"{likely}x").message, [likely])


READING = [
    *("ls", "ls x", "ls -l x:v0", "find", "show x", "log x", "diff y:v2 x", "cat x:v0/train/a", "usage", "usage x"),
    *(
        "du x",
        "status",
        "alias ls x",
        "alias log x",
        "tag ls x",
        "artifact ls",
        "lineage x",
        "run ls",
        "run show p/one",
    ),
    *("why x", "retention show", "retention plan", "config", "doctor", "draft ls", "draft status d"),
    *(
        "ref ls refs",
        "ref check refs",
        "fsck",
        "cache info",
        "--help",
        "--version",
        "retention --help",
        "retention set --help",
    ),
]
"""Commands that write to stdout and change nothing."""

FORKING = """
import os, sys
from artfs.cli.main import main
for line in sys.argv[2:]:
    child = os.fork()
    if not child:
        if sys.argv[1] == "closed":
            reader, out = os.pipe()
            os.close(reader)
            os.dup2(out, 1)
        elif sys.argv[1] == "none":
            os.close(1)
            sys.stdout = None
        else:
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        os._exit(main(line.split()))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.parametrize(("stdout", "code"), [("closed", 141), ("full", 6), ("none", 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_output_that_cannot_be_written(
    world: Path, monkeypatch: pytest.MonkeyPatch, stdout: str, code: int, as_json: bool
) -> None:
    """A reader that has closed the pipe ends a command quietly; a full disk or no stdout at all is one sentence."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(world / "workspace"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world / "config"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(world / "cache"))
    monkeypatch.chdir(world)
    lines = [line for line in READING if "cat" not in line and not line.startswith("--") and "--help" not in line]
    lines = [f"{line} --json" for line in lines] if as_json else READING
    command = [sys.executable, "-W", "ignore", "-c", FORKING, stdout, *lines]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert dict(zip(lines, map(int, done.stdout.split()), strict=True)) == dict.fromkeys(lines, code), done.stderr
    sentences = [line for line in done.stderr.splitlines() if "standard output" in line]
    assert "Traceback" not in done.stderr
    assert len(sentences) == (0 if stdout == "closed" else len(lines)), done.stderr


UNREADABLE = {
    "-w locked ls": 4,
    "-w locked put data q": 4,
    "-w locked fsck": 1,
    "-w locked mount mnt": 4,
    "put locked q": 1,
    "put secret q": 1,
    "draft add d secret": 1,
    "get x sealed/out": 1,
    "init sealed/new": 1,
    "-w sealed/new put data q": 1,
}
"""Calls that need a permission which the user lacks."""


def test_what_may_not_be_read_or_written(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing permission is a failure, in one sentence that names the place and no part of artfs."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(world / "workspace"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world / "config"))
    monkeypatch.chdir(world)
    (world / "locked").mkdir()
    (world / "secret").write_text("secret")
    (world / "sealed").mkdir()
    modes = {"locked": 0, "secret": 0, "sealed": 0o555}
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    try:
        for name, mode in modes.items():
            (world / name).chmod(mode)
        before = state(world)
        found = []
        for line, code in UNREADABLE.items():
            command = [*powerless, sys.executable, "-m", "artfs", *line.split()]
            done = subprocess.run(command, capture_output=True, timeout=60)
            word = next(part for part in line.replace("/", " ").split() if part in modes)
            result = Result(done.returncode, done.stdout, done.stderr)
            found += [f"{line}: {what}: {result.message}" for what in problems(line.split(), code, word, result)]
        assert not found, "\n".join(found)
        assert state(world) == before
    finally:
        for name in modes:
            (world / name).chmod(0o700)
        (world / "locked").rmdir()
        (world / "secret").unlink()
        (world / "sealed").rmdir()
