"""List the types of the installed scikit-learn that are not judged yet; see trusted_types.py of the registry.

    python scripts/suite/unjudged_types.py

Each line has the full name of a type and the compiled code that the modules of its classes import, which is where to
look: does any of it read the state of a fitted object without checking sizes and indices?  Exits with 1 if any is.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings

from artfs.registry.serializers.estimators.trusted_types import TYPES

_FAMILIES = {
    "sklearn._loss._loss": "CyLossFunction",
    "sklearn.gaussian_process.kernels": "Kernel",
}
"""Modules whose classes occur in fitted estimators, and the base class of those."""


def compiled(cls: type) -> list[str]:
    """Return the names of compiled modules of scikit-learn that the modules of a class and its bases import."""
    found = set()
    for base in cls.__mro__:
        for value in vars(sys.modules[base.__module__]).values():
            name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            file = getattr(sys.modules.get(str(name)), "__file__", None) or ""
            if str(name).startswith("sklearn.") and file.endswith((".so", ".pyd")):
                found.add(str(name))
    return sorted(found)


def types() -> list[type]:
    """Return the estimators of scikit-learn and the concrete classes of the families."""
    from sklearn.utils import all_estimators

    found = [cls for _, cls in all_estimators() if cls.__module__.startswith("sklearn.")]
    for module_name, base_name in _FAMILIES.items():
        module = importlib.import_module(module_name)
        base = getattr(module, base_name)
        found += [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls)
            and issubclass(cls, base)
            and cls is not base
            and not inspect.isabstract(cls)
            and cls.__module__ == module_name
            and not cls.__name__.startswith(("_", "KernelOperator"))
        ]
    return found


def unjudged() -> dict[str, type]:
    """Return the types that are in no table, by their full names."""
    found = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in types()}
    return {name: cls for name, cls in sorted(found.items()) if name not in TYPES}


def main() -> int:
    """Print the types that are not judged, and return the exit code."""
    warnings.simplefilter("ignore")
    missing = unjudged()
    for name, cls in missing.items():
        print(name, "imports", ", ".join(compiled(cls)) or "nothing compiled")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
