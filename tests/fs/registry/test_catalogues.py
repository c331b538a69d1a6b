"""The records of a manifest are found as those of the registry are, and payloads in the store before files."""

from __future__ import annotations

from typing import Any

import pytest

from artfs.registry import ArtifactRegistry
from artfs.registry.catalogues import ManifestCatalogue, StoredCatalogue
from artfs.registry.errors import AmbiguousIdError, DependencyError
from artstore.errors import NotFoundError
from fs.registry.registries import add


def manifest(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": [{"artifact_type": "model", **item} for item in items]}


def test_ids_mean_the_same_in_both(registry: ArtifactRegistry) -> None:
    """Whole and abbreviated ids, those of the older form, and those that nothing has."""
    for fold in (0, 1):
        add(registry, fold, "s1.A>s3.B", fold_id=fold)
    add(registry, 2, "s1.A")
    stored = StoredCatalogue(registry)
    listed = ManifestCatalogue(registry.export_to_manifest(), registry, [])
    whole = registry.generate_id("s1.A>s3.B", 1)
    pipeline, _, rest = whole.partition("$")
    for ident in (
        whole,
        f"{pipeline}${rest[:6]}:1",
        "0001:3:1",
        "0001_pls:3:0",
        "0001:1:all",
        "0001:9:0",
        "x",
        "0002:3:0",
    ):
        found, expected = listed.resolve(ident), stored.resolve(ident)
        assert (found and found.artifact_id) == (expected and expected.artifact_id), ident
    assert [each.artifact_id for each in listed.at_step(3, "0001")] == [
        each.artifact_id for each in stored.at_step(3, "0001")
    ]
    assert listed.at_step(3, "0009") == []


def test_several_fits_are_named(registry: ArtifactRegistry) -> None:
    listed = ManifestCatalogue(
        manifest(
            {"artifact_id": "0001_a:3:0", "step_index": 3, "fold_id": 0},
            {"artifact_id": "0001_b:3:0", "step_index": 3, "fold_id": 0},
        ),
        registry,
        [],
    )
    with pytest.raises(AmbiguousIdError) as raised:
        listed.resolve("0001:3:0")
    assert raised.value.candidates == ["0001_a:3:0", "0001_b:3:0"]
    assert listed.resolve("0001_a:3:0") is not None


def test_sources_in_a_manifest_alone(registry: ArtifactRegistry) -> None:
    """They are followed by id, sources first; a cycle, and one that the manifest lacks, are errors."""
    listed = ManifestCatalogue(
        manifest(
            {"artifact_id": "p:3:0", "depends_on": ["p:2:0", "p:1:0"]},
            {"artifact_id": "p:1:0"},
            {"artifact_id": "p:2:0", "depends_on": ["p:1:0"]},
        ),
        registry,
        [],
    )
    record = listed.resolve("p:3:0")
    assert record is not None
    assert [each.artifact_id for each in listed.sources(record)] == ["p:1:0", "p:2:0"]
    with pytest.raises(NotFoundError):
        listed.open(listed.all()[1].__class__.from_dict({**listed.all()[1].to_dict(), "path": "absent"}))
    for items in (
        [{"artifact_id": "p:1:0", "depends_on": ["p:2:0"]}, {"artifact_id": "p:2:0", "depends_on": ["p:1:0"]}],
        [{"artifact_id": "p:1:0", "depends_on": ["p:9:0"]}],
    ):
        broken = ManifestCatalogue(manifest(*items), registry, [])
        with pytest.raises(DependencyError):
            broken.sources(broken.all()[0])
