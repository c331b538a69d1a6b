"""Tables that are kept: each part is read once, what others add is seen, and the memory has a bound."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from artfs.registry import ArtifactRecord, PredictionCatalog
from artfs.registry.predictions import tables
from fs.registry.predictions.catalogs import given


def test_each_part_is_read_once(
    catalog: PredictionCatalog, model: ArtifactRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again reads nothing; what another adds is read, and nothing else."""
    other = PredictionCatalog(catalog.workspace)
    read: list[str] = []
    real = tables.meta_table

    def counting(version: Any, part: Any) -> Any:
        read.append(part.name)
        return real(version, part)

    monkeypatch.setattr(tables, "meta_table", counting)
    for each in range(3):
        other.add("wheat", **given(model, partition=f"p{each}"))
        for _ in range(2):
            assert len(catalog.filter()) == len(catalog.query(metric="rmse")) == each + 1
    assert len(read) == 3 + 2 and len(set(read)) == 3  # the other reads the parts before its own
    monkeypatch.setattr(tables, "MOST_BYTES", 1)
    other.add("wheat", **given(model, partition="last"))
    assert len(catalog.filter()) == 4 and catalog._table._bytes == 0 and not catalog._table._tables


def test_threads_share_a_catalogue(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """Threads add and ask at once through one object; all that they add is there."""
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(4):
                ident = catalog.add("wheat", **given(model, partition=f"{number}-{each}", y_pred=[number, each]))
                assert catalog.get(ident)["y_pred"].tolist() == [number, each] and catalog.query(metric="rmse")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(catalog.filter()) == 12
