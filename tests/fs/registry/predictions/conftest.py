"""What tests of predictions share."""

from __future__ import annotations

from fs.registry.predictions.catalogs import *  # noqa: F403
