"""The wording of messages and hints, in three tables; other tests assert kinds, exit codes and names.

``COMMANDS`` has the errors of commands, ``NOTICES`` what commands report on stderr when they succeed, and ``CALLS`` the
errors of Python calls that no command raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import artfs as package
from artfs.cli.main import main
from artfs.mount import checks
from artfs.mount.control import mount
from artfs.tracking import active_run
from artstore import errors
from artstore.storage import environment
from messages import refused

Run = Callable[..., Any]

CHARACTERS = "the characters / : \\ * ? [ ] # % @ are not allowed in it"
DURATION = "is not a duration; write a number with a unit, such as 24h, 7d, 90m or 30s, or 0"
CASCADE = "--cascade also deletes those; --cascade=orphan keeps them without their inputs"

WORLD = [
    "put data x -a prod",
    "put data y --type dataset",
    "put data y --new",
    "put data y --new",
    "rm y:v0",
    "rm --now y:v1",
    "put b w -a stable",
    "put b w --new",
    "ref add artfs://y:v2 z",
    "ref add {cwd}/changed refs",
    "ref add {cwd}/gone refs --base latest",
    "put data base",
    "draft new base --from v0 --id open",
    "draft add open full step/",
    "config protected-aliases stable",
]
"""Commands that make the workspace in which the errors occur: none of them changes it."""

COMMANDS = [
    # names, versions and aliases
    ("show nothing", 3, "there is no artifact 'nothing'; list what exists: artfs ls"),
    ("show x:v9", 3, "there is no x:v9; list what exists: artfs ls x"),
    ("show x:nosuch", 3, "'x' has no alias 'nosuch'; list them: artfs alias ls x"),
    ("show y:v0", 3, "y:v0 was deleted; restore it: artfs undelete y:v0"),
    ("cat x:v0/nothing", 3, "x:v0 has no 'nothing'; list its files: artfs ls x:v0"),
    ("cat x:v0", 2, "x:v0 is a whole version; name a file in it: x:v0/PATH ('artfs ls' lists them)"),
    ("cat x/train/a", 3, "there is no artifact 'x/train/a'; did you mean x:latest/train/a?"),
    ("cat x:v0/train", 2, "x:v0/train is a folder; name a file in it; list them: artfs ls x:v0/train"),
    ("show b", 3, "there is no artifact 'b'; list what exists: artfs ls; a path on a mount is written ./b"),
    (
        "log x:v0",
        2,
        "'x:v0' names a version behind \":\"; give the artifact alone: x; see 'artfs log --help'",
    ),
    ("warm x none", 3, "x:v0 has no 'none'; list its files: artfs ls x:v0"),
    ("purge x:v0/none --reason r", 3, "x:v0 has no 'none'; list its files: artfs ls x:v0"),
    ("tag add x a,b", 2, "the tag 'a,b' contains \",\"; give several tags one by one; see 'artfs tag add --help'"),
    ("ls x*y", 3, "no artifact matches 'x*y'; list all artifacts: artfs ls"),
    (
        "alias set x v3",
        2,
        "the alias 'v3' looks like a version number; artfs assigns those; see 'artfs alias set --help'",
    ),
    (
        "alias set x latest",
        2,
        "the alias 'latest' is reserved: it always means the highest living version; see 'artfs alias set --help'",
    ),
    ("alias rm x nothing", 3, "'x' has no alias 'nothing'; list them: artfs alias ls x"),
    (
        "alias set w:v1 stable",
        4,
        "the alias 'stable' of 'w' is protected; 'artfs alias set --force' moves it, "
        "'artfs alias rm --force' removes it",
    ),
    ("artifact rename x y", 4, "'y' already exists; use another name"),
    ("link x:v0 x", 2, "x:v0 is already a version of 'x'; set an alias on it instead"),
    ("lineage none", 3, "there is no artifact 'none'; list what exists: artfs ls"),
    ("run show p/two", 3, "there is no run 'p/two'; list them: artfs run ls"),
    # put, get, init and the workspace
    ("put no/such x", 3, "no/such does not exist; name a folder or a file"),
    (
        "put . bad:name",
        2,
        "'bad:name' names a version behind \":\"; give the artifact alone: bad; see 'artfs put --help'",
    ),
    (
        "put full y --type model",
        4,
        "'y' has the type 'dataset', not 'model'; omit --type, or change it for all versions: "
        "artfs artifact set-type y model",
    ),
    ("put - x", 3, "put does not read standard input; write it to a file, and put that file"),
    ("put w full", 3, "w does not exist here, but is an artifact; did you mean: artfs put full w"),
    (
        "-w absent ls",
        3,
        "there is no workspace at {cwd}/absent yet; the first 'artfs put PATH NAME' creates it; "
        "'artfs init DIR' creates one elsewhere",
    ),
    ("put . y --remove a", 2, "--remove needs --base; see 'artfs put --help'"),
    ("put s3://bucket/d x", 3, "s3://bucket/d is not a path; to refer to it without copying: artfs ref add"),
    (
        "get x:v0 full",
        4,
        "'empty' differs from this version in {cwd}/full; nothing was written; "
        "use --overwrite to replace it, or copy to another folder",
    ),
    ("get x:v0 b", 2, "{cwd}/b exists and is not a folder; name a new or an existing folder"),
    ("get x full --path nothing", 3, "x:v0 has no 'nothing'; list its files: artfs ls x:v0"),
    ("init full", 4, "{cwd}/full is not empty; name a new or an empty folder"),
    ("-w full ls", 3, "{cwd}/full is not an artfs workspace; create one: artfs init DIR"),
    (
        "usage x --by type",
        2,
        "--by groups the whole workspace and cannot be used with NAME; see 'artfs usage --help'",
    ),
    # deletion
    (
        "rm x",
        2,
        "'x' does not say which version; x:latest is v0, 'x:*' is the only version; rm -r x deletes the whole artifact",
    ),
    (
        "rm x:v0",
        4,
        "nothing was deleted: x:v0 has the alias 'prod'; --force deletes them anyway; "
        "to move an alias: artfs alias set",
    ),
    (
        "rm y:v2",
        4,
        f"nothing was deleted: z:v0 includes y:v2; {CASCADE}",
    ),
    (
        "rm w:v0",
        4,
        "nothing was deleted: w:v0 has the protected alias 'stable'; remove the alias first: artfs alias rm --force",
    ),
    (
        "rm x:v0/train",
        2,
        "x:v0/train is a path inside a version; only whole versions can be deleted; "
        "to remove content from versions permanently, see: artfs purge --help",
    ),
    ("rm x:v2..v0", 2, "'v2..v0' is not a range of versions; such as v0..v9, inclusive"),
    ("rm -r x:v0", 2, "-r selects whole artifacts: give 'x' without a version; see 'artfs rm --help'"),
    ("undelete x:v0", 4, "x:v0 is not deleted; see its history: artfs log x"),
    ("undelete x:v9", 3, "x:v9 never existed; list the versions: artfs log x"),
    ("undelete y:v1", 3, "y:v1 can no longer be restored: its space has been freed or is being freed"),
    # drafts
    ("draft status d1", 3, "no draft 'd1' is open; list them: artfs draft ls"),
    ("draft new x --id open", 4, "a draft 'open' is already open; see it with: artfs draft status open"),
    (
        "draft new x --id a/b",
        2,
        f"the draft's name 'a/b' contains \"/\"; {CHARACTERS}; see 'artfs draft new --help'",
    ),
    ("draft new x --expires 0", 2, "a draft cannot expire 0 seconds after it is opened; such as 12h or 7d"),
    ("draft add open b ../c", 2, "'../c' is not a path inside a version; see 'artfs draft add --help'"),
    ("draft add open b /abs", 2, "'/abs' is not a path inside a version: it is absolute; write 'abs'"),
    ("draft mv open absent b", 3, "the draft 'open' has no 'absent'; write the whole path within it"),
    ("draft add open b train/a/c", 4, "'train/a' exists and is not a folder"),
    (
        "draft add open data step/",
        4,
        "'step/empty' was already added to the draft with different content; --overwrite replaces it",
    ),
    ("draft mv open empty train/a", 4, "'train/a' already exists; --overwrite replaces a file"),
    ("draft mv open train train/below", 2, "'train' cannot be moved into itself; see 'artfs draft mv --help'"),
    ("draft rm open absent", 3, "the draft 'open' has no 'absent'; write the whole path within it"),
    ("draft rm open *.jpg", 3, "nothing in the draft 'open' matches '*.jpg'; globs are as in .gitignore"),
    # retention and configuration
    ("retention rm best", 3, "there is no retention rule 'best'; list them: artfs retention show"),
    ("retention set r", 2, "the rule 'r' would keep nothing; add what to keep, such as --keep-last 3"),
    (
        "retention set a/b --keep-last 1",
        2,
        f"the rule's name 'a/b' contains \"/\"; {CHARACTERS}; see 'artfs retention set --help'",
    ),
    (
        "retention set r --keep-best acc",
        2,
        "'acc' is not N:FIELD; such as 5:accuracy, or 5:loss:min for the smallest",
    ),
    (
        "retention ttl x:v0 0",
        2,
        "the expiry time must be in the future, not 0 seconds from now; such as 12h or 30d",
    ),
    ("config undelete-window soon", 2, f"'soon' {DURATION}"),
    ("config reference-cache much", 2, "'much' is not a size; such as 50GB or 500MiB"),
    # references
    (
        "ref add bucket/key q",
        2,
        "'bucket/key' is not a supported URI or an absolute path; "
        "s3://, gs://, az://, https://, file://, an absolute path, or artfs://NAME:v3",
    ),
    ("ref add s3:// q", 2, "'s3://' names no bucket; write s3://BUCKET/KEY"),
    ("ref add /no/such/file q", 3, "'/no/such/file' cannot be found: No such file or directory"),
    (
        "ref add https://me:pw@host/f q",
        2,
        "the address at host contains a password; references must not contain secrets; "
        "remove it, and set credentials in the environment",
    ),
    (
        "cat refs:v1/changed",
        5,
        "file://{cwd}/changed has changed since it was logged; log it again to pin its current content",
    ),
    ("cat refs:v1/gone", 5, "file://{cwd}/gone has been removed since it was logged"),
    ("ref pin x", 3, "x:v0 has no references; its content is stored already"),
    # mounting
    ("mount absent", 3, "the mount point {cwd}/absent does not exist; mkdir {cwd}/absent"),
    ("mount b", 2, "the mount point {cwd}/b is not a folder; name an empty folder"),
    (
        "mount full",
        4,
        "the mount point {cwd}/full is not empty, and a mount would hide what is in it; name an empty folder",
    ),
    ("umount full", 3, "nothing is mounted at {cwd}/full; list the mounts: artfs status"),
    # the command line
    ("pt", 2, "no such command 'pt'; did you mean one of: 'path', 'put'?; see 'artfs --help'"),
    ("statsu", 2, "no such command 'statsu'; did you mean 'status'?; see 'artfs --help'"),
    ("rm", 2, "missing argument 'REF...'; see 'artfs rm --help'"),
    (
        "fsck --repair --rebuild",
        2,
        "--rebuild rebuilds everything: omit --repair, and run it afterwards if needed; see 'artfs fsck --help'",
    ),
]
"""Command, exit code, and the sentence with its hint."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands are run; the workspace is in it."""
    folder = tmp_path_factory.mktemp("messages")
    for file in ("b", "changed", "gone", "data/empty", "data/train/a", "full/empty"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTFS_WORKSPACE", str(folder / "workspace"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.chdir(folder)
        for command in WORLD:
            assert main(command.replace("{cwd}", str(folder)).split()) == 0, command
        (folder / "changed").write_text("otherwise")
        (folder / "gone").unlink()
        for opened in set(environment._open_environments.values()):
            opened.drop()
    return folder


@pytest.mark.parametrize(("command", "code", "sentence"), COMMANDS, ids=[command for command, _, _ in COMMANDS])
def test_errors_of_commands(
    artfs: Run, world: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int, sentence: str
) -> None:
    """A mistake is answered with exactly this sentence."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(world / "workspace"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world / "config"))
    monkeypatch.chdir(world)
    result = artfs(*command.split())
    refused(result, code=code)
    assert result.message == f"artfs: {sentence}\n".replace("{cwd}", str(world))


NOTICES = [
    ("put data x", "created the workspace {cwd}/home/workspace"),
    ("alias set x:v0 best", "x:best -> v0"),
    ("tag add x:v0 good", "x:v0 has the tags good"),
    ("artifact describe x text", "x now has the description text"),
    ("config undelete-window 7d", "undelete-window is now 7d"),
    ("config reap-nodes-per-second 5000", "reap-nodes-per-second is now 5,000"),
    ("config protected-aliases prod,rel-*", "protected-aliases is now prod,rel-*"),
    ("config protected-aliases none", "protected-aliases is now none"),
    ("draft new x --from latest --id d", ""),
    ("draft add d file://{cwd}/data/sub/c in", "1 reference to {size}"),
    ("draft add d more", "1 file, 4 B, {size} new"),
    ("draft rm d sub/c", "removed sub/c"),
    ("draft mv d empty full/", "moved empty to full/empty"),
    ("draft status d", "draft of x from x:v0"),
    ("draft abort d", "discarded the draft d"),
    ("retention ttl x:v0 none", "x:v0 has no expiry time"),
    (
        "retention set best --type model --keep-best 1:acc",
        "best: for type model, keep the best 1 by acc; 'artfs retention plan' shows its effect",
    ),
    ("put more y", ""),
    ("put data y", ""),
    (
        "retention set best --keep-last 1",
        "best: for all artifacts, keep the last 1; 'artfs retention plan' shows its effect",
    ),
    ("retention apply --dry-run", "1 version would be deleted: {size}"),
    ("retention apply", "1 version deleted: {size}, undelete until {time}"),
    ("retention rm best", "removed the rule best"),
    ("retention ttl x 2h", "x:v0 expires at {time}, unless it still has the alias 'best' then"),
    ("retention ttl y:v1 30d", "y:v1 expires at {time}"),
    (
        "rm -f x:v0",
        "the alias x:best was removed with its version\nartfs: until then, 'artfs undelete x:v0' restores them",
    ),
]
"""Commands that are run one after the other, and what each reports on stderr."""


def test_notices(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that succeed report in exactly these words."""
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "empty").touch()
    (tmp_path / "data" / "sub" / "c").write_text("c")
    (tmp_path / "more").write_text("more")
    monkeypatch.chdir(tmp_path)
    for command, sentence in NOTICES:
        result = artfs(*command.replace("{cwd}", str(tmp_path)).split())
        shown = result.message.replace(str(tmp_path), "{cwd}")
        shown = re.sub(r"[\d.]+ k?B(?= new|, undelete|$)", "{size}", re.sub(r"20\d\d-\S+Z", "{time}", shown))
        assert (result.code, shown) == (0, f"artfs: {sentence}\n" if sentence else ""), command


