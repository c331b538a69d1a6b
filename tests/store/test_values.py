"""A value class is what `dataclasses` would have made of the same class, in everything that is asked of one."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, astuple, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Final

import pytest

from artstore.values import value_class

Decorator = Callable[[type], type]


def shapes(make: Decorator) -> list[tuple[Any, list[tuple[Any, ...]]]]:
    """Return classes of several shapes, each with the arguments of some objects."""

    class Plain:
        """Two fields."""

        a: int
        b: str

    class Defaults:
        """Defaults, and one that is made for each object."""

        kind: ClassVar[str] = "defaults"
        a: int
        b: str = "b"
        c: list[int] = field(default_factory=list)
        d: tuple[int, ...] = field(default=(1, 2), compare=False)

        def total(self) -> int:
            """Return a sum."""
            return self.a + sum(self.c)

        @property
        def twice(self) -> int:
            """The double."""
            return 2 * self.a

        @classmethod
        def made(cls) -> Any:
            """Return one."""
            return cls(7)

    class Checked:
        """One field, which is checked."""

        a: int = 0

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("below 0")

        def __repr__(self) -> str:
            return f"<{self.a}>"

        def __hash__(self) -> int:
            return 3

    class Empty:
        """Nothing."""

    plain = [(1, "x"), (1, "x"), (2, "x"), (2,), (), (1, "x", 3)]
    defaults = [(1,), (1, "b"), (1, "b", [1]), (1, "b", [], (3,)), (2,), ()]
    return [
        (make(Plain), plain),
        (make(Defaults), defaults),
        (make(Checked), [(), (0,), (5,), (-1,)]),
        (make(Empty), [(), (1,)]),
    ]


def outcome(call: Callable[..., Any], *given: Any) -> Any:
    """Return a result as text, or the error's class."""
    try:
        return repr(call(*given)).replace("shapes.<locals>.", "")
    except Exception as error:
        return type(error)


QUESTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "repr": repr,
    "hash": lambda item: hash(item) == hash(copy.copy(item)),
    "asdict": asdict,
    "astuple": astuple,
    "fields": lambda item: [(each.name, each.type, each.compare, each.init) for each in fields(item)],
    "is_dataclass": lambda item: (is_dataclass(item), is_dataclass(type(item))),
    "replace": lambda item: replace(item, a=9),
    "replace with nothing": replace,
    "replace with another name": lambda item: replace(item, z=9),
    "set": lambda item: setattr(item, "a", 1),
    "delete": lambda item: delattr(item, "a"),
    "dict": lambda item: hasattr(item, "__dict__"),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "equal to itself": lambda item: (item == item, item != item, item == copy.deepcopy(item)),
    "equal to its values": lambda item: (item == astuple(item), item == None),  # noqa: E711
    "of the class": lambda item: (type(item).__name__, type(item).__doc__, type(item).__module__),
    "match": lambda item: (type(item).__match_args__, type(item).__slots__),
    "members": lambda item: (item.total(), item.twice, type(item).made(), item.kind),
}


def test_it_is_what_dataclasses_would_have_made() -> None:
    theirs, ours = shapes(dataclass(frozen=True, slots=True)), shapes(value_class)
    for (their_class, arguments), (our_class, _) in zip(theirs, ours, strict=True):
        made: list[tuple[Any, Any]] = []
        for given in arguments:
            expected, actual = outcome(their_class, *given), outcome(our_class, *given)
            assert actual == expected, (their_class, given)
            if isinstance(expected, str):
                made.append((their_class(*given), our_class(*given)))
        for name, question in QUESTIONS.items():
            if name in ("set", "delete") and not fields(our_class):
                continue  # dataclasses raises a TypeError
            for their_item, our_item in made:
                assert outcome(question, our_item) == outcome(question, their_item), (our_item, name)
        for their_one, our_one in made:
            for their_other, our_other in made:
                assert (our_one == our_other) is (their_one == their_other)


def test_objects_are_made_by_name_and_keep_no_common_default() -> None:
    made = shapes(value_class)[1][0]
    one, other = made(a=1), made(b="b", a=1)
    one.c.append(5)
    assert other.c == [] and one != other and made(1, c=[5]) == one
    assert str(inspect.signature(made)).startswith("(a: 'int', b: 'str' = 'b', c: 'list[int]' = ")
    for change in (lambda: setattr(one, "z", 1), lambda: setattr(one, "a", 1), lambda: delattr(one, "a")):
        with pytest.raises(FrozenInstanceError):
            change()


@value_class
class Pickled:
    """A class that `pickle` finds."""

    a: int
    b: list[int] = field(default_factory=list)


def test_pickles_and_inheritance() -> None:
    """Every protocol that knows slots; a class may derive from a value class without fields."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(Pickled(1, [2]), protocol)) == Pickled(1, [2])
    base = shapes(value_class)[3][0]

    class Derived(base):  # type: ignore[misc]
        a: int

    derived = value_class(Derived)
    assert derived(3).a == 3 and derived(3) == derived(3) != derived(4) and derived(3) != base()
    assert [each.name for each in fields(derived)] == ["a"] and not fields(base)
