"""Long work shows how far it is, and then its result, at one address."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from artfs.ui import artifacts
from artfs.ui.jobs import Job, Jobs
from artstore.errors import BusyError, InvalidInputError, NotFoundError
from artstore.progress import Progress
from artstore.workspace import Workspace
from fs.ui.clients import Client
from fs.ui.test_artifacts import words


def test_jobs() -> None:
    """Two run at once; of those that ended the last few are kept."""
    jobs, go = Jobs(), threading.Event()
    first, second = (jobs.start(name, "/", lambda _job: go.wait(30)) for name in "ab")
    with pytest.raises(BusyError):
        jobs.start("c", "/", lambda _job: None)
    assert not jobs.get(first).is_done
    go.set()
    assert jobs.get(first).wait(30) and jobs.get(second).wait(30) and jobs.get(first).result is True
    for number in range(20):
        key = jobs.start("d", "/", lambda _job, number=number: number)  # type: ignore[misc]
        assert jobs.get(key).wait(30) and jobs.get(key).result == number
    with pytest.raises(NotFoundError):
        jobs.get(first)


def test_a_page_that_takes_long(client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads to an address that shows the progress, with scripts or without, and then the page itself."""
    go = threading.Event()
    measure = workspace.usage_by_version

    def slow(_name: str) -> object:
        assert go.wait(30)
        return measure("team/images")

    monkeypatch.setattr(type(workspace), "usage_by_version", lambda _self, name: slow(name))
    answer = client.get("/artifact?name=team/images&costs=1")
    assert answer.status == 303
    target = answer.headers["location"]
    page = client.get(target).text
    assert "data-running" in page and 'http-equiv="refresh"' in page and "Measuring team/images" in words(page)
    go.set()
    while "data-running" in page:
        page = client.get(target).text
    assert "Freed by rm" in words(page) and client.get(target).text.count("Freed by rm") == 1


def test_work_that_fails(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, name: str) -> object:
        raise InvalidInputError(f"{name} <is> wrong")

    monkeypatch.setattr(Workspace, "usage_by_version", fail)
    answer = client.get("/artifact?name=team/images&costs=1")
    assert answer.status == 400 and "team/images <is> wrong" in words(answer.text)


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (None, "The work has begun."),
        (Progress("records", 12, 0, 3000, None, ""), "records: 12 of 3,000 files"),
        (Progress("content", 0, 2500, None, 10_000, ""), "content: 2.5 kB of 10.0 kB"),
        (Progress("hashing", 3, 2500, None, None, ""), "hashing: 3 files 2.5 kB"),
    ],
)
def test_progress(client: Client, monkeypatch: pytest.MonkeyPatch, progress: Progress | None, said: str) -> None:
    """It is in words, and as a bar where the whole is known."""
    go = threading.Event()

    def work(run: Callable[[Job], object]) -> Callable[[Job], object]:
        def working(job: Job) -> object:
            if progress is not None:
                job.tell(progress)
            assert go.wait(30)
            return run(job)

        return working

    start = Jobs.start
    monkeypatch.setattr(
        Jobs, "start", lambda self, title, page, given, unit: start(self, title, page, work(given), unit)
    )
    answer = client.get("/artifact?name=team/images&costs=1")
    page = client.get(answer.headers["location"]).text
    assert said in words(page)
    assert ("<progress" in page) == (
        progress is not None and None not in (progress.files_total or progress.bytes_total,)
    )
    go.set()


def test_work_that_is_unknown(client: Client) -> None:
    assert artifacts.routes  # the page of an artifact takes the parameter
    assert client.get("/artifact?name=team/images&costs=1&job=x").status == 404
