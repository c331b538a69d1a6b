"""Rich forms of values in IPython and Jupyter, registered when ``import artfs`` runs there.

Types are registered by their names, so that nothing of artfs is loaded before a value is shown.  Without the extra
``artfs[ui]``, and for a value that can no longer be read, the form is the text that ``repr`` gives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final

__all__ = ["FORMS", "form_of", "register"]

FORMS: Final = {
    ("artfs.tracking.artifact", "Artifact"): "of_artifact",
    ("artfs.tracking.run", "Run"): "of_run",
    ("artstore.queries.difference", "Difference"): "of_difference",
    ("artstore.queries.graph", "Graph"): "of_graph",
    ("artstore.queries.usage", "Usage"): "of_usage",
    ("artstore.queries.versions", "Version"): "of_version",
    ("artstore.retention.applying", "RetentionPlan"): "of_plan",
    ("artstore.workspace", "Workspace"): "of_workspace",
}
"""The function of `artfs.display.fragments` for each type, by module and name."""


def register() -> bool:
    """Register the forms in the IPython that runs; return whether there is one."""
    current = getattr(sys.modules.get("IPython"), "get_ipython", None)
    formatter = getattr(current() if current is not None else None, "display_formatter", None)
    if formatter is None:
        return False
    made: Callable[..., Any] = formatter.formatters["text/html"].for_type_by_name
    for (module, name), function in FORMS.items():
        made(module, name, partial(form_of, function))
    return True


def form_of(function: str, value: object) -> str | None:
    """Return the HTML of a value; None, for which IPython shows its text, without Jinja or if it cannot be read."""
    from artstore.errors import ArtfsError

    try:
        fragments, page = import_module("artfs.display.fragments"), import_module("artfs.display.page")
    except ImportError:
        return None
    try:
        return str(page.html(getattr(fragments, function)(value))).encode(errors="backslashreplace").decode()
    except ArtfsError:
        return None
