"""Value classes: what ``dataclass(frozen=True, slots=True)`` makes, in a tenth of its time.

`dataclasses` compiles six functions for each class.  A command that starts loads dozens of these classes, and would
spend a sixth of its processor time on that.  Here only ``__init__`` is compiled; the other methods are the same
functions for all classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["value_class"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Return the value class of a class whose annotations are its fields; it must not have fields of a base class.

    Objects are made, compared, hashed, shown, pickled and given to `dataclasses.fields`, ``asdict`` and ``replace`` as
    those of a frozen data class with slots.
    """
    namespace = dict(vars(cls))
    annotations = namespace.get("__annotations__") or cls.__annotations__
    names = [name for name, kind in annotations.items() if not str(kind).startswith("ClassVar")]
    defaults = {name: namespace.pop(name) for name in names if name in namespace}
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    namespace |= {"__slots__": tuple(names), "__match_args__": tuple(names)}
    namespace["__dataclass_fields__"] = _Fields(annotations, defaults)
    compared = [name for name in names if getattr(defaults.get(name), "compare", True)]
    for name, function in _methods(names, compared).items():
        namespace.setdefault(name, function)
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, cls.__bases__, namespace)
    initialise = _initialiser(made, names, defaults)
    initialise.__annotations__ = {**{name: annotations[name] for name in names}, "return": None}
    initialise.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__init__ = initialise
    return made  # type: ignore[no-any-return]


def _initialiser(made: type, names: list[str], defaults: dict[str, Any]) -> Any:
    """Return the ``__init__`` of a class with slots, which sets them past the class's ``__setattr__``."""
    known: dict[str, Any] = {}
    given, steps = [], []
    for name in names:
        known[f"set_{name}"] = vars(made)[name].__set__
        default = defaults.get(name, MISSING)
        item = f"{name}=default_{name}"
        passed = name
        if isinstance(default, Field):
            if default.default_factory is not MISSING:
                known[f"make_{name}"] = default.default_factory
                passed = f"make_{name}() if {name} is default_{name} else {name}"
            default = default.default
        elif default is MISSING:
            item = name
        known[f"default_{name}"] = default
        given.append(item)
        steps.append(f"    set_{name}(self, {passed})")
    if hasattr(made, "__post_init__"):
        steps.append("    self.__post_init__()")
    exec(f"def __init__({', '.join(['self', *given])}):\n" + "\n".join(steps or ["    pass"]), known)
    return known["__init__"]


def _methods(names: list[str], compared: list[str]) -> dict[str, Callable[..., Any]]:
    """Return the other methods of a class with these fields."""
    key: Callable[[Any], Any] = attrgetter(*compared) if compared else lambda _: ()

    def equal(self: Any, other: Any) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(key(self))

    def shown(self: Any) -> str:
        fields = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{self.__class__.__qualname__}({fields})"

    def state(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def restore(self: Any, values: list[Any]) -> None:
        for name, item in zip(names, values, strict=True):
            object.__setattr__(self, name, item)

    return {
        "__eq__": equal,
        "__hash__": hashed,
        "__repr__": shown,
        "__getstate__": state,
        "__setstate__": restore,
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
    }


def _refuse_to_set(_self: Any, name: str, _value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _Fields:
    """What `dataclasses` asks a class for; it is made when it is first asked for."""

    def __init__(self, annotations: dict[str, Any], defaults: dict[str, Any]) -> None:
        self._twin = {"__annotations__": annotations, "__doc__": "", **defaults}

    def __get__(self, _item: object, owner: type) -> dict[str, Field[Any]]:
        twin = type(owner.__name__, (), {"__module__": owner.__module__, **self._twin})
        found: dict[str, Field[Any]] = vars(dataclass(init=False, repr=False, eq=False)(twin))["__dataclass_fields__"]
        for base in owner.__mro__:
            if vars(base).get("__dataclass_fields__") is self:
                setattr(base, "__dataclass_fields__", found)  # noqa: B010 - mypy knows it as a constant
        return found
