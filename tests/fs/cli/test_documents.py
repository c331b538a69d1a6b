"""Every ``--json`` output of every command is one of the documents, and every document is printed by some command."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import artfs as api
from artfs.cli.main import cli
from artfs.documents.registry import documents
from artfs.registry import ArtifactRegistry, LibraryManager, PickleWarning
from artfs.tracking import active_run

Run = Callable[..., Any]

TABLE = [
    ("init {tmp}/other", "workspace"),
    ("put {data} y", "put"),
    ("put {data} x --dry-run", "put_preview"),
    ("restore x:v0", "put"),
    ("diff x:v0 {data}", "diff"),
    ("draft new x --from v0 --id another", "draft"),
    ("draft add d {data}/train sub", "draft_addition"),
    ("draft add d {uri} sub", "draft_addition"),
    ("draft rm d run.sh", "draft_removal"),
    ("draft mv d run.sh go.sh", "draft_move"),
    ("draft status d", "draft_status"),
    ("draft commit d", "put"),
    ("draft commit d e", "puts"),
    ("draft abort d", "draft_abort"),
    ("draft ls", "drafts"),
    ("ref add {data}/train s", "put"),
    ("ref ls r", "references"),
    ("ref check r", "reference_check"),
    ("ref pin r", "put"),
    ("ls", "artifacts"),
    ("ls x", "versions"),
    ("ls x:v0/train", "files"),
    ("find --type dataset", "versions"),
    ("show x:v0", "version"),
    ("show p/model", "version"),
    ("log x", "log"),
    ("log x:/train/a.txt", "history"),
    ("diff x:v0 x:v1", "diff"),
    ("diff --content x:v0 x:v1", "diff_content"),
    ("get x:v0 {tmp}/out", "get"),
    ("warm x:v0", "warm"),
    ("cache info", "cache"),
    ("cache cleanup 0", "cache_cleanup"),
    ("cache preload x:v0", "cache_preload"),
    ("status", "status"),
    ("alias set x:v0 old", "alias_setting"),
    ("alias rm x clean", "alias_removal"),
    ("alias ls x", "aliases"),
    ("alias log x", "alias_log"),
    ("tag add x:v0 t", "tags"),
    ("tag rm x:v0 t", "tags"),
    ("tag ls x:v0", "tags"),
    ("describe x:v0 text", "revised"),
    ("meta set x:v0 acc=1", "revised"),
    ("meta rm x:v0 k", "revised"),
    ("meta log x:v0", "revisions"),
    ("artifact set-type x dataset", "artifact_type"),
    ("artifact rename x z", "artifact_name"),
    ("artifact describe x text", "artifact_description"),
    ("artifact put {data} -n w", "put"),
    ("artifact get x:v0 --root {tmp}/out", "download"),
    ("artifact ls", "versions"),
    ("artifact cache info", "cache"),
    ("artifact cache cleanup 0", "cache_cleanup"),
    ("artifact cache preload x:v0", "cache_preload"),
    ("link x:v0 team/x", "link"),
    ("lineage p/model", "lineage"),
    ("run ls", "runs"),
    ("run show p/one", "run"),
    ("run show p/one --history", "run"),
    ("registry ls", "registry_artifacts"),
    ("registry show 0001$35f1:0", "registry_artifact"),
    ("registry find --param n=1", "registry_artifacts"),
    ("registry folds 0001 3", "registry_folds"),
    ("registry stats", "registry_stats"),
    ("registry orphans", "registry_orphans"),
    ("registry trust 0001$db2d:all", "registry_trust"),
    ("registry export {tmp}/exported", "registry_export"),
    ("registry import {tmp}/bundle", "registry_import"),
    ("registry purge wheat --pipeline 0001", "registry_purge"),
    ("library ls", "library"),
    ("library show models", "library_entry"),
    ("library save template new {tmp}/config.json", "library_save"),
    ("library save fullrun new {data}", "library_save"),
    ("library load pls", "library_load"),
    ("library load pls {tmp}/out.json", "library_load"),
    ("library load models {tmp}/out", "library_load"),
    ("library rm pls --yes", "library_rm"),
    ("remote add disk file://{tmp}/bucket", "remote"),
    ("remote ls", "remotes"),
    ("remote show origin", "remote"),
    ("remote check origin", "remote"),
    ("remote rm origin --keep-local", "remote_removal"),
    ("push x:v1 origin", "push"),
    ("push --all --dry-run", "push"),
    ("fetch", "fetch"),
    ("pull x:v0 origin", "pull"),
    ("pull --drop given:v0 origin", "drop"),
    ("clone {origin} {tmp}/clone", "clone"),
    ("rm x:v1 --force", "rm"),
    ("undelete x:v2", "undelete"),
    ("gc --dry-run", "gc"),
    ("gc --now --compact", "gc"),
    ("retention set other --keep-within 30d --meta k=1 --type dataset", "retention_rule"),
    ("retention rm rule", "retention_rule_removal"),
    ("retention show", "retention_rules"),
    ("retention ls", "retention_rules"),
    ("retention plan", "retention_plan"),
    ("retention apply", "retention"),
    ("retention apply --dry-run", "retention"),
    ("retention ttl x:v0 30d", "expiry"),
    ("usage", "usage"),
    ("usage x", "usage"),
    ("usage --by type", "usage"),
    ("usage --by project", "usage"),
    ("du x:v0", "du"),
    ("why x:v0", "why"),
    ("fsck", "fsck"),
    ("fsck --remote origin", "fsck"),
    ("gc --remote origin --dry-run", "gc_remote"),
    ("gc --remote", "gc_remote"),
    ("usage --remote", "usage_remote"),
    ("purge x:v1/number --reason test", "purge"),
    ("config", "config"),
    ("config undelete-window 2d", "config"),
    ("config shared", "shared"),
    ("config reference-roots", "reference_roots"),
    ("config cache", "remote_cache"),
    ("doctor", "doctor"),
]
"""Commands, and the documents that they print in the workspace of the fixture."""

MOUNTING = {"mount": "mount", "umount": "umount", "path": "path", "status": "status"}


def reporting(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the commands that have ``--json``."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from reporting(command, (*path, name))
        if any("--json" in parameter.opts for parameter in command.params):
            yield (*path, name)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, and a workspace in which there is something to report of everything."""
    top = tmp_path_factory.mktemp("prepared")
    data = top / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "a.txt").write_text("a" * 1000)
    (data / "run.sh").write_text("#!/bin/sh\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTFS_WORKSPACE", str(top / "workspace"))
        patch.setattr(active_run, "_run", None)
        patch.setattr(active_run, "_hooked", True)
        workspace = api.init_workspace(top / "workspace")
        (top / "origin").mkdir()
        workspace.remotes.add("origin", (top / "origin").as_uri())
        for number in range(3):
            (data / "number").write_text(str(number))
            workspace.put(data, "x", type="dataset", metadata={"k": number}, aliases=["clean"] if number == 1 else [])
        workspace.put(data / "run.sh", "given")
        workspace.remotes.push(["x:v0", "given:v0"])
        workspace.delete("x:v2")
        with api.init(project="p", id="one", job_type="train", config={"lr": 0.5}) as run:
            run.use_artifact("x:v0")
            run.log({"loss": 1.5})
            model = api.Artifact("model", "model")
            model.add_file(data / "run.sh", "weights")
            run.log_artifact(model)
        registry = ArtifactRegistry(workspace, "wheat", "0001_pls")
        for fold in range(2):
            chain, metrics = "s1.MinMaxScaler>s3.PLSRegression", {"rmse": 0.5 + fold}
            registry.register_with_chain([fold], chain, "model", 3, fold_id=fold, params={"n": 1}, metrics=metrics)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PickleWarning)
            registry.register_with_chain({1}.union, "s1.Union", "model", 1)
        registry.export_bundle(top / "bundle")
        library = LibraryManager(workspace)
        library.save_template({"steps": [(0, 1)]}, "pls", "described", tags=["t"], metrics={"rmse": 0.5})
        registry.register_with_chain([0], "s1.Ridge", "model", 1, pipeline_id="0002_ridge")
        library.save_pipeline_full(name="models", dataset="wheat", pipeline_id="0002")
    return top


