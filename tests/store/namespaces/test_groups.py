"""The groups of a workspace: each is the object of its module, on the same store."""

from __future__ import annotations

import pytest

from artstore.namespaces.groups import Groups
from artstore.workspace import Workspace

NAMES = [name for name, value in vars(Groups).items() if isinstance(value, property)]


@pytest.mark.parametrize("name", NAMES)
def test_a_group_has_what_its_docstring_names(workspace: Workspace, name: str) -> None:
    group = getattr(workspace, name)
    assert group._store is workspace.store and type(group).__module__ == f"artstore.namespaces.{name}"
    promised = (getattr(Groups, name).__doc__ or "").partition(":")[2]
    assert promised and all(hasattr(group, word) for word in promised.split("``")[1::2])


def test_the_groups() -> None:
    assert sorted(NAMES) == [
        *("aliases", "drafts", "metadata", "references", "relations", "remotes", "retention", "runs", "tags")
    ]
