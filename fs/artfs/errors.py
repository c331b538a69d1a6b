"""The errors of artfs, with the names of wandb's.

Every error is an `ArtfsError` with one sentence and a hint, and also the built-in error that a caller would catch.
"""

from __future__ import annotations

from artstore import errors as _errors
from artstore.errors import *  # noqa: F403
from artstore.errors import ArtfsError

__all__ = [*_errors.__all__, "AuthenticationError", "CommError", "Error", "UsageError"]

Error = CommError = UsageError = AuthenticationError = ArtfsError
"""wandb's names: whatever a program catches by one of them is an `ArtfsError` here."""
