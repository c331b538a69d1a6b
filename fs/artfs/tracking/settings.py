"""`Settings`: what a program passes to `artfs.init` as ``settings``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["Settings", "defaults"]

_ARGUMENTS: Final = {
    "mode": "mode",
    "project": "project",
    "entity": "entity",
    "run_id": "id",
    "run_name": "name",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_notes": "notes",
    "run_tags": "tags",
    "resume": "resume",
}
"""Settings that mean an argument of `artfs.init`."""


class Settings:
    """Settings by name; those that are arguments of `artfs.init` too are its defaults, the others are recorded."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def defaults(settings: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (arguments of `artfs.init`, other settings) of a `Settings`, a mapping or another object."""
    values = dict(settings) if isinstance(settings, Mapping) else dict(getattr(settings, "__dict__", {}))
    arguments = {_ARGUMENTS[name]: value for name, value in values.items() if name in _ARGUMENTS}
    return arguments, {name: value for name, value in values.items() if name not in _ARGUMENTS}
