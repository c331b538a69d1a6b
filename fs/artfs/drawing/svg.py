"""Elements of SVG as text: escaped, without styles or scripts of their own."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr

__all__ = ["COLOURS", "LETTER", "drawing", "element", "fitted", "plain", "text_of"]

COLOURS: Final = 8
"""How many classes ``c1``, ``c2`` and so on a style sheet has colours for."""
LETTER: Final = 8.0
"""The width of a letter, about."""


def plain(text: str) -> str:
    """Return text that XML can hold and a reader can tell apart: control characters and lone surrogates escaped."""
    return text if text.isprintable() else "".join(map(_plain, text))


def _plain(mark: str) -> str:
    return mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii")


def element(name: str, content: str = "", **attributes: object) -> str:
    """Return an element; ``content`` is markup, values of attributes are text, those that are None are left out."""
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(plain(_shown(value)))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def _shown(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def drawing(
    content: str, *, width: float, height: float, title: str, description: str = "", has_links: bool = False
) -> str:
    """Return a whole drawing, with a title and a description for those who do not see it.

    One that has links is no single image to a screen reader, which then finds them.
    """
    named = element("title", escape(plain(title))) + (
        element("desc", escape(plain(description))) if description else ""
    )
    return element(
        "svg",
        named + content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="group" if has_links else "img",
        aria_label=title,
        class_="chart",
    )


def text_of(text: str, **attributes: object) -> str:
    """Return an element of text."""
    return element("text", escape(plain(text)) or " ", **attributes)


def fitted(text: str, room: float) -> str:
    """Return text made legible by `plain`, and shortened to about so many units of a drawing."""
    most = max(1, int(room / LETTER))
    shown = plain(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
