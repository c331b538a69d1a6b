"""Where the rigs and the awkward folders are imported from, by the tests here and by the processes that they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))


@pytest.fixture
def quick_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for rigs that sync very often; else the test's own."""
    from crash.places import quick_folder

    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="session")
def may_mount() -> None:
    """Skip where no small disk can be mounted; fail in CI, where a skip would pass unseen."""
    from crash.places import cannot_mount

    reason = cannot_mount()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
