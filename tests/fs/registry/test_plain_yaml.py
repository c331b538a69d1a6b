"""YAML is plain values, and a short text does not become very many of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry, LibraryManager, RecordError
from artfs.registry.plain_yaml import parsed_yaml
from fs.registry.registries import add

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BOMBS = {
    "lists": "a: &a [1,1]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in pairwise(LETTERS)),
    "dictionaries": "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{x: *{a}, y: *{a}}}\n" for a, b in pairwise(LETTERS)),
    "merges": "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a},*{a}]}}\n" for a, b in pairwise(LETTERS)),
    "itself": "&a [*a, *a]",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(tmp_path: Path, registry: ArtifactRegistry, bomb: str) -> None:
    """They are refused soon, in a manifest as well: what it names is unknown, so nothing is deleted."""
    with pytest.raises(RecordError, match="more than 1,000 values"):
        parsed_yaml(BOMBS[bomb], 1000)
    add(registry, 1)
    run = tmp_path / "workspace" / "runs" / "wheat" / "0001"
    run.mkdir(parents=True)
    (run / "pipeline.json").write_text("{}")
    (run / "manifest.yaml").write_text(BOMBS[bomb] if bomb == "itself" else BOMBS[bomb] + "items: [*z]\n")
    with pytest.raises(RecordError, match="cannot be read"):
        registry.find_orphaned_artifacts()
    with pytest.raises(RecordError, match="cannot be read"):
        LibraryManager(tmp_path / "workspace").save_pipeline_full(run.parent, run, "w")


def test_what_is_within_the_bound() -> None:
    """Aliases and merges mean what they mean."""
    assert parsed_yaml("a: &a {n: 1}\nb: [*a, *a]\nc: {<<: *a, m: 2}", 20)["c"] == {"n": 1, "m": 2}
    assert parsed_yaml("[1, 2, 3]", 4) == [1, 2, 3]
    with pytest.raises(RecordError, match="more than 3 values"):
        parsed_yaml("[1, 2, 3]", 3)
