"""The names of registered artifacts, ``runs/DATASET/PIPELINE/HASH/FOLD``, and of predictions, ``catalog/DATASET``.

The middle of an id of the older form takes the place of the hash, with what follows the pipeline joined by hyphens:
``0001:0:3:all`` is ``runs/DATASET/0001/0-3-all/all``.
"""

from __future__ import annotations

from typing import Final

from artfs.registry.ids import ArtifactId, fold_label
from artstore.errors import InvalidNameError
from artstore.names import check_component, check_name

__all__ = [
    "CATALOG",
    "EXPORTS",
    "RESERVED_DATASET",
    "RUNS",
    "artifact_name",
    "best_name",
    "catalog_name",
    "check_dataset",
    "check_pipeline",
    "dataset_project",
]

RUNS: Final = "runs"
CATALOG: Final = "catalog"
EXPORTS: Final = "exports"
RESERVED_DATASET: Final = "best_predictions"
"""The folder of predictions beside those of data sets, below ``exports``."""


def check_dataset(dataset: str) -> str:
    """Return a data set's id if it can be a name; raise `InvalidNameError` otherwise."""
    if dataset == RESERVED_DATASET:
        raise InvalidNameError(f"the data set's id {dataset!r} is reserved: exports of predictions have that name")
    return check_component(dataset)


def check_pipeline(pipeline: str) -> str:
    """Return a pipeline's id if it can be a name; raise `InvalidNameError` otherwise."""
    return check_component(pipeline)


def dataset_project(dataset: str, pipeline: str = "") -> str:
    """Return the project that has the artifacts of a data set, or of one of its pipelines."""
    return f"{RUNS}/{dataset}/{pipeline}".rstrip("/")


def catalog_name(dataset: str) -> str:
    """Return the name of the artifact that has the predictions of a data set."""
    return check_name(f"{CATALOG}/{check_dataset(dataset)}")


def artifact_name(dataset: str, ident: ArtifactId) -> str:
    """Return the name of an artifact by its id; raise `InvalidNameError` for an id that cannot be one."""
    fold = fold_label(ident.fold)
    middle = f"{ident.middle}-{fold}" if ident.is_older else ident.hash
    return check_name(f"{dataset_project(dataset, check_pipeline(ident.pipeline))}/{middle}/{fold}")


def best_name(dataset: str, metric: str, place: int) -> str:
    """Return the name of one of the best models' exports; raise `InvalidNameError` if the metric cannot be in it."""
    return check_name(f"{EXPORTS}/{check_dataset(dataset)}/{check_component(metric)}-{place}")
