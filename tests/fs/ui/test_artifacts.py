"""Pages of artifacts and versions show what the commands show, and their forms do what the commands do."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from artfs.ui.addresses import address
from artstore.workspace import Workspace
from fs.ui.clients import Client


def words(page: str) -> str:
    """Return the text of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_list_of_artifacts(client: Client) -> None:
    """Projects come as such; their artifacts are one level below."""
    top = client.get("/")
    assert top.status == 200 and "team/" in words(top.text) and "notes" in words(top.text)
    below = words(client.get("/?project=team").text)
    assert "images" in below and "v3" in below and "notes" not in below
    assert "no artifact" in words(client.get("/?project=nothing").text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=imag", ["team/images"]),
        ("q=*", ["notes", "team/images"]),
        ("type=text", ["notes"]),
        ("tag=%3Cb%3Ebold%3C/b%3E", ["team/images"]),
        ("where=acc%3E0.2", ["team/images"]),
        ("where=acc%3E0.2&type=text", []),
        ("q=nothing", []),
    ],
)
def test_searching(client: Client, query: str, found: list[str]) -> None:
    page = client.get(f"/?{query}").text
    assert re.findall(r'<th scope="row"><a href="/artifact\?name=([^"]*)"', page) == found


def test_wrong_conditions_are_said(client: Client) -> None:
    answer = client.get("/?where=acc%3E")
    assert answer.status == 400 and "acc" in words(answer.text)


def test_an_artifact(client: Client, workspace: Workspace) -> None:
    """Every version is there with its sizes; the deleted one is marked, and not compared."""
    page = client.get("/artifact?name=team/images").text
    text = words(page)
    for version in workspace.log("team/images"):
        assert f"ref={version.name}" in page and f"{version.size:,} bytes" in page
    assert "production" in text and "deleted" in text and "round 3" in text
    assert 'value="team/images:v0"' not in page
    assert "<b>bold" not in page and "<b>bold</b>" in text


def test_what_versions_cost(client: Client, workspace: Workspace) -> None:
    page = words(client.get_result("/artifact?name=team/images&costs=1").text)
    usage = workspace.usage_by_version("team/images")
    assert len(usage) == 3 and all(f"{each.alone} B {each.unique} B" in page for each in usage)


def test_changes_between_versions(client: Client, workspace: Workspace) -> None:
    """The script's numbers are the command's."""
    answer = client.get("/changes?a=team/images:v1&b=team/images:v3")
    difference = workspace.diff("team/images:v1", "team/images:v3")
    assert f'"added":{len(difference.added)}' in answer.text and len(difference.added) == 2
    for reference in ("/etc", "./x", "~", "../x"):
        assert client.get(f"/changes?a={reference}&b=team/images:v3").status == 404


