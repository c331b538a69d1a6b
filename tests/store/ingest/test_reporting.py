"""Progress of reading a source: counted beforehand, reported a few times a second, complete at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.ingest import reporting
from artstore.ingest.reporting import reporter
from artstore.ingest.source import Source, open_source
from artstore.progress import Progress
from store.oracle import Model, write_folder

MODEL: Model = {
    b"a/1": ("file", b"1" * 10),
    b"a/2": ("exec", b"2" * 20),
    b"b/empty": ("file", b""),
    b"b/folder": ("dir", b""),
    b"link": ("link", b"a/1"),
}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the module, which stands still."""
    clock = Clock()
    monkeypatch.setattr(reporting, "time", clock)
    return clock


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with open_source(write_folder(tmp_path / "data", MODEL)) as source:
        yield source


def test_without_a_listener_nothing_is_counted(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is not walked for totals that no one sees."""
    monkeypatch.setattr(Source, "walk", lambda _: pytest.fail("the source was walked"))
    assert reporter(source, None) is None


def test_totals_are_those_of_files_and_links(source: Source, clock: Clock) -> None:
    """Folders are no files, and the bytes of links are not content; the totals are in every report of the put."""
    seen: list[Progress] = []
    report = reporter(source, seen.append)
    assert report is not None
    seen.clear()
    report(1, 10, b"1")
    assert seen == [Progress("put", 1, 10, 4, 30, "1")]


def test_the_scan_has_no_totals(source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts up to them, and names what it has come to."""
    monkeypatch.setattr(reporting, "_PROGRESS_SECONDS", 0)
    seen: list[Progress] = []
    reporter(source, seen.append)
    assert seen == [
        Progress("scan", 1, 10, None, None, "1"),
        Progress("scan", 2, 30, None, None, "2"),
        Progress("scan", 3, 30, None, None, "empty"),
        Progress("scan", 4, 30, None, None, "link"),
    ]


def test_reports_are_rare_and_the_last_one_is_never_left_out(source: Source, clock: Clock) -> None:
    """However fast files are read, the first and the complete one are seen; in between, one in each period."""
    seen: list[Progress] = []
    report = reporter(source, seen.append)
    assert report is not None
    assert len(seen) == 1  # of the scan
    seen.clear()
    report(1, 10, b"1")
    report(1, 12, b"2")
    clock.now += reporting._PROGRESS_SECONDS / 2
    report(1, 14, b"2")
    clock.now += reporting._PROGRESS_SECONDS
    report(2, 30, b"2")
    report(3, 30, b"empty")
    report(4, 30, b"link")
    assert [(progress.files_done, progress.bytes_done) for progress in seen] == [(1, 10), (2, 30), (4, 30)]


def test_an_empty_source_is_complete_without_a_report(tmp_path: Path, clock: Clock) -> None:
    """There is no file to name."""
    seen: list[Progress] = []
    (tmp_path / "empty").mkdir()
    with open_source(tmp_path / "empty") as source:
        assert reporter(source, seen.append) is not None
    assert seen == []


def test_names_that_are_not_text_are_reported(tmp_path: Path, clock: Clock) -> None:
    """In the form in which Python passes such names."""
    seen: list[Progress] = []
    with open_source(write_folder(tmp_path / "data", {b"\xff": ("file", b"")})) as source:
        report = reporter(source, seen.append)
    assert report is not None
    report(1, 0, b"\xff")
    assert [progress.current for progress in seen] == ["\udcff", "\udcff"]


def test_a_listener_can_stop_the_operation(source: Source, clock: Clock) -> None:
    """What it raises is raised where the source is read."""

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reporter(source, stop)