def unlogged() -> package.Artifact:
    """Return an artifact that is not logged."""
    return package.Artifact("new", "dataset")


CALLS: list[tuple[Callable[[package.Run, package.Artifact], object], type[Exception], str]] = [
    # artifacts
    (
        lambda _run, _data: unlogged().version,
        errors.RefusedError,
        "the artifact 'new' has no version before it is logged; log it: run.log_artifact",
    ),
    (lambda _run, _data: unlogged().add_file("absent"), errors.SourceError, "'absent' does not exist"),
    (
        lambda _run, _data: unlogged().add_file("folder"),
        errors.SourceError,
        "'folder' is a folder; add it with add_dir",
    ),
    (
        lambda _run, _data: unlogged().add_dir("folder/a"),
        errors.SourceError,
        "'folder/a' is a file; add it with add_file",
    ),
    (
        lambda _run, data: data.add_file("folder/a", "b"),
        errors.RefusedError,
        "p/data:v0 is a version and cannot be changed; begin the next version: artifact.new_draft()",
    ),
    (
        lambda _run, data: setattr(data, "ttl", timedelta(days=-1)),
        errors.InvalidInputError,
        "the expiry time must be in the future, not -86400 seconds from now; such as 12h or 30d",
    ),
    (lambda _run, data: data.unlink(), errors.RefusedError, "p/data:v0 is not a link; delete() deletes it"),
    (
        lambda _run, data: data.get_entry("a").ref_target(),
        errors.InvalidInputError,
        "'a' is stored, not a reference; use ref_url()",
    ),
    # names and types
    (
        lambda run, _data: run.use_artifact("none"),
        errors.NotFoundError,
        "there is no artifact 'none' in the project 'p' or at the top level; list them: artfs ls",
    ),
    (
        lambda run, _data: run.use_artifact("data", type="model"),
        errors.RefusedError,
        "p/data:v0 has the type 'dataset', not 'model'",
    ),
    (lambda run, _data: run.log_artifact("absent"), errors.NotFoundError, "'absent' does not exist"),
    # deletion
    (
        lambda run, data: [run.link_artifact(data, "registry/best"), data.delete()],
        errors.RefusedError,
        f"nothing was deleted: registry/best:v0 links to p/data:v0; {CASCADE}",
    ),
    (
        lambda run, data: [run.use_artifact(data), run.log_artifact("folder", name="model", type="x"), data.delete()],
        errors.RefusedError,
        f"nothing was deleted: p/model:v0 was made from p/data:v0; {CASCADE}",
    ),
    # runs
    (
        lambda run, _data: run.upsert_artifact(unlogged()),
        errors.InvalidInputError,
        "runs that contribute to one version need a shared name for it; pass distributed_id, or init(group=...)",
    ),
    (
        lambda run, _data: [run.finish(), run.log({"a": 1})],
        errors.RefusedError,
        "the run 'p/one' has finished; begin another: artfs.init()",
    ),
    (
        lambda run, _data: [run.finish(), package.log({"a": 1})],
        errors.RefusedError,
        "there is no active run for what is logged; begin one: artfs.init()",
    ),
    (
        lambda _run, _data: package.init(resume="must"),
        errors.InvalidInputError,
        "resume needs the id of a run; pass id=",
    ),
    (
        lambda _run, _data: package.init(project="p", id="one"),
        errors.ExistsError,
        "the run 'p/one' already exists; to continue it, pass resume=True",
    ),
    (
        lambda _run, _data: package.Molecule,
        AttributeError,
        "artfs has no 'Molecule': charts and media; use wandb alongside artfs",
    ),
    # mounts
    (
        lambda _run, _data: mount("ws", "ws/run/drafts"),
        errors.InvalidInputError,
        "the mount point {cwd}/ws/run/drafts lies inside the workspace {cwd}/ws",
    ),
    (
        lambda _run, _data: checks._check_apart(Path("/m/ws"), Path("/m")),
        errors.InvalidInputError,
        "the workspace /m/ws lies inside the mount point /m, so the mount would hide it",
    ),
    (
        lambda _run, _data: mount("ws", "empty", workers=0),
        errors.InvalidInputError,
        "a mount needs at least one worker",
    ),
    (
        lambda _run, _data: mount("ws", "empty", transport="pigeon"),
        errors.InvalidInputError,
        "there is no transport 'pigeon'; one of auto, direct, pyfuse3",
    ),
]
"""A call of the Python package, its error, and the sentence with its hint."""


@pytest.mark.parametrize(("call", "error", "sentence"), CALLS, ids=[sentence for _, _, sentence in CALLS])
def test_errors_of_calls(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[package.Run, package.Artifact], object],
    error: type[Exception],
    sentence: str,
) -> None:
    """A mistake in a program is answered with exactly this sentence."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    monkeypatch.chdir(tmp_path)
    for place in ("folder", "empty"):
        (tmp_path / place).mkdir()
    (tmp_path / "folder" / "a").touch()
    run = package.init(project="p", id="one")
    data = run.log_artifact("folder", name="data", type="dataset")
    with pytest.raises(error) as caught:
        call(run, data)
    hint = getattr(caught.value, "hint", "")
    assert f"{caught.value}; {hint}".removesuffix("; ") == sentence.replace("{cwd}", str(tmp_path))
