"""Sphinx's settings: pages in Markdown, and a reference that is made from the code when the site is built."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "fs"), str(ROOT / "store")]

import reference  # noqa: E402

from artfs import __version__  # noqa: E402

project = "artfs"
author = "the authors of artfs"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
root_doc = "index"
nitpicky = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
# Pages link to files of the repository that are not on the site; tests check that they exist.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"artfs {version}"

reference.write(ROOT / "docs" / "reference")
