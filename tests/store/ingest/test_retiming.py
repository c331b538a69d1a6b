"""The times of a version whose content was there before: taken from others, included, or overtaken by another put."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.changes.committing import Commit
from artstore.drafting.gathering import Gathering
from artstore.drafting.open_draft import OpenDraft
from artstore.errors import RefusedError
from artstore.progress import Progress
from artstore.queries.difference import Difference, compare
from artstore.rows.snapshot import Snapshot
from artstore.workspace import Workspace
from store.ingest.shown import (
    SECOND,
    Files,
    Shown,
    assert_one_content_each,
    files_of,
    forms_of,
    nodes_made,
    recorded,
    write_files,
)
from store.oracle import assert_sound

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]

FILES = st.dictionaries(
    st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"]),
    st.builds(
        Shown,
        st.sampled_from([b"one", b"two", b"new", b"four"]),
        st.sampled_from([-SECOND, -1, 0, SECOND, SECOND + 5, 2 * SECOND, 4_102_444_800 * SECOND]),
        st.sampled_from([0o644, 0o600]),
    ),
    min_size=1,
    max_size=5,
)


def assert_unambiguous(workspace: Workspace, name: str = "a") -> None:
    assert_one_content_each(files_of(workspace, record) for record in recorded(workspace, name))
    assert_sound(workspace)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(FILES, st.sampled_from(["put", "over", "draft", "foreign", "include", "mine"]), st.integers(0, 5)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_the_content_comes_from(
    new_workspace: NewWorkspace, tmp_path: Path, steps: list[tuple[dict[str, Shown], str, int]]
) -> None:
    """Puts, overlays, drafts and inclusions of versions of two artifacts: no time stands for two contents."""
    with new_workspace() as workspace:
        for files, way, choice in steps:
            source = write_files(tmp_path / "source", files)
            versions = workspace.versions("a") if recorded(workspace, "a") else []
            base = versions[choice % len(versions)] if versions else None
            if way == "mine" or not versions or base is None:
                workspace.put(source, "b" if way == "mine" else "a")
            elif way == "over":
                workspace.put(source, "a", base=base.name)
            elif way == "include":
                gathering = Gathering(workspace.store, "a")
                gathering.include("d", base.record)
                gathering.include("in", base.record)
                gathering.commit(Commit("a"))
            elif way in ("draft", "foreign"):
                of = "b" if way == "foreign" and recorded(workspace, "b") else base.name
                draft = workspace.drafts.new("a", base=of if ":" in of else f"{of}:latest")
                draft.add(source, overwrite=True)
                draft.commit()
            else:
                workspace.put(source, "a")
        for name in "ab":
            assert_unambiguous(workspace, name)


def put(workspace: Workspace, folder: Path, files: Files, **options: str) -> dict[str, Shown]:
    return files_of(workspace, workspace.put(write_files(folder, files), "a", **options))


@pytest.mark.parametrize("way", ["overlay", "draft", "gathering"])
def test_what_an_older_version_gives_takes_the_time_of_the_commit(
    workspace: Workspace, tmp_path: Path, way: str
) -> None:
    """Where the latest version has other content; where it has the same or none, the time stays."""
    old = {
        "back": Shown(b"one", SECOND),
        "same": Shown(b"same", SECOND),
        "gone": Shown(b"gone", SECOND + 7),
        "d/back": Shown(b"longer", 3 * SECOND),
        "e/x": Shown(b"x", SECOND),
    }
    put(workspace, tmp_path / "source", old)
    latest = {"back": Shown(b"other size", 2 * SECOND), "same": Shown(b"same", 5 * SECOND), "e/x": Shown(b"x", 9)}
    put(workspace, tmp_path / "source", latest | {"d/back": Shown(b"short", SECOND)})
    assert files_of(workspace, workspace.version("a:v1"))["same"].mtime_ns == 5 * SECOND
    began = time.time_ns()
    more = write_files(tmp_path / "more", {"more": Shown(b"more", 4 * SECOND, 0o600)})
    if way == "overlay":
        version = workspace.put(more, "a", base="v0")
    elif way == "draft":
        draft = workspace.drafts.new("a", base="a:v0")
        draft.add(more)
        version = draft.commit()
    else:
        gathering = Gathering(workspace.store, "a", workspace.version("a:v0").record)
        gathering.add(more)
        version = gathering.commit(Commit("a"))
    shown = files_of(workspace, version)
    assert {path: file.content for path, file in shown.items()} == {
        path: file.content for path, file in (old | {"more": Shown(b"more", 0)}).items()
    }
    for path in ("back", "d/back"):
        assert began <= shown[path].mtime_ns <= time.time_ns(), path
    assert shown["same"].mtime_ns == 5 * SECOND
    assert (shown["gone"], shown["e/x"]) == (old["gone"], old["e/x"])
    assert shown["more"] == Shown(b"more", 4 * SECOND, 0o600)
    assert_unambiguous(workspace)


def test_a_folder_that_is_included_keeps_its_form(workspace: Workspace, tmp_path: Path) -> None:
    """However large it is, a few records are made, also where the artifact has versions."""
    many = {f"d/{number:04}": Shown(b"%d" % number, number * SECOND) for number in range(3000)}
    other = workspace.put(write_files(tmp_path / "many", many), "other")
    put(workspace, tmp_path / "source", {"f": Shown(b"f", 0)})
    before = nodes_made(workspace)
    gathering = Gathering(workspace.store, "a", workspace.version("a").record)
    gathering.include("in/here", other.record)
    version = gathering.commit(Commit("a"))
    assert nodes_made(workspace) - before <= 4
    assert forms_of(workspace, version)["in/here/d"] == forms_of(workspace, other)["d"]
    shown = files_of(workspace, version)
    assert {f"in/here/{path}": file for path, file in many.items()} | {"f": Shown(b"f", 0)} == shown
    assert_sound(workspace)


def test_what_is_included_changes_only_where_times_would_repeat(workspace: Workspace, tmp_path: Path) -> None:
    """The other folders of it keep their forms."""
    put(workspace, tmp_path / "source", {"in/d/a": Shown(b"one", SECOND), "in/e/b": Shown(b"b", SECOND)})
    given_files = {"d/a": Shown(b"two", SECOND), "e/b": Shown(b"other", 2), "g/h": Shown(b"h", SECOND)}
    other = workspace.put(write_files(tmp_path / "other", given_files), "other")
    gathering = Gathering(workspace.store, "a")
    gathering.include("in", other.record)
    version = gathering.commit(Commit("a"))
    ours, theirs = forms_of(workspace, version), forms_of(workspace, other)
    assert (ours["in/e"], ours["in/g"]) == (theirs["e"], theirs["g"])
    assert ours["in/d"][0] == theirs["d"][0] and ours["in/d"][1] != theirs["d"][1]
    assert files_of(workspace, version)["in/d/a"].second > 1
    assert_unambiguous(workspace)


def test_a_put_that_is_overtaken_restages_the_difference(workspace: Workspace, tmp_path: Path) -> None:
    """The other put's times count, and of thousands of files few records are written for it."""
    files = {f"many/{number:04}": Shown(b"%d" % number, SECOND) for number in range(2000)}
    files |= {"d/f": Shown(b"old", SECOND)}
    put(workspace, tmp_path / "source", files)
    overtaking = write_files(tmp_path / "other", files | {"d/f": Shown(b"one", 5 * SECOND), "o": Shown(b"o", 0)})
    made: list[int] = []

    def overtake(progress: Progress) -> None:
        if progress.phase == "put" and not made:
            before = nodes_made(workspace)
            assert workspace.put(overtaking, "a").number == 1
            made.append(nodes_made(workspace) - before)

    source = write_files(tmp_path / "source", files | {"d/f": Shown(b"two", 5 * SECOND), "s": Shown(b"s", 0)})
    before = nodes_made(workspace)
    version = workspace.put(source, "a", progress=overtake)
    assert version.number == 2 and made
    assert nodes_made(workspace) - before - made[0] <= 8
    shown = files_of(workspace, version)
    assert shown["d/f"].content == b"two" and shown["d/f"].second > 5
    assert forms_of(workspace, version)["many"] == forms_of(workspace, workspace.version("a:v0"))["many"]
    assert_unambiguous(workspace)