@pytest.fixture
def worked(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artfs: Run) -> Run:
    """Return the command line over a copy of the prepared workspace, with drafts, a rule and references."""
    shutil.copytree(prepared / "workspace", tmp_path / "workspace", symlinks=True)
    shutil.copytree(prepared / "data", tmp_path / "data")
    shutil.copy(prepared / "bundle", tmp_path)
    (tmp_path / "config.json").write_text('{"steps": []}')
    (tmp_path / "bucket").mkdir()
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(tmp_path / "cache"))
    for line in (
        "draft new x --from v0 --id d",
        "draft new y --id e",
        f"ref add {tmp_path}/data/train r",
        "tag add x:v0 t",
        "retention set rule --keep-last 5",
    ):
        assert artfs(*line.split()).code == 0
    return artfs


def test_every_command_that_reports_is_in_the_table() -> None:
    lines = [line.split() for line, _ in TABLE] + [[name] for name in MOUNTING]
    missing = [path for path in reporting() if not any(tuple(line[: len(path)]) == path for line in lines)]
    assert not missing, "add a line to the table"


def test_every_document_is_printed_by_a_command() -> None:
    printed = {name for _, name in TABLE} | set(MOUNTING.values()) | {"error"}
    assert {f"artfs.{name}/1" for name in printed} == set(documents())


@pytest.mark.parametrize(("line", "schema"), TABLE, ids=[line for line, _ in TABLE])
def test_a_command_prints_its_document(worked: Run, prepared: Path, tmp_path: Path, line: str, schema: str) -> None:
    """`Result.document` compares the keys and the types of values with the document's class."""
    places = {"uri": (tmp_path / "data" / "train").as_uri(), "origin": (prepared / "origin").as_uri()}
    words = line.format(tmp=tmp_path, data=tmp_path / "data", **places).split()
    result = worked(*words, "--json")
    assert result.document["schema"] == f"artfs.{schema}/1", result.message


def test_a_failure_is_a_document(artfs: Run) -> None:
    assert artfs("show", "none", "--json").document["schema"] == "artfs.error/1"


@pytest.mark.fuse
def test_commands_of_mounts_print_their_documents(artfs_process: Run, data: Path, tmp_path: Path) -> None:
    artfs_process("put", data, "x")
    (tmp_path / "mnt").mkdir()
    printed = {"mount": artfs_process("mount", tmp_path / "mnt", "--json").document["schema"]}
    try:
        printed["path"] = artfs_process("path", "x", "--json").document["schema"]
        printed["status"] = artfs_process("status", "--json").document["schema"]
    finally:
        printed["umount"] = artfs_process("umount", tmp_path / "mnt", "--json").document["schema"]
    assert printed == {command: f"artfs.{name}/1" for command, name in MOUNTING.items()}