def test_what_artifacts_cost(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """Alone and freed are what a deletion of everything else, and of the artifact, leave; the rest is shared."""
    (tmp_path / "own").write_bytes(bytes(range(256)) * 500)
    workspace.put(tmp_path / "own", "copy", description="one")
    workspace.link("copy:v0", "linked")
    names = ["copy", "linked", "team/images", "notes"]
    usage = {each.name: each for each in workspace.usage_of_artifacts(names)}
    stored = workspace.usage().stored_bytes
    for name in names:
        freed = workspace.delete(f"{name}:*", dry_run=True, force=True, cascade="orphan").freed_bytes
        others = [f"{other}:*" for other in names if other != name]
        rest = workspace.delete(others, dry_run=True, force=True, cascade="orphan").freed_bytes
        assert (usage[name].unique, usage[name].alone) == (freed, stored - rest), name
    assert usage["copy"].shared > 0 and usage["notes"].unique > 0
    assert [each.name for each in workspace.usage_of_artifacts(names)] == names
    page = client.get_result("/?costs=1").text
    assert all(f"{usage[name].alone:,} bytes" in page for name in ("copy", "linked", "notes"))
    assert "Alone" not in client.get("/").text and "costs=1" in client.get("/").text


def test_changes_are_there_without_a_script(client: Client, workspace: Workspace) -> None:
    """Each version has the numbers of its difference from the living one before, as the script fills them in."""
    page = client.get("/artifact?name=team/images").text
    shown = dict(re.findall(r'class="changes" href="/compare\?a=team/images:(v\d)[^"]*" title="([^"]*)"', page))
    assert list(shown) == ["v2", "v1"]
    for earlier, title in shown.items():
        difference = workspace.diff(f"team/images:{earlier}", f"team/images:v{int(earlier[1]) + 1}")
        assert title == f"{len(difference.added)} added, 0 removed, 0 changed, 0 renamed"
        assert title in client.get(f"/changes?a=team/images:{earlier}&b=team/images:v{int(earlier[1]) + 1}").text
    assert "data-changes" not in page


def test_the_time_line(client: Client) -> None:
    """Every version of the page is a mark with a link, with its aliases."""
    page = client.get("/artifact?name=team/images").text
    chart = page[page.index("<svg") : page.index("</svg>")]
    assert all(f"/version?ref=team/images:v{number}" in chart for number in range(4)) and "production" in chart
    assert "<svg" not in client.get("/artifact?name=notes").text


def test_pages_of_many_versions(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """Each version is on one page; the pages lead on by the number of the last version."""
    for number in range(120):
        (tmp_path / "one").write_text(f"{number}")
        workspace.put(tmp_path / "one", "many")
    seen: list[str] = []
    target = "/artifact?name=many"
    for _ in range(2):
        page = client.get(target).text
        seen += re.findall(r'<th scope="row"><a href="/version\?ref=many:(v\d+)"', page)
        following = re.search(r'rel="next" href="([^"]*)"', page)
        target = unescape(following[1]) if following else ""
    assert seen == [f"v{number}" for number in range(119, -1, -1)] and not target


def test_a_version(client: Client) -> None:
    text = words(client.get("/version?ref=team/images:v2").text)
    assert "production" in text and "round 2" in text and "acc 0.2" in text and "Compare with v1" in text
    assert "Restore this version" in words(client.get("/version?ref=team/images:v0").text)


@pytest.mark.parametrize("target", ["/version?ref=nothing:v1", "/artifact?name=nothing", "/version", "/nothing"])
def test_what_is_not_there(client: Client, target: str) -> None:
    answer = client.get(target)
    assert answer.status in (400, 404) and "<h1>" in answer.text


def test_texts_are_never_markup(client: Client) -> None:
    for target in (
        "/",
        "/artifact?name=notes",
        "/version?ref=notes:v0",
        "/?q=%3Cscript%3E",
        "/version?ref=%3Cscript%3E",
    ):
        page = client.get(target).text
        assert "<script>" not in page and page.count("<script") == 1


@pytest.mark.parametrize(
    ("form", "fields", "check"),
    [
        ("/describe", {"text": "new\r\ntext"}, lambda ws: ws.version("team/images:v1").description == "new\ntext"),
        ("/tag", {"tag": "good"}, lambda ws: ws.tags.of("team/images:v1") == ["good"]),
        ("/alias", {"alias": "best"}, lambda ws: ws.aliases.of("team/images")["best"] == 1),
        ("/link", {"target": "team/linked"}, lambda ws: ws.version("team/linked:v0").size == 4),
        ("/deletion", {}, lambda ws: [each.number for each in ws.versions("team/images")] == [2, 3]),
    ],
)
def test_forms(client: Client, workspace: Workspace, form: str, fields: dict[str, str], check) -> None:  # type: ignore[no-untyped-def]
    """A form changes the version, and leads to a page that says so."""
    answer = client.post(form, {"ref": "team/images:v1", **fields})
    assert answer.status == 303 and check(workspace)
    assert 'class="said"' in client.get(answer.headers["location"]).text


def test_forms_that_take_away(client: Client, workspace: Workspace) -> None:
    assert client.post("/unalias", {"ref": "team/images:v2", "alias": "production"}).status == 303
    assert "production" not in workspace.aliases.of("team/images")
    assert client.post("/untag", {"ref": "team/images:v3", "tag": "<b>bold</b>"}).status == 303
    assert workspace.tags.of("team/images:v3") == []
    assert client.post("/undelete", {"ref": "team/images:v0"}).status == 303
    assert len(workspace.versions("team/images")) == 4


def test_a_deletion_is_shown_before(client: Client, workspace: Workspace) -> None:
    """The plan has the command's bytes; a refusal names the obstacle, and shows no form."""
    plan = workspace.delete("team/images:v3", dry_run=True)
    page = client.get("/delete?ref=team/images:v3").text
    assert f"{plan.freed_bytes:,} bytes" in words(page) and 'action="/deletion"' in page
    refused = client.get("/delete?ref=team/images:v2").text
    assert "production" in refused and 'action="/deletion"' not in refused
    assert client.post("/deletion", {"ref": "team/images:v2"}).status == 409
    assert len(workspace.versions("team/images")) == 3


def test_addresses_carry_any_bytes() -> None:
    assert address("/files", ref="a:v0", path="\udcff/../%2f&x") == "/files?ref=a:v0&path=%FF/../%252f%26x"
    assert address("/", page=None, q="") == "/"
