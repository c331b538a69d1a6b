"""Every page, in a browser: nothing fails, nothing is asked of another host, and everyone can use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser

from artstore.workspace import Workspace
from browser.rig import PHONE, Served, Visit, Visitor, crawl, listed, serving

CHANGED = r"/content\?ref=field/photos:v0&path=(b|gone)\.jpg"
"""References to files that have changed: their pages say so, and their content is not sent."""


@dataclass
class Seen:
    """What a crawl saw: the visits, what each page takes on a phone, what axe-core finds in light and in dark."""

    visits: list[Visit] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    findings: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def served(lived: Workspace) -> Iterator[Served]:
    with serving(lived) as server:
        yield server


@pytest.fixture(scope="module")
def visitor(browser: Browser, served: Served) -> Iterator[Visitor]:
    tab = Visitor(browser, served, excused=CHANGED)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def seen(visitor: Visitor) -> Seen:
    """Crawl all pages, and look at the first of each shape in the dark, and on a phone."""
    seen = Seen()
    shapes: set[tuple[str, ...]] = set()

    def look(visit: Visit) -> None:
        if visit.shape in shapes or visit.status != 200:
            return
        shapes.add(visit.shape)
        found = visitor.inaccessible()
        visitor.page.set_viewport_size(PHONE)
        seen.widths[visit.address] = visitor.width()
        visitor.page.set_viewport_size({"width": 1280, "height": 800})
        visitor.page.emulate_media(color_scheme="dark")
        found += [f"dark: {each}" for each in visitor.inaccessible("color-contrast")]
        visitor.page.emulate_media(color_scheme="light")
        seen.findings[visit.address] = found

    seen.visits = crawl(visitor, each=look)
    return seen


def test_no_page_fails(seen: Seen) -> None:
    """Every link leads to a page with one heading and a title of its own; no error is printed, none is sent away."""
    assert listed({visit.address: visit.problems for visit in seen.visits}) == ""
    pages = [visit for visit in seen.visits if visit.is_page]
    assert [visit.address for visit in pages if len(visit.headings) != 1 or not visit.title.endswith("artfs")] == []
    assert len({visit.shape[0] for visit in pages}) >= 4


def test_pages_are_accessible(seen: Seen) -> None:
    """axe-core finds nothing, in light and in dark."""
    assert listed(seen.findings) == ""
    assert len(seen.findings) >= 4


def test_pages_fit_a_phone(seen: Seen) -> None:
    """What is wider than 390 pixels scrolls inside the page."""
    assert {address: width for address, width in seen.widths.items() if width > PHONE["width"]} == {}


def test_pages_need_no_script(browser: Browser, served: Served, seen: Seen) -> None:
    """Without JavaScript each page has the same heading, and links to the same places."""
    tab = Visitor(browser, served, java_script_enabled=False)
    differing = {}
    for address in seen.findings:
        visit = next(each for each in seen.visits if each.address == address)
        answer = tab.page.goto(address)
        headings = tab.page.locator("h1").all_inner_texts()
        links = {link.get_attribute("href") for link in tab.page.locator("a[href]").all()}
        lacking = len(set(visit.links)) - len(links)
        if answer is None or answer.status != 200 or headings != visit.headings or lacking > 0:
            differing[address] = (headings, lacking)
    tab.close()
    assert differing == {}


def test_everything_is_reached_by_keyboard(visitor: Visitor, seen: Seen) -> None:
    """The first stop of the tabulator skips to the content; each stop is visible, and all that can be used is one."""
    wrong = {}
    for address in list(seen.findings)[:8]:
        visitor.visit(address)
        total = visitor.page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
                .filter((each) => each.checkVisibility() && !each.disabled && each.type !== "radio").length"""
        )
        stops, invisible = 0, []
        for number in range(min(total, 25)):
            visitor.page.keyboard.press("Tab")
            found = visitor.page.evaluate(
                """() => {
                    const each = document.activeElement, style = getComputedStyle(each);
                    const box = each.getBoundingClientRect();
                    return {
                        what: each.outerHTML.slice(0, 80),
                        body: each === document.body,
                        skip: each.className === "skip",
                        seen: box.width > 2 && box.height > 2 && box.right > 0 && box.bottom > 0
                            && (style.outlineStyle !== "none" || style.boxShadow !== "none"),
                    };
                }"""
            )
            stops += not found["body"]
            if not found["seen"] or (number == 0) != found["skip"]:
                invisible.append(found["what"])
        if stops < min(total, 25) or invisible:
            wrong[address] = (stops, total, invisible[:3])
    assert wrong == {}
