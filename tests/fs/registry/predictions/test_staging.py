"""Versions of a catalogue, whatever is added, removed and deleted, beside a model that is a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from artfs.registry import ArtifactRegistry, PredictionCatalog
from artfs.registry.predictions import merging, parts
from artstore.errors import RefusedError
from artstore.storage.environment import Environment
from fs.registry.predictions.catalogs import given
from fs.registry.registries import add

NAME = "catalog/wheat"


class Catalogue(RuleBasedStateMachine):
    """A catalogue with three models, whose parts are merged from the second of a tier on."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(merging, "_TIER_BITS", 1)
        self.patch.setattr(merging, "_MOST", 2)
        self.folder = Path(tempfile.mkdtemp())
        self.registry = ArtifactRegistry(self.folder, "wheat", "0001_pls")
        self.models = [add(self.registry, [each], fold_id=each) for each in range(3)]
        self.catalog = PredictionCatalog(self.folder)
        self.versions: dict[int, dict[str, tuple[int, Any]]] = {}
        self.deleted: set[int] = set()

    def teardown(self) -> None:
        workspace = self.registry.workspace
        assert workspace.fsck().clean
        workspace.close()
        Environment.of(workspace.path).drop()
        self.patch.undo()
        shutil.rmtree(self.folder)

    @property
    def living(self) -> list[int]:
        return sorted(set(self.versions) - self.deleted)

    @property
    def latest(self) -> dict[str, tuple[int, Any]]:
        return self.versions[self.living[-1]] if self.living else {}

    @rule(
        values=st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 40), st.none() | st.lists(st.floats(), max_size=3)), max_size=5
        )
    )
    def adds(self, values: list[tuple[int, int, Any]]) -> None:
        rows = [given(self.models[place], partition=f"p{name}", y_pred=array) for place, name, array in values]
        ids = self.catalog.add_many("wheat", rows)  # type: ignore[arg-type]
        added = {ident: (place, array) for ident, (place, _, array) in zip(ids, values, strict=True)}
        if not added.keys() <= self.latest.keys():
            self.versions[max(self.versions, default=-1) + 1] = {**self.latest, **added}

    @precondition(lambda self: self.latest)
    @rule(data=st.data())
    def removes(self, data: st.DataObject) -> None:
        doomed = data.draw(st.lists(st.sampled_from(sorted(self.latest)), min_size=1, max_size=4, unique=True))
        assert self.catalog.remove("wheat", doomed) == len(doomed)
        left = {ident: value for ident, value in self.latest.items() if ident not in doomed}
        self.versions[max(self.versions) + 1] = left

    @precondition(lambda self: self.living)
    @rule(data=st.data(), now=st.booleans())
    def deletes(self, data: st.DataObject, now: bool) -> None:
        number = data.draw(st.sampled_from(self.living))
        self.catalog.workspace.delete(f"{NAME}:v{number}", now=now)
        self.deleted.add(number)
        if now:
            self.versions[number] = {}

    @invariant()
    def has_what_the_model_has(self) -> None:
        rows = self.catalog.filter("wheat")
        assert {row["prediction_id"] for row in rows} == self.latest.keys() and len(rows) == len(self.latest)
        for row in rows[:: max(len(rows) // 4, 1)]:
            place, array = self.latest[row["prediction_id"]]
            found = self.catalog.get(row["prediction_id"])
            assert found["model"] == self.models[place].artifact_id and ("y_pred" in found) == (array is not None)
            assert array is None or np.array_equal(found["y_pred"], array, equal_nan=True)

    @invariant()
    def keeps_the_models_of_living_versions(self) -> None:
        needed = {place for number in self.living for place, _ in self.versions[number].values()}
        for place, model in enumerate(self.models):
            try:
                self.catalog.workspace.delete(model.ref, dry_run=True)
            except RefusedError:
                assert place in needed
            else:
                assert place not in needed

    @invariant()
    def has_few_parts(self) -> None:
        if self.living:
            version = self.catalog.workspace.version(NAME)
            assert len(parts.parts_of(version, parts.META)) <= 6 + len(self.versions)
            used = self.catalog._table(version)["data_part"].to_pylist()
            assert {part.name for part in parts.parts_of(version, parts.DATA)} == set(used) - {None}


TestCatalogue = Catalogue.TestCase
TestCatalogue.settings = settings(
    max_examples=5, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
