"""Reading drawings back: what the tests of charts share."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import strategies as st

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.text(st.characters(), max_size=20)  # lone surrogates and control characters too


def read(drawing: str) -> ElementTree.Element:
    """Return the root of a drawing, which has a title, a description and a role, and no style of its own."""
    root = ElementTree.fromstring(drawing)
    assert root.find(f"{SVG}title") is not None and root.find(f"{SVG}desc") is not None
    has_links = root.find(f".//{SVG}a") is not None
    assert root.get("role") == ("group" if has_links else "img")
    assert not any(name == "style" or name.startswith("on") for each in root.iter() for name in each.keys())  # noqa: SIM118
    assert "nan" not in drawing.lower().split("<g")[0]
    return root


def all_of(root: ElementTree.Element, name: str, colour: str = "") -> list[ElementTree.Element]:
    """Return the elements of a name, those of a class if one is given."""
    return [each for each in root.iter(f"{SVG}{name}") if not colour or colour in each.get("class", "").split()]


def numbers(shape: ElementTree.Element, *keys: str) -> list[float]:
    """Return attributes as numbers."""
    return [float(shape.get(key, "")) for key in keys]


def texts(root: ElementTree.Element) -> list[str]:
    """Return what is written, in order."""
    return ["".join(each.itertext()) for each in all_of(root, "text")]
