"""The times that a version shows: those of its source, but never one that stood for other content before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from artstore.ingest import content_cuts
from artstore.records.trees import LATEST_NS
from artstore.workspace import Workspace
from store.ingest.shown import (
    SECOND,
    Files,
    Shown,
    assert_one_content_each,
    files_of,
    forms_of,
    recorded,
    write_files,
)
from store.oracle import assert_sound

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]

FUTURE_NS = 4_102_444_800 * SECOND
TIMES = st.sampled_from(
    [
        *(-SECOND - 1, -SECOND, -1, 0, 1, SECOND - 1, SECOND, SECOND + 5, 2 * SECOND),
        *(FUTURE_NS, FUTURE_NS + SECOND, LATEST_NS - SECOND, LATEST_NS),
        None,  # written now
    ]
)
TICK_NS = 20_000_000
AHEAD_NS = 60 * SECOND
PATHS = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]
CONTENTS = [b"one", b"two", b"new", b"four"]
FILES = st.dictionaries(
    st.sampled_from(PATHS),
    st.tuples(st.sampled_from(CONTENTS), TIMES, st.sampled_from([0o644, 0o600])),
    max_size=len(PATHS),
)


def source_of(tree: dict[str, tuple[bytes, int | None, int]]) -> dict[str, Shown]:
    """Return files, where those without a time were written now."""
    now_ns = time.time_ns()
    return {path: Shown(content, now_ns if at is None else at, mode) for path, (content, at, mode) in tree.items()}


def above(path: str) -> list[str]:
    """Return the directories that a path lies in, the root first."""
    names = path.split("/")[:-1]
    return ["/".join(names[:depth]) for depth in range(len(names) + 1)]


def contents_below(files: Files, directory: str) -> dict[str, bytes]:
    prefix = directory + "/" if directory else ""
    return {path: file.content for path, file in files.items() if path.startswith(prefix)}


class Model:
    """The rule in a few lines, over all versions that an artifact has had and may have again."""

    def __init__(self, versions: list[Files], latest: Files | None, created_ns: int = 0) -> None:
        """``created_ns`` is when the latest version was made."""
        self.versions = versions
        self.latest = latest
        self.created_ns = created_ns

    def is_shared(self, path: str) -> bool:
        """Return whether a directory above a path is as in the latest version."""
        return any(directory in self.shared for directory in above(path))

    def check(self, source: Files, shown: Files, moments: tuple[int, int], *, share: bool) -> None:
        """Fail if a version of a source shows anything else than the rule says; it was put between two moments."""
        latest = self.latest
        self.shared = {
            directory
            for path in source
            for directory in above(path)
            if share
            and latest is not None
            and contents_below(latest, directory) == contents_below(source, directory) != {}
        }
        assert {path: file.content for path, file in shown.items()} == {
            path: file.content for path, file in source.items()
        }
        for path, file in source.items():
            if self.is_shared(path):
                assert latest is not None and shown[path] == latest[path], path
                event("shared")
                continue
            assert shown[path].mode == file.mode
            current = None if latest is None else latest.get(path)
            has_changed = current is not None and current.content != file.content
            others = {
                before[path].second
                for before in self.versions
                if path in before
                and before[path].content != file.content
                and len(before[path].content) == len(file.content)
            }
            is_fresh = self.created_ns - TICK_NS < file.mtime_ns <= moments[0]
            is_late = (
                current is not None
                and has_changed
                and is_fresh
                and file.mtime_ns <= current.mtime_ns < self.created_ns + AHEAD_NS
            )
            if current is not None and is_late:
                event("after what was shown")
                others.add(current.second)
            if file.second not in others and not is_late:
                event("its own time")
                assert shown[path].mtime_ns == file.mtime_ns, path
            elif current is not None and current.content == file.content:
                event("the time given before")
                assert shown[path].mtime_ns == current.mtime_ns, path
            elif max(others) < moments[0] // SECOND:
                event("the commit's time")
                assert moments[0] <= shown[path].mtime_ns <= moments[1], path
            elif max(others) >= LATEST_NS // SECOND:
                event("a free second")
                assert shown[path].second not in others, path
            elif max(others) > moments[1] // SECOND:
                event("the second after")
                assert shown[path].mtime_ns == (max(others) + 1) * SECOND, path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(FILES, st.booleans(), st.sampled_from(["", "", "", "delete", "undelete"])), max_size=7))
def test_the_rule(
    new_workspace: NewWorkspace,
    tmp_path: Path,
    steps: list[tuple[dict[str, tuple[bytes, int | None, int]], bool, str]],
) -> None:
    """Over any succession of versions, deletions and undeletions, each version shows what the model says."""
    with new_workspace() as workspace:
        for tree, new, deed in steps:
            versions = recorded(workspace, "a")
            lives = [record for record in versions if record.state == "live"]
            if deed == "delete" and lives:
                workspace.delete(f"a:v{lives[0].number}", force=True)
            elif deed == "undelete" and len(lives) < len(versions):
                dead = next(record for record in versions if record.state != "live")
                workspace.undelete(f"a:v{dead.number}")
            versions = recorded(workspace, "a")
            lives = [record for record in versions if record.state == "live"]
            model = Model(
                [files_of(workspace, record) for record in versions],
                files_of(workspace, lives[-1]) if lives else None,
                lives[-1].created_ns if lives else 0,
            )
            source = source_of(tree)
            began = time.time_ns()
            version = workspace.put(write_files(tmp_path / "source", source), "a", new=new)
            assert version.receipt is not None
            if version.receipt.created:
                model.check(source, files_of(workspace, version), (began, time.time_ns()), share=not new)
            assert_one_content_each(files_of(workspace, record) for record in recorded(workspace, "a"))
        assert_sound(workspace)


def put(workspace: Workspace, folder: Path, files: Files, **options: bool) -> dict[str, Shown]:
    """Put a folder with these files as the next version; return what it shows."""
    return files_of(workspace, workspace.put(write_files(folder, files), "a", **options))


def test_an_unchanged_folder_keeps_its_form(workspace: Workspace, tmp_path: Path) -> None:
    """Touched files in it are counted where no version is made, and not seen where another folder changes."""
    source = tmp_path / "source"
    first = {"d/a": Shown(b"a", 5), "d/b": Shown(b"b", 5), "e/a": Shown(b"a", 5)}
    put(workspace, source, first)
    touched = {path: file._replace(mtime_ns=99 * SECOND, mode=0o600) for path, file in first.items()}
    receipt = workspace.put(write_files(source, touched), "a").receipt
    assert receipt is not None and not receipt.created
    assert receipt.differing_paths >= 3
    shown = put(workspace, source, touched | {"e/b": Shown(b"b", 7)})
    assert shown == first | {"e/a": touched["e/a"], "e/b": Shown(b"b", 7)}
    forms = [forms_of(workspace, version) for version in workspace.versions("a")]
    assert forms[0]["d"] == forms[1]["d"] and forms[0]["e"] != forms[1]["e"]


def test_a_new_version_may_record_only_times(workspace: Workspace, tmp_path: Path) -> None:
    """With `new`, a version of equal content is another form, and the next one shares that."""
    source = tmp_path / "source"
    first = {"d/a": Shown(b"a", 5), "b": Shown(b"b", 5)}
    touched = {"d/a": Shown(b"a", 99 * SECOND + 1, 0o640), "b": Shown(b"b", 6)}
    assert put(workspace, source, first) == first
    assert put(workspace, source, touched, new=True) == touched
    one, two = (forms_of(workspace, version) for version in workspace.versions("a"))
    assert {path: digest for path, (digest, _) in one.items()} == {path: digest for path, (digest, _) in two.items()}
    assert all(one[path] != two[path] for path in one)
    third = put(workspace, source, first | {"c": Shown(b"c", 5)})
    assert third == {"d/a": touched["d/a"], "b": first["b"], "c": Shown(b"c", 5)}


def test_files_that_change_places(workspace: Workspace, tmp_path: Path) -> None:
    """Moved onto each other they keep times that programs have seen for the other one: both get the commit's."""
    source = tmp_path / "source"
    old = {"a": Shown(b"one", SECOND), "b": Shown(b"two", SECOND), "c": Shown(b"cc", SECOND)}
    put(workspace, source, old)
    began = time.time_ns()
    shown = put(workspace, source, {"a": old["b"], "b": old["a"], "c": old["c"]})
    assert shown["c"] == old["c"]
    assert min(shown["a"].mtime_ns, shown["b"].mtime_ns) >= began
    again = put(workspace, source, old)
    assert again == old  # this content has been shown with these times, and no other has