def test_a_version_that_is_made_and_deleted_meanwhile_counts(workspace: Workspace, tmp_path: Path) -> None:
    """It may be undeleted, so that its times are not given to other content."""
    later_ns = 4_102_444_800 * SECOND  # later than all that is shown when the put begins
    put(workspace, tmp_path / "first", {"f": Shown(b"old", 0)})
    overtaking = write_files(tmp_path / "other", {"f": Shown(b"one", later_ns)})
    calls: list[str] = []

    def overtake(progress: Progress) -> None:
        if progress.phase == "put" and not calls:
            calls.append(workspace.put(overtaking, "a").name)
            workspace.delete(*calls)

    version = workspace.put(write_files(tmp_path / "source", {"f": Shown(b"two", later_ns)}), "a", progress=overtake)
    workspace.undelete("a:v1")
    assert version.number == 2 and files_of(workspace, version)["f"].second > later_ns // SECOND
    assert_unambiguous(workspace)


def test_puts_of_several_threads(workspace: Workspace, tmp_path: Path) -> None:
    """Each makes its versions, with files of one size and second at one path, and nothing fails."""
    failures: list[BaseException] = []
    start = threading.Barrier(3)

    def work(name: str) -> None:
        try:
            for number in range(6):
                files = {"f": Shown(f"{name}{number}".encode(), SECOND), "d/same": Shown(b"same", SECOND)}
                source = write_files(tmp_path / name, files)
                start.wait(60)
                workspace.put(source, "a")
        except BaseException as error:
            failures.append(error)
            start.abort()

    threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(workspace.versions("a")) == 18
    assert_unambiguous(workspace)


