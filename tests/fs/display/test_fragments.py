"""Fragments show the figures of the documents, and pages hold any name harmlessly and load nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

import artfs
from artfs.display import fragments
from artfs.display.page import html, page
from artfs.documents.differences import ChangeItem, DifferenceDocument
from artfs.documents.lineage import EdgeItem, LineageDocument, NodeItem
from artfs.documents.usage import UsageDocument

NAMES = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["<script>alert(1)</script>", "\"><img src=x onerror='a()'>", "</style><b>", "\udcff", "{{ 7 * 7 }}", "a\nb\x1b[1m"]
)
_PLAIN = {"html", "head", "meta", "title", "style", "body", "main", "section", "h1", "dl", "dt", "dd", "table"}
_ALLOWED = _PLAIN | {"caption", "thead", "tbody", "tr", "th", "td", "p", "svg", "g", "desc", "rect", "path", "polygon"}
_ALLOWED |= {"text", "tspan", "line", "circle", "polyline"}


class _Tags(HTMLParser):
    """The elements of a page; none loads or runs anything."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        assert tag in _ALLOWED, tag
        for name, _ in attrs:
            assert name not in ("src", "href", "style") and not name.startswith("on"), (tag, name)


@given(st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["version", "run"])), min_size=1, max_size=5), NAMES)
def test_lineage_of_any_names(nodes: list[tuple[str, str, str]], relation: str) -> None:
    items = [NodeItem(name, kind, None, state) for name, state, kind in nodes]
    edges = [EdgeItem(items[0].name, item.name, relation, None, datetime(2026, 1, 1, tzinfo=UTC)) for item in items]
    fragment = fragments.of_lineage(LineageDocument(items[0].name, items, edges))
    assert _Tags(page(fragment)).names.count("tr") == 1 + len(edges)


@given(
    st.lists(st.builds(ChangeItem, NAMES, NAMES, st.none() | NAMES, st.none() | st.integers(0), st.none()), max_size=5)
)
def test_differences_of_any_names(changes: list[ChangeItem]) -> None:
    tags = _Tags(page(fragments.of_differences(DifferenceDocument("a", "b", changes))))
    assert tags.names.count("tr") == (1 + len(changes) if changes else 0)


def test_long_lists_are_counted() -> None:
    changes = [ChangeItem("added", f"f{at}", None, None, at) for at in range(1000)]
    text = page(fragments.of_differences(DifferenceDocument("a:v0", "a:v1", changes))).decode()
    assert "and 800 more" in text and "f199<" in text and "f200<" not in text and "<dd>1,000</dd>" in text


def test_the_page_names_its_style_and_no_other_source() -> None:
    text = page(fragments.Fragment("x")).decode()
    (sheet,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{digest}'\"" in text
    assert "http:" not in text and "https:" not in text


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> artfs.Workspace:
    folder = tmp_path_factory.mktemp("display")
    workspace = artfs.init_workspace(folder / "ws")
    data = folder / "data"
    data.mkdir()
    (data / "a").write_bytes(os.urandom(300_000))
    workspace.put(data, "set", type="dataset", metadata={"k<": "<b>"}, description="<i>first</i>")
    (data / "b").write_text("more")
    workspace.put(data, "set", aliases=["good"])
    workspace.retention.set("one", last=1)
    return workspace


def test_values_of_a_workspace(workspace: artfs.Workspace) -> None:
    """Every value has its form, with its names and figures, and escapes what it holds."""
    first = workspace.version("set:v0")
    shown = {
        "set": fragments.of_workspace(workspace),
        "set:v0": fragments.of_version(first),
        "good": fragments.of_version(workspace.version("set")),
        "added": fragments.of_difference(first.compare(workspace.version("set"))),
        "set:v1": fragments.of_graph(workspace.lineage("set:v1")),
        "expires": fragments.of_plan(workspace.retention.plan()),
    }
    for text, fragment in shown.items():
        assert text in html(fragment).partition("</style>")[2], text
    assert "<b>" not in html(shown["set:v0"]) and "<i>" not in html(shown["set:v0"])


def test_the_bar_is_the_disk_usage(workspace: artfs.Workspace) -> None:
    """The parts add up to the disk usage to the byte, and are those of the command's document."""
    usage = workspace.usage()
    document = UsageDocument.of(usage)
    (table,) = fragments.of_usage(usage).tables
    assert sum(int(row[1].replace(",", "")) for row in table.rows) == document.disk_bytes == usage.disk_bytes


def test_groups_and_versions_are_listed(workspace: artfs.Workspace) -> None:
    usage = workspace.usage()
    by_version = UsageDocument.of(usage, artifact="set", versions=workspace.usage_by_version("set"))
    by_type = UsageDocument.of(usage, by="type", groups=workspace.usage_by("type"))
    text = html(fragments.of_space(by_version, title="x")) + html(fragments.of_space(by_type, title="x"))
    assert ">v0<" in text and ">v1<" in text and ">dataset<" in text and ">2<" in text
