"""Drawings are XML whatever the names are, and their areas are the amounts."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.drawing.svg import drawing, element, plain, text_of
from artfs.drawing.treemap import Area, treemap

NAMES = st.text(st.characters(), max_size=20)  # lone surrogates and control characters too
SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(st.builds(Area, NAMES, st.integers(1, 10**18), st.none() | NAMES), min_size=1, max_size=20), NAMES)
def test_areas_are_amounts(areas: list[Area], title: str) -> None:
    """Every area has its rectangle, and none lies outside; a large one has its share of the picture."""
    root = ElementTree.fromstring(treemap(areas, title=title))
    keys = ("x", "y", "width", "height")
    shapes = [{key: float(shape.get(key, "")) for key in keys} for shape in root.iter(f"{SVG}rect")]
    assert len(shapes) == len(areas)
    total = sum(area.amount for area in areas)
    for shape, area in zip(shapes, sorted(areas, key=lambda each: (-each.amount, each.name)), strict=True):
        assert -0.1 <= shape["x"] <= 960.1 and shape["x"] + shape["width"] <= 960.6
        assert shape["y"] + shape["height"] <= 320.6
        if area.amount * 4 > total:
            drawn = (shape["width"] + 1) * (shape["height"] + 1) / (960 * 320)
            assert drawn == pytest.approx(area.amount / total, rel=0.05)


def test_nothing_is_no_picture() -> None:
    assert treemap([], title="x") == "" and treemap([Area("a", 0)], title="x") == ""


@given(NAMES)
def test_texts_stay_texts(text: str) -> None:
    root = ElementTree.fromstring(drawing(text_of(text) + element("rect", x=text), width=1, height=1, title=text))
    assert [each.text for each in root.iter(f"{SVG}title")] == [plain(text) or None]
    assert root.find(f"{SVG}rect") is not None
