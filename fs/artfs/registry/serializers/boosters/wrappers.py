"""Estimators with scikit-learn's interface around a model of a boosting library, as JSON next to the model.

The JSON has the name of a class of the library, the parameters and the attributes of the fitted estimator.  Building
one calls the class with its parameters and sets attributes whose names the class has anyway, to plain values.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from artfs.registry.serializers.attributes import decoded, read_json, written_json
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import is_instance, require
from artfs.registry.serializers.protocol import Reading

__all__ = ["WrapperFormat", "WrapperState"]

_MOST_THREADS: Final = 1024
_THREADS: Final = frozenset({"n_jobs", "nthread", "nthreads", "num_thread", "num_threads", "thread_count"})


@dataclass(frozen=True, slots=True)
class WrapperState:
    """A wrapper taken apart: the name of its class, its parameters, its attributes, and those of its model."""

    name: str
    params: dict[str, Any]
    attributes: dict[str, Any]
    model: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WrapperFormat:
    """The classes of one library that may be built, and the attributes that they may have."""

    library: str
    module: str
    """The module whose classes they are."""
    classes: frozenset[str]
    model: str
    """The class of the model alone."""
    attributes: frozenset[str]
    """Names of attributes of fitted wrappers, beyond parameters."""

    def accepts(self, obj: Any) -> bool:
        """Return whether an object is exactly of one of the classes, in a process that has imported the library."""
        return type(obj).__name__ in self.classes | {self.model} and is_instance(obj, self.library, type(obj).__name__)

    def is_model(self, obj: Any) -> bool:
        """Return whether an object is a model alone."""
        return type(obj).__name__ == self.model

    def written(self, state: WrapperState) -> str:
        """Return a state as one line of JSON; raise `UnserializableError` for values that are not plain."""
        document = {"class": state.name, "params": state.params, "attributes": state.attributes, "model": state.model}
        return written_json(document)

    def read(self, text: str, reading: Reading) -> WrapperState:
        """Return a state from its JSON; raise `UntrustedError` for a class or attribute of another kind."""
        try:
            document = decoded(read_json(text))
            state = WrapperState(document["class"], document["params"], document["attributes"], document["model"])
            parts = (state.params, state.attributes, state.model)
            if len(document) != 4 or not all(isinstance(part, dict) for part in parts):
                raise ValueError("other parts")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise MalformedPayloadError(f"{reading.label} does not describe an estimator of {self.library}") from error
        if state.name not in self.classes | {self.model}:
            raise UntrustedError(f"{reading.label} names the class {str(state.name)[:80]!r}, not one of {self.library}")
        for part in parts:
            _check_threads(part, reading.label)
        return state

    def checked_class(self, state: WrapperState, reading: Reading) -> Any:
        """Return the class of a state whose names are those of the class."""
        cls = getattr(require(self.library, f"a model of {self.library}", self.library), state.name)
        known = _parameter_names(cls)
        _check_names(cls, state.params, known, reading.label)
        _check_names(cls, state.attributes, known | self.attributes | set(state.params), reading.label)
        return cls

    def built(self, state: WrapperState, reading: Reading) -> Any:
        """Return an estimator of the state without a model, whose parameters are those that it had."""
        cls = self.checked_class(state, reading)
        try:
            estimator = cls(**state.params)
            for name, value in state.attributes.items():
                setattr(estimator, name, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise MalformedPayloadError(f"the parameters of {reading.label} do not fit {state.name}") from error
        return estimator


def _parameter_names(cls: type) -> frozenset[str]:
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            names |= set(inspect.signature(base.__init__).parameters)  # type: ignore[misc]
    return frozenset(names - {"self", "kwargs"})


def _check_names(cls: type, values: Mapping[str, Any], known: Iterable[str], label: str) -> None:
    """Refuse names that would hide a method of the class, and private names that the format does not have."""
    allowed = frozenset(known)
    for name in values:
        hidden = inspect.getattr_static(cls, name, None) if isinstance(name, str) else None
        if not isinstance(name, str) or not name.isidentifier() or (name.startswith("_") and name not in allowed):
            raise UntrustedError(f"{label} sets an attribute {str(name)[:60]!r}, which is none of its class")
        if hidden is not None and (inspect.isroutine(hidden) or isinstance(hidden, property | classmethod)):
            raise UntrustedError(f"{label} has {cls.__name__} with a replaced {name[:60]}")


def _check_threads(values: Mapping[str, Any], label: str) -> None:
    """Refuse to start more threads than any machine has, for which a library ends the process."""
    for name, value in values.items():
        if isinstance(value, dict):
            _check_threads(value, label)
        elif name in _THREADS and value is not None and not (type(value) is int and abs(value) <= _MOST_THREADS):
            raise MalformedPayloadError(f"{label} asks for {str(value)[:20]} threads")