def test_files_written_within_a_second_show_later_times_in_turn(workspace: Workspace, tmp_path: Path) -> None:
    """Whatever their content and size, as in the folder itself, though shown times are apart by a second."""
    times = []
    for content in (b"one", b"two", b"one", b"four", b"one", b"x"):
        times.append(put(workspace, tmp_path / "source", {"a": Shown(content, time.time_ns())})["a"].mtime_ns)
    assert times == sorted(set(times))


def test_freshly_edited_files_need_no_look_at_earlier_versions(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time later than all that was shown is taken as it is; no version but the latest is read."""
    source = tmp_path / "source"
    put(workspace, source, {"a": Shown(b"one", SECOND), "b": Shown(b"b", SECOND)})
    put(workspace, source, {"a": Shown(b"two", 2 * SECOND), "b": Shown(b"b", SECOND)})
    time.sleep(1.1 - time.time() % 1)  # into another second than that of the last commit
    monkeypatch.setattr("artstore.ingest.earlier.Earlier._find_roots", lambda _: pytest.fail("versions were read"))
    fresh = Shown(b"new", time.time_ns())
    assert put(workspace, source, {"a": fresh, "b": Shown(b"b", SECOND)})["a"] == fresh


def test_the_second_of_a_commit_may_hold_later_edits(workspace: Workspace, tmp_path: Path) -> None:
    """Files that are edited in the second of a put, after it, do not show what that put showed."""
    source = tmp_path / "source"
    at = (time.time_ns() // SECOND + 3600) * SECOND  # a clock that is ahead: the same second for all
    for content in (b"one", b"two", b"new"):
        put(workspace, source, {"a": Shown(content, at + len(recorded(workspace, "a")))})
    seconds = [files_of(workspace, version)["a"].second for version in workspace.versions("a")]
    assert seconds == [at // SECOND, at // SECOND + 1, at // SECOND + 2]


def test_of_a_split_folder_each_record_is_shared(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the record with the change takes the times of its source."""
    monkeypatch.setattr(content_cuts, "FANOUT", 8)
    source = tmp_path / "source"
    files = {f"d/{number:03}": Shown(b"%d" % number, SECOND) for number in range(200)}
    put(workspace, source, files)
    touched = {path: file._replace(mtime_ns=9 * SECOND) for path, file in files.items()}
    shown = put(workspace, source, touched | {"d/100": Shown(b"changed", 9 * SECOND)})
    retimed = {path for path, file in shown.items() if file.mtime_ns == 9 * SECOND}
    assert {"d/100"} < retimed and len(retimed) <= 16
    assert all(shown[path] == files[path] for path in files if path not in retimed)
    assert_sound(workspace)


def test_modules_of_a_split_folder_take_their_times(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their compiled files name the second of the module, and lie in another record."""
    monkeypatch.setattr(content_cuts, "FANOUT", 8)
    source = tmp_path / "source"
    files = {f"d/{number:03}.py": Shown(b"%d" % number, SECOND) for number in range(100)}
    put(workspace, source, files)
    installed = {path: file._replace(mtime_ns=9 * SECOND) for path, file in files.items()}
    installed["d/050.py"] = Shown(b"changed", 9 * SECOND)
    assert put(workspace, source, installed) == installed


def test_a_time_that_a_deleted_version_shows_is_not_given(workspace: Workspace, tmp_path: Path) -> None:
    """It may be undeleted; when it has been reaped, the time is free."""
    source = tmp_path / "source"
    put(workspace, source, {"a": Shown(b"one", SECOND)})
    put(workspace, source, {"b": Shown(b"b", SECOND)})
    workspace.delete("a:v0")
    two = Shown(b"two", SECOND + 5)
    assert put(workspace, source, {"a": two})["a"].second > 1
    workspace.undelete("a:v0")
    assert_one_content_each(files_of(workspace, record) for record in recorded(workspace, "a"))
    workspace.delete("a:v0", now=True)
    assert put(workspace, source, {"a": two, "c": Shown(b"c", 0)})["a"] == two


def test_links_are_files_too(workspace: Workspace, tmp_path: Path) -> None:
    """A link has its own time, which is given another second if it leads elsewhere."""
    source = write_files(tmp_path / "source", {"one": Shown(b"1", 0), "two": Shown(b"2", 0)})
    for target in ("one", "two"):
        (source / "link").unlink(missing_ok=True)
        (source / "link").symlink_to(target)
        os.utime(source / "link", ns=(7 * SECOND, 7 * SECOND), follow_symlinks=False)
        workspace.put(source, "a")
    first, second = (files_of(workspace, version)["link"] for version in workspace.versions("a"))
    assert first == Shown(b"one", 7 * SECOND, 0o777)
    assert second.content == b"two" and second.second > 7


def test_a_time_that_was_given_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """A file whose own time stood for other content once shows the time of the commit that changed it, from then on."""
    source = tmp_path / "source"
    put(workspace, source, {"a": Shown(b"one", SECOND)})
    two = Shown(b"two", SECOND)
    given_time = put(workspace, source, {"a": two})["a"]
    assert given_time.second > 1
    assert put(workspace, source, {"a": two, "b": Shown(b"b", 0)})["a"] == given_time
    assert put(workspace, source, {"a": two, "b": Shown(b"b", 0)}, new=True)["a"] == given_time
