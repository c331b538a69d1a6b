"""Dictionaries of a run, ``config`` and ``summary``: by item and by attribute, kept when the run next writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from artfs.tracking.conversion import config_values

__all__ = ["Words"]


class Words(MutableMapping[str, Any]):
    """Values by name; every change is checked at once, and the run writes it later."""

    _values: dict[str, Any]

    def __init__(
        self,
        values: Mapping[str, Any],
        checked: Callable[[Mapping[str, Any]], dict[str, Any]],
        changed: Callable[[], object],
    ) -> None:
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_checked", checked)
        object.__setattr__(self, "_changed", changed)

    def __repr__(self) -> str:
        return repr(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values.update(self._checked({name: value}))
        self._changed()

    def __delitem__(self, name: str) -> None:
        del self._values[name]
        self._changed()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(self, values: Any = (), /, allow_val_change: bool | None = None, **more: Any) -> None:
        """Set several values."""
        self._values.update(self._checked({**config_values(values or None), **more}))
        self._changed()

    def take(self, values: Mapping[str, Any]) -> None:
        """Set values that were checked, and that the run writes itself."""
        self._values.update(values)

    def setdefaults(self, values: Mapping[str, Any]) -> None:
        """Set the values whose names have none."""
        self.update({name: value for name, value in values.items() if name not in self._values})

    def as_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(self._values)
