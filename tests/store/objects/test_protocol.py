"""Names of objects: one grammar, so that no name leaves a prefix or a folder."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidInputError
from artstore.objects.protocol import LONGEST_NAME, checked_name, checked_prefix

HOSTILE = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/.",
    ".a",
    "a b",
    "a\n",
    "a\x00",
    "ü",
    "a\\b",
    "a%2fb",
    "~",
]


@pytest.mark.parametrize("name", ["log/00000000000000000001", "d/00/" + "0f" * 16, "artfs-remote.json", "_a", "a.b-c"])
def test_names_of_remotes(name: str) -> None:
    """Names that remotes give are taken as they are, and so are the folders above them as prefixes."""
    assert checked_name(name) == name
    assert checked_prefix(name + "/") == name + "/"


@pytest.mark.parametrize("name", [*HOSTILE, "a" * (LONGEST_NAME + 1)])
def test_other_names_are_refused(name: str) -> None:
    """No name is absolute, climbs, is hidden, or needs to be encoded."""
    with pytest.raises(InvalidInputError, match="is not a name of an object"):
        checked_name(name)


@pytest.mark.parametrize("prefix", ["a", "a/b", "/", "../", "a//", "a b/", "a/\n"])
def test_other_prefixes_are_refused(prefix: str) -> None:
    """A prefix is a folder: it ends with a slash, or is empty."""
    assert checked_prefix("") == ""
    with pytest.raises(InvalidInputError, match="is not a prefix"):
        checked_prefix(prefix)
