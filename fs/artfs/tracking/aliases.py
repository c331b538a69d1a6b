"""Lists that are changed in place, and saved with their artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["NameList"]


class NameList(list[str]):
    """Aliases or tags of an artifact: a list; ``save``, here or on the artifact, keeps its changes."""

    def __init__(self, names: Iterable[str], save: Callable[[], object]) -> None:
        super().__init__(names)
        self._save = save

    def save(self) -> None:
        """Keep the changes."""
        self._save()
