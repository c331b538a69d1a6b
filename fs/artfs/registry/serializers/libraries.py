"""The libraries of formats, imported at their first use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from artfs.registry.serializers.errors import MissingLibraryError
from artfs.registry.serializers.versions import version_of

__all__ = ["is_instance", "present", "require", "versions_of"]


def require(name: str, what: str, package: str = "artfs[registry]") -> ModuleType:
    """Import a library; raise `MissingLibraryError`, which says what needs it and what to install, if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{what} needs {name.partition('.')[0]}, which cannot be imported", hint=f"pip install '{package}'"
        ) from error


def present(name: str) -> Any:
    """Return a module if this process has imported it, else None: an object of a library has its module loaded."""
    return sys.modules.get(name)


def is_instance(obj: Any, module: str, *classes: str) -> bool:
    """Return whether *obj* is an instance of one of the classes of a module that may not be imported."""
    loaded = present(module)
    found = [getattr(loaded, name, None) for name in classes] if loaded is not None else []
    return isinstance(obj, tuple(each for each in found if isinstance(each, type)))


def versions_of(*distributions: str) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found = {name: version_of(name) for name in distributions}
    return {name: version for name, version in found.items() if version is not None}
