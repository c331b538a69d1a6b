"""Lineage: edges between versions and runs, what they keep from being deleted, and what is left when ends are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.changes import recording
from artstore.errors import DamageError, ExistsError, InvalidInputError, InvalidNameError, NotFoundError, RefusedError
from artstore.queries.graph import Graph
from artstore.queries.versions import Version
from artstore.reclaim.compaction.journal import compact_journal
from artstore.reclaim.leases import Lease, run_state
from artstore.records.catalogue import RunRecord
from artstore.records.tables import Table, key64
from artstore.repairing.rebuild import rebuild
from artstore.rows import lineage, runs
from artstore.rows.history import read_provenance
from artstore.rows.lineage import Edge, End, dependants, edges_from, edges_to, parse_row, run_end, version_end
from artstore.storage.journal import journal_path
from artstore.workspace import Workspace, open_workspace
from messages import missing, raises
from reasons import has_reason
from store.conftest import forget

Put = Callable[..., Version]


@pytest.fixture
def put(workspace: Workspace, tmp_path: Path) -> Put:
    """Return what puts a file with some text as the next version of an artifact, made by runs that used others."""

    def put(name: str, text: str, *, uses: tuple[Version, ...] = (), base: str | None = None) -> Version:
        folder = tmp_path / "sources" / name / text
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(text)
        if not uses:
            return workspace.put(folder, name, base=base)
        number = a_run(workspace).number
        for each in uses:
            recording.record_use(workspace.store, number, each.record, "latest")
        return made_by(workspace, number, folder, name)

    return put


def a_run(workspace: Workspace, project: str = "p", ident: str = "") -> RunRecord:
    record, lease = recording.start_run(workspace.store, project, ident, job_type="train")
    lease.close()
    return recording.change_run(workspace.store, record.number, state="finished")


def made_by(workspace: Workspace, number: int, folder: Path, name: str) -> Version:
    from artstore.changes.committing import Commit
    from artstore.changes.putting import PutOptions, put
    from artstore.changes.results import version_of

    return version_of(workspace.store, put(workspace.store, folder, Commit(name, runs=(number,)), PutOptions()))


def names(graph: Graph) -> list[str]:
    return sorted(node.name for node in graph.nodes if node.key != graph.root)


def sound(workspace: Workspace) -> None:
    report = workspace.fsck()
    assert report.clean, [problem.message for problem in report.problems]


# -- edges -------------------------------------------------------------------------------------------------------------


def test_an_edge_is_found_from_both_ends(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    model = put("model", "2", uses=(data,))
    graph = workspace.lineage(model.name)
    assert names(graph) == ["data:v0", "p/r1"]
    assert [edge.kind for edge in graph.edges] == ["used by", "logged"]
    assert graph.edges[0].name == "latest"
    assert names(workspace.lineage(data.name)) == ["model:v0", "p/r1"]
    assert names(workspace.lineage(data.name, down=False)) == []
    assert names(workspace.lineage(model.name, up=False)) == []
    assert names(workspace.lineage("run:p/r1")) == ["data:v0", "model:v0"]
    sound(workspace)


def test_a_base_is_an_edge(workspace: Workspace, put: Put) -> None:
    put("data", "1")
    second = put("data", "2", base="v0")
    graph = workspace.lineage(second.name)
    assert [(edge.kind, edge.source, edge.target) for edge in graph.edges] == [("base of", "v1", "v2")]


@pytest.mark.parametrize("key", [b"", b"v" * 20, version_end(1).key + b"?u" + run_end(1).key, b"x" + bytes(19)])
def test_a_key_that_is_no_edge(key: bytes) -> None:
    with raises(DamageError, names=["lineage"]):
        parse_row(key)


def test_an_edge_that_one_end_lacks_is_told(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    put("model", "2", uses=(data,))
    with workspace.store.write() as transaction:
        (edge, _) = next(edges_from(transaction, version_end(data.record.serial)))
        transaction.delete(Table.LINEAGE, lineage.edge_keys(edge)[0])
    with raises(DamageError, names=["lineage"], reason="edge at one end"), workspace.store.snapshot() as snapshot:
        list(edges_to(snapshot.transaction, edge.target))
    assert any("lineage" in problem.message for problem in workspace.fsck().problems)
    assert workspace.fsck(repair=True).clean
    assert names(workspace.lineage(data.name)) == ["model:v0", "p/r1"]


# -- what depends on what ----------------------------------------------------------------------------------------------


def dependants_of(workspace: Workspace, version: Version) -> list[str]:
    with workspace.store.snapshot() as snapshot:
        found = dependants(snapshot.transaction, version.record)
    assert all(has_reason(how, "made from") for _, how in found)
    return sorted(workspace.version_by_serial(one.serial).name for one, _ in found)  # type: ignore[union-attr]


def test_what_was_made_from_a_version_depends_on_it(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    put("model", "2", uses=(data,))
    assert dependants_of(workspace, data) == ["model:v0"]
    with raises(RefusedError, names=["model:v0", "data:v0"]) as refusal:
        workspace.delete("data:v0")
    assert "--cascade" in refusal.value.hint
    with raises(RefusedError, names=["model:v0"]):
        workspace.delete("data:v0", force=True)
    assert workspace.version("data:v0").state == "live"


def test_the_next_version_of_the_same_artifact_takes_its_place(workspace: Workspace, put: Put) -> None:
    first = put("data", "1")
    put("data", "2", uses=(first,))
    put("data", "3", base="v1")
    assert dependants_of(workspace, first) == []
    workspace.delete("data:v0", "data:v1")
    sound(workspace)


def test_what_a_run_made_before_it_used_something_does_not_depend_on_that(
    workspace: Workspace, put: Put, tmp_path: Path
) -> None:
    data = put("data", "1")
    number = a_run(workspace).number
    (tmp_path / "early").write_text("early")
    made_by(workspace, number, tmp_path / "early", "early")
    recording.record_use(workspace.store, number, data.record, "latest")
    assert dependants_of(workspace, data) == []
    (tmp_path / "late").write_text("late")
    made_by(workspace, number, tmp_path / "late", "late")
    assert dependants_of(workspace, data) == ["late:v0"]


def test_cascade_takes_all_that_was_made(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    model = put("model", "2", uses=(data,))
    put("report", "3", uses=(model,))
    planned = workspace.delete("data:v0", cascade="delete", dry_run=True)
    assert sorted(planned.versions) == ["data:v0", "model:v0", "report:v0"]
    assert workspace.version("report").state == "live"
    workspace.delete("data:v0", cascade="delete")
    assert workspace.artifacts() == []
    sound(workspace)


def test_orphans_keep_the_names_of_what_they_came_of(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    model = put("model", "2", uses=(data,))
    workspace.delete("data:v0", cascade="orphan", now=True)
    graph = workspace.lineage(model.name, down=False)
    assert {node.name: node.state for node in graph.nodes if node.kind == "version"} == {
        "data:v0": "gone",
        "model:v0": "live",
    }
    sound(workspace)
    workspace.delete("model:v0", now=True)
    with workspace.store.snapshot() as snapshot:
        provenance = read_provenance(snapshot.transaction)
    assert set(provenance.edges) == {Edge(version_end(data.record.serial), lineage.USED, run_end(1))}
    sound(workspace)


def test_what_nothing_came_of_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """A run that logged versions which were deleted again: no rows are left of them."""
    number = a_run(workspace).number
    for index in range(3):
        (tmp_path / "source").write_text(str(index))
        made_by(workspace, number, tmp_path / "source", "log")
    assert [version.name for version in workspace.runs.versions(number, used=False)] == ["log:v0", "log:v1", "log:v2"]
    workspace.delete("log:*", now=True)
    assert workspace.runs.versions(number, used=False) == []
    with workspace.store.snapshot() as snapshot:
        assert not read_provenance(snapshot.transaction).edges
    sound(workspace)


def test_retention_keeps_what_others_were_made_from(workspace: Workspace, put: Put) -> None:
    data = put("data", "1")
    put("data", "2")
    put("model", "3", uses=(data,))
    workspace.retention.set("few", last=1, artifact="data")
    verdicts = {verdict.candidate.name: verdict for verdict in workspace.retention.plan().verdicts}
    assert not verdicts["data:v0"].expires
    assert not missing(" ".join(verdicts["data:v0"].reasons), ["model:v0"])
    workspace.delete("model:v0")
    assert workspace.retention.apply().versions == ["data:v0"]


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_link_holds_what_it_shows(workspace: Workspace, put: Put) -> None:
    model = put("team/model", "1")
    workspace.set_type("team/model", "model")
    link = workspace.link("team/model:v0", "registry/best", aliases=["production"])
    assert (link.name, link.digest, link.type) == ("registry/best:v0", model.digest, "model")
    assert workspace.version("registry/best:production").read_bytes("file") == b"1"
    with raises(RefusedError, names=["registry/best:v0", "team/model:v0"]):
        workspace.delete("team/model:v0")
    workspace.delete("team/model:v0", cascade="orphan", now=True)
    assert link.read_bytes("file") == b"1"
    sound(workspace)
    again = workspace.link("registry/best:v0", "other/name")
    assert workspace.lineage(again.name, down=False).edges[0].kind == "linked as"
    assert workspace.link("registry/best:v0", "other/name").receipt.created is False  # type: ignore[union-attr]


def test_links_that_cannot_be(workspace: Workspace, put: Put) -> None:
    model = put("team/model", "1")
    with raises(InvalidInputError, names=[model.name, "'team/model'"]):
        workspace.link(model.name, "team/model")
    with raises(InvalidInputError, names=["'team'", "project"]):
        workspace.link(model.name, "team")
    record = model.record
    workspace.delete(model.name)
    with raises(NotFoundError, reason="deleted"):
        from artstore.changes.linking import link

        link(workspace.store, record, "other", ())
    sound(workspace)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id(workspace: Workspace) -> None:
    record, lease = recording.start_run(workspace.store, "p/q", "one", config={"lr": 0.1})
    assert workspace.runs.get("p/q/one") == record
    assert run_state(workspace.store, record) == "running"
    lease.close()
    assert run_state(workspace.store, record) == "crashed"
    assert [one.title for one in workspace.runs.all("p/q")] == ["p/q/one"]
    assert workspace.runs.all("p") == []
    with raises(ExistsError, names=["p/q/one"]):
        recording.start_run(workspace.store, "p/q", "one")
    resumed, lease = recording.start_run(workspace.store, "p/q", "one", resume=True, config={"epochs": 2})
    lease.close()
    assert (resumed.number, resumed.config) == (record.number, {"lr": 0.1, "epochs": 2})
    with raises(NotFoundError, names=["p/q/two"]):
        workspace.runs.get("p/q/two")
    with raises(InvalidNameError, names=["run's id", "'a/b'"]):
        recording.start_run(workspace.store, "p", "a/b")
    sound(workspace)


def test_what_a_run_logs_comes_back_in_order(workspace: Workspace) -> None:
    number = a_run(workspace).number
    for start in (0, 3):
        rows = [{"loss": 1 / (start + step + 1), "_step": start + step} for step in range(3)]
        recording.log_rows(workspace.store, number, rows, rows[-1])
    with workspace.store.snapshot() as snapshot:
        assert [row["_step"] for row in runs.metric_rows(snapshot.transaction, number)] == list(range(6))
        record = runs.run(snapshot.transaction, number)
    assert record is not None
    assert (record.steps, record.blocks, record.summary["_step"]) == (6, 2, 5)
    sound(workspace)


def test_two_leases_of_one_run(workspace: Workspace) -> None:
    """A run that goes on in a forked child is alive until both have ended."""
    record, lease = recording.start_run(workspace.store, "", "x")
    other = Lease(workspace.store, record.number, "runs")
    lease.close()
    assert run_state(workspace.store, record) == "running"
    other.close()
    assert run_state(workspace.store, record) == "crashed"


# -- after harm --------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_lineage(workspace: Workspace, put: Put) -> Workspace:
    """Return a workspace that has runs, metrics, edges, a link, and an edge to what is gone."""
    data = put("data", "1")
    put("old", "0")
    model = put("model", "2", uses=(data, workspace.version("old")))
    workspace.link(model.name, "registry/model")
    number = workspace.runs.all()[0].number
    recording.log_rows(workspace.store, number, [{"loss": 0.5}], {"loss": 0.5})
    put("model", "3", base="v0")
    workspace.delete("old:v0", cascade="orphan", now=True)
    sound(workspace)
    return workspace


def everything(workspace: Workspace) -> str:
    with workspace.store.snapshot() as snapshot:
        return json.dumps([event.encode() for event in read_provenance(snapshot.transaction).events()])


def rebuilt(workspace: Workspace) -> Workspace:
    """Return the workspace recreated without its manifest."""
    forget(workspace.store)
    (workspace.path / (workspace.path / "current").read_text().split()[1] / "data.mdb").unlink()
    rebuild(workspace.path)
    return open_workspace(workspace.path)


def test_a_rebuild_brings_all_back(with_lineage: Workspace) -> None:
    before = everything(with_lineage)
    again = rebuilt(with_lineage)
    assert everything(again) == before
    sound(again)
    record, lease = recording.start_run(again.store, "p", "")
    lease.close()
    assert record.number == 2


def test_the_journal_written_anew_says_the_same(with_lineage: Workspace) -> None:
    for index in range(40):
        with_lineage.tags.add("model:v1", f"t{index}")
    before = everything(with_lineage)
    assert compact_journal(with_lineage.store)[1] < compact_journal(with_lineage.store)[0] + 1
    assert everything(with_lineage) == before
    sound(with_lineage)
    assert everything(rebuilt(with_lineage)) == before


@pytest.mark.parametrize("table", [Table.RUNS, Table.RUN_IDS, Table.METRICS, Table.LINEAGE])
@pytest.mark.parametrize("harm", ["spoil", "drop", "stray"])
@pytest.mark.parametrize("journal", ["whole", "lost"])
def test_harm_is_found_and_put_right(with_lineage: Workspace, table: Table, harm: str, journal: str) -> None:
    before = everything(with_lineage)
    with with_lineage.store.write() as transaction:
        handle = transaction.handles[table]
        with transaction.raw.cursor(handle) as cursor:
            cursor.first()
            key, value = bytes(cursor.key()), bytes(cursor.value())
        match harm:
            case "spoil":
                transaction.raw.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=handle)
            case "drop":
                transaction.delete(table, key)
            case "stray":
                strays = {Table.RUN_IDS: b"p\0stray", Table.LINEAGE: version_end(900).key + b"<u" + run_end(1).key}
                transaction.put(table, strays.get(table, key64(99) + bytes(4 * (table == Table.METRICS))), value[:-4])
    if journal == "lost":
        path = journal_path(with_lineage.path)
        data = bytearray(path.read_bytes())
        data[20] ^= 1
        path.write_bytes(bytes(data))
    found = [problem.message for problem in with_lineage.fsck().problems]
    assert found
    report = with_lineage.fsck(repair=True)
    assert report.clean, [problem.message for problem in report.problems]
    if journal == "whole":
        assert everything(with_lineage) == before
    else:
        assert {node.name for node in with_lineage.lineage("model:v1").nodes} >= {"model:v1"}


def test_ends_as_text() -> None:
    assert (str(version_end(3)), str(run_end(5))) == ("v3", "r5")
    assert End("v", 3).is_version


# -- other names -------------------------------------------------------------------------------------------------------


def test_an_artifact_has_another_name(with_lineage: Workspace) -> None:
    before = with_lineage.version("model:v1")
    with_lineage.aliases.set("model:v1", "best")
    draft = with_lineage.drafts.new("model", base="v1", id="open")
    with_lineage.rename("model", "team/vision/model")
    renamed = with_lineage.version("team/vision/model:best")
    assert (renamed.record.serial, renamed.digest) == (before.record.serial, before.digest)
    assert with_lineage.version_by_serial(before.record.serial).name == "team/vision/model:v1"  # type: ignore[union-attr]
    assert draft.artifact == "team/vision/model"
    assert draft.commit().name == "team/vision/model:v1"
    assert "p/r1" in names(with_lineage.lineage("team/vision/model:v0"))
    for name in ("data", "registry/model", "old", "team/vision", "data/below"):
        with pytest.raises((ExistsError, InvalidInputError)):
            with_lineage.rename("team/vision/model", name)
    with pytest.raises(NotFoundError):
        with_lineage.rename("model", "x")
    sound(with_lineage)
    with_lineage.rename("team/vision/model", "model")
    assert [artifact.name for artifact in with_lineage.artifacts()] == ["data", "model", "registry/model"]
    sound(with_lineage)
    before_journal = everything(with_lineage)
    compact_journal(with_lineage.store)
    sound(with_lineage)
    again = rebuilt(with_lineage)
    assert everything(again) == before_journal
    assert again.aliases.of("model") == {"best": 1, "latest": 1}
    sound(again)


def test_names_change_places(workspace: Workspace, put: Put) -> None:
    """A name that was given up is another artifact's, and the journal knows which is which."""
    put("a", "1")
    put("b", "2")
    workspace.rename("a", "c")
    workspace.rename("b", "a/b")
    workspace.tags.add("c:v0", "first")
    workspace.rename("c", "b")
    put("c", "3")
    sound(workspace)
    assert [version.read_bytes("file") for version in map(workspace.version, ("b", "a/b", "c"))] == [b"1", b"2", b"3"]
    compact_journal(workspace.store)
    sound(workspace)
    again = rebuilt(workspace)
    assert [again.version(name).read_bytes("file") for name in ("b", "a/b", "c")] == [b"1", b"2", b"3"]
    assert again.version("b").tags == ["first"]
