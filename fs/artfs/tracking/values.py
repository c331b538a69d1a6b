"""The environment variables, times as text, and the logger of runs and artifacts."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

__all__ = ["cache_folder", "download_folder", "environment", "iso", "logger"]

logger: Final = logging.getLogger("artfs")
"""Notices to programs besides results and errors; Python writes warnings to stderr unless logging is set up."""


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


def iso(moment: datetime) -> str:
    """Return a time in UTC as ISO 8601 with ``Z``."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