def test_puts_and_drafts_of_several_processes(workspace: Workspace, tmp_path: Path) -> None:
    """As of threads; half of the versions come from drafts."""
    program = (
        "import sys; from pathlib import Path; from artstore.workspace import open_workspace\n"
        "from store.ingest.shown import Shown, write_files\n"
        "ws, name = open_workspace(sys.argv[1]), sys.argv[3]\n"
        "for number in range(6):\n"
        "    files = {'f': Shown(f'{name}{number}'.encode(), 10**9), 'd/same': Shown(b'same', 10**9)}\n"
        "    source = write_files(Path(sys.argv[2]) / name, files)\n"
        "    if number % 2: ws.put(source, 'a')\n"
        "    else:\n"
        "        draft = ws.drafts.new('a')\n"
        "        draft.add(source)\n"
        "        draft.commit()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running = [
        subprocess.Popen([sys.executable, "-c", program, workspace.path, tmp_path, name], env=environment)
        for name in "xyz"
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(workspace.versions("a")) == 18
    assert_unambiguous(workspace)


def test_a_draft_that_is_changed_while_it_is_committed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process adds between the look at earlier versions and the commit gets its time by them too."""
    put(workspace, tmp_path / "source", {"f": Shown(b"one", SECOND)})
    draft = workspace.drafts.new("a")
    draft.add(write_files(tmp_path / "first", {"g": Shown(b"g", SECOND)}))
    late = write_files(tmp_path / "late", {"f": Shown(b"two", SECOND)})
    retime = OpenDraft.retime
    calls: list[int] = []

    def changed(self: OpenDraft, request: Commit) -> object:
        result = retime(self, request)
        calls.append(1)
        if len(calls) == 1:
            self.add(late)
        return result

    monkeypatch.setattr(OpenDraft, "retime", changed)
    shown = files_of(workspace, draft.commit())
    assert len(calls) == 2 and shown["f"].content == b"two" and shown["f"].second > 1
    assert_unambiguous(workspace)


def test_what_is_refused_is_as_it_was(workspace: Workspace, tmp_path: Path) -> None:
    """Times that it would have shown as one artifact's version are not those that it shows as another's."""
    put(workspace, tmp_path / "source", {"f": Shown(b"one", SECOND)}, type="dataset")
    gathering = Gathering(workspace.store, "a")
    two = {"f": Shown(b"two", SECOND)}
    gathering.add(write_files(tmp_path / "source", two))
    with pytest.raises(RefusedError):
        gathering.commit(Commit("a", type="model"))
    version = gathering.commit(Commit("b", type="model"))
    assert files_of(workspace, version) == two
    workspace.gc(now=True)
    assert_sound(workspace)


def test_versions_that_differ_only_in_times_are_equal_at_a_glance(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record below the roots is read to tell that nothing changed."""
    files = {f"{number % 7}/{number:04}": Shown(b"", SECOND) for number in range(3000)}
    put(workspace, tmp_path / "source", files)
    later = {path: file._replace(mtime_ns=9 * SECOND) for path, file in files.items()}
    workspace.put(write_files(tmp_path / "source", later), "a", new=True)
    one, two = (version.record.root for version in workspace.versions("a"))
    assert one != two
    loads: list[int] = []
    tree = Snapshot.tree
    monkeypatch.setattr(Snapshot, "tree", lambda self, node: loads.append(node) or tree(self, node))
    assert compare(workspace.store, one, two) == Difference([])
    assert len(loads) < 10
