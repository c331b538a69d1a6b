"""Versions of libraries: recorded when an object is stored, compared when it is loaded."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Final

from artfs.registry.serializers.errors import VersionMismatchError, VersionMismatchWarning
from artstore.errors import InvalidInputError

__all__ = ["ON_MISMATCH", "check_mismatch", "differing", "distribution_of", "recorded", "version_of"]

ON_MISMATCH: Final = ("warn", "error", "ignore")
_ALSO: Final = {"xgboost": ("xgboost-cpu",), "tensorflow": ("tensorflow-cpu",)}
"""Other distributions of the same package."""
_DISTRIBUTIONS: Final = {"sklearn": "scikit-learn", "yaml": "pyyaml", "cv2": "opencv-python", "PIL": "pillow"}
"""Import names that are not those of their distributions."""


def distribution_of(package: str) -> str:
    """Return the name under which the version of an import package is recorded."""
    return _DISTRIBUTIONS.get(package, package)


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, of Python or of artfs; None if it is not installed."""
    if distribution == "python":
        return platform.python_version()
    if distribution == "artfs":
        import artfs

        return artfs.__version__
    for name in (distribution, *_ALSO.get(distribution, ())):
        installed = _installed(name)
        if installed is not None:
            return installed
    module = sys.modules.get(distribution)
    version = getattr(module, "__version__", None)
    return version if isinstance(version, str) else None


@functools.cache
def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def recorded(libraries: Mapping[str, str], packages: Iterable[str]) -> dict[str, str]:
    """Return what a record has: Python, artfs, a format's libraries and the packages of an object, sorted by name."""
    found = dict(libraries)
    for package in packages:
        name = distribution_of(package)
        if package not in sys.stdlib_module_names and package not in ("__main__", "artfs", "artstore"):
            version = version_of(name)
            if version is not None:
                found.setdefault(name, version)
    for name in ("python", "artfs"):
        found[name] = str(version_of(name))
    return dict(sorted(found.items()))


def differing(versions: Mapping[str, str]) -> list[tuple[str, str, str | None]]:
    """Return (library, recorded version, present version or None) for each whose major or minor number differs."""
    found = []
    for name, then in sorted(versions.items()):
        now = version_of(name)
        if now is None or _minor(now) != _minor(str(then)):
            found.append((name, str(then), now))
    return found


def check_mismatch(versions: Mapping[str, str], on_mismatch: str, label: str, seen: set[str] | None) -> str:
    """Warn of libraries that differ, once for each in *seen*; return a clause that names them, for an error of loading.

    Raises `VersionMismatchError` instead of warning if *on_mismatch* is ``"error"``.
    """
    if on_mismatch not in ON_MISMATCH:
        raise InvalidInputError(f"on_mismatch={on_mismatch!r}: use one of {', '.join(map(repr, ON_MISMATCH))}")
    found = differing(versions)
    if not found:
        return ""
    clauses = [f"{name} {then} (here {now or 'not installed'})" for name, then, now in found]
    if on_mismatch == "error":
        raise VersionMismatchError(
            f"{label} was stored with {', '.join(clauses)}", hint='install those versions, or use on_mismatch="warn"'
        )
    for (name, _, _), clause in zip(found, clauses, strict=True):
        if on_mismatch == "warn" and (seen is None or name not in seen):
            if seen is not None:
                seen.add(name)
            warnings.warn(f"{label} was stored with {clause}", VersionMismatchWarning, stacklevel=4)
    return ", ".join(clauses)


def _minor(version: str) -> tuple[str, ...]:
    return tuple(re.split(r"[.+-]", version)[:2])
