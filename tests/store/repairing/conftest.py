"""The workspace with a past of the checks, for what mends it."""

from store.checking.conftest import copy, lived, past

__all__ = ["copy", "lived", "past"]
