"""Forms change what they say and nothing else, with a keyboard or a mouse, with scripts or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import artfs
from artstore.workspace import Workspace
from browser.rig import Visitor, serving


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """Return a workspace with two versions."""
    ws = artfs.init_workspace(tmp_path / "ws")
    for number in range(2):
        (tmp_path / "file").write_text(f"content {number}")
        ws.put(tmp_path / "file", "team/data")
    return ws


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def tab(request: pytest.FixtureRequest, browser: Browser, small: Workspace) -> Iterator[Visitor]:
    with serving(small) as served:
        made = Visitor(browser, served, java_script_enabled=request.param)
        yield made
        made.close()


def test_forms_change_a_version(tab: Visitor, small: Workspace) -> None:
    """A description, a tag, an alias, a link; deletion after its plan; and the way back."""
    page = tab.page
    page.goto(tab.served.address("/version?ref=team/data:v0"))
    page.get_by_label("Description").fill("<b>the first</b> & best")
    page.get_by_role("button", name="Save").click()
    assert "<b>the first</b> & best" in page.inner_text("main")
    page.get_by_label("Tag", exact=True).fill("checked")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove the tag checked").wait_for()
    page.get_by_label("Alias", exact=True).fill("old")
    page.get_by_role("button", name="Set alias").click()
    page.get_by_role("button", name="Remove the alias old").wait_for()
    page.get_by_label("Link into the artifact").fill("shown/data")
    page.get_by_role("button", name="Link", exact=True).click()
    version = small.version("team/data:v0")
    assert (version.description, version.tags, version.aliases) == ("<b>the first</b> & best", ["checked"], ["old"])
    assert small.version("shown/data:v0").digest == version.digest

    page.goto(tab.served.address("/version?ref=team/data:v0"))
    page.get_by_role("button", name="Remove the alias old").click()
    page.get_by_role("button", name="Remove the tag checked").click()
    page.get_by_role("button", name="Remove the tag checked").wait_for(state="detached")
    assert (small.version("team/data:v0").aliases, small.version("team/data:v0").tags) == ([], [])


def test_what_deletes_shows_the_plan_and_asks(tab: Visitor, small: Workspace) -> None:
    """Nothing is deleted before the plan was seen; the version can be restored from its page."""
    page = tab.page
    page.goto(tab.served.address("/version?ref=team/data:v0"))
    page.get_by_role("link", name="Delete").click()
    assert "team/data:v0" in page.inner_text("main") and "bytes" in page.inner_text("main")
    assert small.version("team/data:v0").state == "live"
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("status").wait_for()
    assert [version.state for version in small.log("team/data")] == ["live", "deleted"]
    page.goto(tab.served.address("/version?ref=team/data:v0"))
    page.get_by_role("button", name="Restore this version").click()
    page.get_by_role("status").wait_for()
    assert small.version("team/data:v0").state == "live"


def test_a_refusal_is_a_sentence(tab: Visitor, small: Workspace) -> None:
    """What the command would refuse, the page refuses, with the command's sentence."""
    page = tab.page
    page.goto(tab.served.address("/version?ref=team/data:v0"))
    page.get_by_label("Alias", exact=True).fill("v12")
    page.get_by_role("button", name="Set alias").click()
    assert "v12" in page.get_by_role("alert").inner_text()
    small.delete("team/data:v0")
    page.goto(tab.served.address("/delete?ref=team/data:v0"))
    assert "team/data:v0" in page.get_by_role("alert").inner_text()


def test_versions_are_compared_from_the_list(browser: Browser, small: Workspace, tmp_path: Path) -> None:
    """The two newest living versions are selected, and the changes since the one before are counted."""
    (tmp_path / "file").write_text("content 2")
    small.put(tmp_path / "file", "team/data")
    small.delete("team/data:v1")
    with serving(small) as served:
        tab = Visitor(browser, served)
        tab.page.goto(served.address("/artifact?name=team/data"))
        assert tab.page.locator("input:checked").evaluate_all("(all) => all.map((each) => each.value)") == [
            "team/data:v2",
            "team/data:v0",
        ]
        tab.page.get_by_role("link", name="~1").wait_for()
        tab.close()
