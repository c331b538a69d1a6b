"""HTML of fragments: for a notebook, and as a page of its own that needs no network.

Everything but the drawings, which escape their names themselves, is escaped by Jinja.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from artfs.legible import legible

if TYPE_CHECKING:
    from artfs.display.fragments import Fragment

__all__ = ["html", "page"]


def html(fragment: Fragment) -> str:
    """Return a fragment as HTML with the style that it needs, for a place inside another page."""
    return f"<style>{_style()}</style>\n{_rendered('fragment.html', fragment=fragment)}"


def page(fragment: Fragment) -> bytes:
    """Return a fragment as one page in UTF-8, which loads nothing and runs nothing, whatever its names hold."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = _rendered("page.html", fragment=fragment, style=style, style_hash=f"sha256-{digest}")
    return text.encode(errors="backslashreplace")


@cache
def _style() -> str:
    return files("artfs.display").joinpath("style.css").read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("artfs.display"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["legible"] = legible
    return environment


def _rendered(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)
