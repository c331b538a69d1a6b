"""The source folder that drafts add."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.drafting.sources import MODEL
from store.oracle import write_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source", MODEL)
