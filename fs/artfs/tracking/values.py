"""Conversion of what users pass to JSON, and the environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from artstore.errors import InvalidInputError

__all__ = ["cache_folder", "download_folder", "environment", "iso", "metric_values", "plain"]


def environment(name: str) -> str | None:
    """Return ``$ARTFS_NAME``, else ``$WANDB_NAME``, else None; empty ones do not count."""
    return os.environ.get(f"ARTFS_{name}") or os.environ.get(f"WANDB_{name}") or None


def cache_folder() -> Path:
    """Return the folder that keeps downloads by digest: ``$ARTFS_CACHE_DIR``, ``$WANDB_CACHE_DIR``, or the user's."""
    given = environment("CACHE_DIR")
    return Path(os.path.abspath(os.path.expanduser(given))) if given else user_cache_path("artfs") / "versions"


def download_folder() -> Path | None:
    """Return the folder for downloads without a root, if ``$ARTFS_ARTIFACT_DIR`` or ``$WANDB_ARTIFACT_DIR`` is set."""
    given = environment("ARTIFACT_DIR")
    return Path(os.path.abspath(os.path.expanduser(given))) if given else None


def plain(value: Any, what: str = "metadata") -> Any:
    """Return a value as JSON can hold it: numpy's scalars and arrays as numbers, tuples as lists, paths as text.

    Raises `InvalidInputError` naming ``what`` for anything else that JSON cannot hold.
    """
    if isinstance(value, Mapping):
        return {_name(key, what): plain(each, f"{what}[{str(key)!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, what) for each in value]
    if value is None or type(value) in (str, bool, int):
        return value
    if isinstance(value, str | int):  # an enumeration, or another subclass
        return int(value) if isinstance(value, int) else str.__str__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{what} is {value}, which JSON cannot hold")
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for convert in ("tolist", "item"):  # numpy's arrays and scalars, and torch's
        method = getattr(value, convert, None)
        if callable(method):
            return plain(method(), what)
    raise InvalidInputError(f"{what} is of the type {type(value).__name__}, which JSON cannot hold")


def metric_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run logs as JSON, with NaN and infinite numbers as the words NaN and Infinity."""
    if not isinstance(data, Mapping):
        raise InvalidInputError(f"run.log takes a mapping of names to values, not {type(data).__name__}")
    return {_name(key, "the logged values"): _metric(value, f"the metric {key!r}") for key, value in data.items()}


def _name(key: object, what: str) -> str:
    if not isinstance(key, str | int | float | bool):
        raise InvalidInputError(f"a key in {what} is {key!r}, which is not a string")
    return str(key)


def _metric(value: Any, what: str) -> Any:
    if isinstance(value, Mapping):
        return {_name(key, what): _metric(each, what) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_metric(each, what) for each in value]
    if not isinstance(value, float) and callable(getattr(value, "tolist", None)):
        return _metric(value.tolist(), what)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return plain(value, what)


def iso(moment: datetime) -> str:
    """Return a time in UTC as ISO 8601 with ``Z``."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
