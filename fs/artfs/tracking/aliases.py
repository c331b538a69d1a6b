"""Lists that are changed in place, and saved with their artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self, SupportsIndex

from artstore.arguments import text, texts

__all__ = ["NameList"]


class NameList(list[str]):
    """Aliases or tags of an artifact: a list; ``save``, here or on the artifact, keeps its changes.

    Wherever a list takes several names, a single text is one name.
    """

    def __init__(self, names: Iterable[str] | None, save: Callable[[], object], what: str = "names") -> None:
        super().__init__(texts(names, what))
        self._save = save
        self._what = what

    def __setitem__(self, place: SupportsIndex | slice, value: Any) -> None:
        if isinstance(place, slice):
            super().__setitem__(place, texts(value, self._what))
        else:
            super().__setitem__(place, text(value, f"each of {self._what}"))

    def __iadd__(self, names: Iterable[str]) -> Self:  # type: ignore[override, misc]
        self.extend(names)
        return self

    def append(self, name: str) -> None:
        """Add a name at the end."""
        super().append(text(name, f"each of {self._what}"))

    def insert(self, place: SupportsIndex, name: str) -> None:
        """Insert a name."""
        super().insert(place, text(name, f"each of {self._what}"))

    def extend(self, names: Iterable[str]) -> None:
        """Add several names, or one, at the end."""
        super().extend(texts(names, self._what))

    def save(self) -> None:
        """Keep the changes."""
        self._save()
