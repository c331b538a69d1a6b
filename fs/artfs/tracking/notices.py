"""What is accepted and has no effect, said once for each name and process."""

from __future__ import annotations

from artfs.tracking.values import logger

__all__ = ["ignore"]

_said: set[str] = set()


def ignore(name: str, reason: str) -> None:
    """Warn that a call or an argument has no effect, the first time that it is used."""
    if name not in _said:
        _said.add(name)
        logger.warning("artfs: %s has no effect: %s", name, reason)
