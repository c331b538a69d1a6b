"""Names and contents that attack: each is shown harmlessly, or refused with a sentence, and nothing of them runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from artfs.ui.addresses import address
from artstore.workspace import Workspace
from browser.hostile import Case
from browser.rig import PHONE, Served, Visit, Visitor, crawl, listed, serving

MEMORY = 400 * 1000 * 1000
"""Bytes that the server itself may take at most, whatever it shows; readers of contents are other processes."""


@pytest.fixture(scope="module")
def served(attacked: Workspace) -> Iterator[Served]:
    with serving(attacked) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(browser: Browser, served: Served) -> Iterator[Visitor]:
    tab = Visitor(browser, served)
    yield tab
    tab.close()


def test_every_case_is_harmless(visitor: Visitor, served: Served, cases: list[Case], canary: Path) -> None:
    """Of N cases N are pages without a problem, which name the file or say what is wrong with it."""
    wrong = {}
    for case in cases:
        visit = visitor.visit(address("/file", ref=case.version, path=os.fsdecode(case.path)))
        problems = visit.problems + judged(visitor, visit)
        if problems:
            wrong[case.name] = problems
    assert listed(wrong) == "", f"{len(cases) - len(wrong)} of {len(cases)} are harmless"
    assert not canary.exists()
    assert served.peak_memory < MEMORY


def test_every_comparison_is_harmless(visitor: Visitor, served: Served, cases: list[Case], canary: Path) -> None:
    """Each file that is read for a comparison, with one that is damaged as well, is shown or refused."""
    wrong = {}
    compared = [case for case in cases if case.version == "hostile/content:v0"]
    for case in compared:
        path = os.fsdecode(case.path)
        visit = visitor.visit(address("/comparison", a="hostile/content:v0", b="hostile/content:v1", path=path))
        wrong[case.name] = visit.problems + judged(visitor, visit)
    assert listed(wrong) == ""
    assert len(compared) > 90
    assert not canary.exists()
    assert served.peak_memory < MEMORY


def judged(visitor: Visitor, visit: Visit) -> list[str]:
    """Return what is wrong with a page that should be a page of this server, whatever it shows."""
    found = []
    if len(visit.headings) != 1 or not visit.title.endswith("artfs"):
        found.append(f"no page of artfs: {visit.title!r}, {visit.headings}")
    if "internal error" in visit.text or "Traceback" in visit.text:
        found.append("an internal error: " + visit.text[-300:])
    visitor.page.set_viewport_size(PHONE)
    if visitor.width() > PHONE["width"]:
        found.append(f"wider than a phone: {visitor.width()}")
    visitor.page.set_viewport_size({"width": 1280, "height": 800})
    return found


def test_every_page_of_the_workspace_is_harmless(visitor: Visitor, served: Served, canary: Path) -> None:
    """Names of artifacts, aliases, tags, types, metadata, runs, metrics and rules are texts on every page."""
    wrong: dict[str, list[str]] = {}

    def look(visit: Visit) -> None:
        wrong.setdefault(visit.address, []).extend(judged(visitor, visit))

    visits = crawl(visitor, of_a_shape=6, each=look)
    for visit in visits:
        wrong.setdefault(visit.address, []).extend(visit.problems)
    assert listed(wrong) == ""
    assert len(visits) > 15
    assert not canary.exists()


@pytest.mark.parametrize("name", ["page.html", "script.svg", "foreign.svg", "page.xhtml", "script.js", "refresh.htm"])
def test_content_that_is_opened_does_not_run(visitor: Visitor, name: str) -> None:
    """Opened by its own address too, content is saved, or is a text, or has no origin and no scripts."""
    visit = visitor.visit(address("/content", ref="hostile/content:v0", path=name))
    visitor.page.wait_for_timeout(100)
    assert [each for each in [*visit.problems, *visitor.problems] if "violates" not in each] == []
    assert visitor.page.url.startswith(visitor.served.base)
