"""Ids: both forms, read and written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.registry import generate_artifact_id_v3, is_v3_artifact_id, parse_artifact_id_v3
from artfs.registry.errors import ArtifactIdError
from artfs.registry.ids import parse_artifact_id
from artstore.errors import InvalidInputError


@given(st.text(min_size=1, max_size=20), st.none() | st.integers(0, 999_999_999))
def test_ids_read_back(pipeline: str, fold: int | None) -> None:
    """An id is split at its last dollar sign, so a pipeline's id may have any characters."""
    made = generate_artifact_id_v3(pipeline, "s1.A", fold)
    assert parse_artifact_id_v3(made) == (pipeline, made.rpartition("$")[2].partition(":")[0], fold)
    assert is_v3_artifact_id(made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a$b",
        "$abc:0",
        "a$:0",
        "a$abc:",
        "a$abc:x",
        "a$abc:-1",
        "a$abc:01",
        "a$ab/c:0",
        "a:b:c",
        "a:1",
        "a:1:x",
        None,
        3,
    ],
)
def test_what_is_no_id_is_refused(text: object) -> None:
    """Text that is no id of either form is a ValueError."""
    assert not is_v3_artifact_id(text)
    with pytest.raises(ArtifactIdError):
        parse_artifact_id(text)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not an artifact's id"):
        parse_artifact_id_v3(text)  # type: ignore[arg-type]


def test_the_older_form_is_read() -> None:
    """PIPELINE[:BRANCH]:STEP:FOLD, with nested branches."""
    assert parse_artifact_id("0001:3:0")[:2] == ("0001", "")
    assert (parse_artifact_id("0001:3:0").step, parse_artifact_id("0001:3:0").fold) == (3, 0)
    older = parse_artifact_id("0001_pls:0:1:3:all")
    assert (older.branch, older.step, older.fold, older.middle, older.is_older) == ([0, 1], 3, None, "0-1-3", True)
    assert parse_artifact_id("p$abc123:all").middle == "abc123"


@pytest.mark.parametrize("fold", [-1, True, "0", 1.0])
def test_folds_are_whole_numbers(fold: object) -> None:
    """No id is made that could not be read."""
    with pytest.raises(InvalidInputError):
        generate_artifact_id_v3("p", "s1.A", fold)  # type: ignore[arg-type]


def test_importing_it_loads_no_library_of_models() -> None:
    """Neither `import artfs` nor `import artfs.registry` loads what models need."""
    code = (
        "import sys, artfs, artfs.registry, artfs.registry.ids; "
        "print(sorted(set(sys.modules) & {'numpy', 'sklearn', 'skops', 'cloudpickle', 'torch', 'safetensors'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
