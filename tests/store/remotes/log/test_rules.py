"""The names that the log allows, which no table of Unicode decides."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidNameError
from artstore.names import check_alias
from artstore.remotes.log.rules import is_component

NAMES = [
    *("a", "best", "v", "p", "v1a", "pp1", "V1", "zürich", "a b", "a.b", "x" * 128, "é" * 127, "数", "final-2", "_x"),
    *("", "latest", "v0", "v007", "p3", "p12345678901234567890", ".a", "-a", " a", "a ", "a/b", "a:b", "a\n", "a\x7f"),
    *("\n", "a\nb", "*", "a?", "[", "x#", "50%", "a@b", "a\\b", "é" * 128, "x" * 256),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_writers_allow_are_allowed(name: str) -> None:
    """The log allows every name that this release lets a user give, but the labels of pending versions."""
    try:
        check_alias(name)
    except InvalidNameError:
        return
    assert is_component(name) == (not (name[:1] == "p" and name[1:].isdecimal()))


@pytest.mark.parametrize("name", NAMES)
def test_reserved_and_unsafe_names_are_refused(name: str) -> None:
    """Names that a mount cannot show, or that mean something, are no components."""
    odd = set("/:\\*?[]#%@") | {chr(code) for code in (*range(32), 127)}
    reserved = name == "latest" or (name[:1] in ("v", "p") and name[1:].isdecimal())
    shape = not name or name[0] in ".- " or name[-1] == " " or len(name.encode()) > 255
    assert is_component(name) == (not (set(name) & odd or reserved or shape))
