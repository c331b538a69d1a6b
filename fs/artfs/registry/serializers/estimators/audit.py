"""The audit of a skops file before anything of it is imported or built.

skops asks of each class whether it is trusted, wherever it occurs.  Here a class is allowed for the way in which it is
built: an estimator as an object with a state, not as a function to call nor as the type of a dictionary's keys.  Then
the state of what compiled code reads is checked.  Last, skops audits the file too, with the names that were found.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any, Final

from artfs.registry.serializers import catalogue
from artfs.registry.serializers.embedding import EMBEDDED
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.estimators.archive import Archive
from artfs.registry.serializers.estimators.schema import (
    ROOT_KEYS,
    Node,
    check_node,
    children,
    full_name,
    is_key_type,
)
from artfs.registry.serializers.estimators.trusted_types import FUNCTIONS, TYPES
from artfs.registry.serializers.estimators.validators import validator_of
from artfs.registry.serializers.estimators.view import View

__all__ = ["audit"]

_NUMBERS: Final = frozenset(
    f"numpy.{kind}"
    for kind in (
        *("bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "longlong"),
        *("ulonglong", "float16", "float32", "float64", "longdouble", "complex64", "complex128", "str_", "bytes_"),
        *("datetime64", "timedelta64"),
    )
)
_VALUES: Final = frozenset(
    f"builtins.{kind}" for kind in ("bool", "bytes", "complex", "dict", "float", "int", "list", "set", "str", "tuple")
)
_BUILT: Final[dict[str, frozenset[str]]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "SetNode": frozenset({"builtins.set"}),
    "TupleNode": frozenset({"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "BytearrayNode": frozenset({"builtins.bytearray"}),
    "ConstructorFromReduceNode": frozenset({"builtins.frozenset", EMBEDDED}),
    "TypeNode": _VALUES | _NUMBERS,
    "NdArrayNode": _NUMBERS | {"numpy.ndarray"},
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "SparseMatrixNode": frozenset(
        f"scipy.sparse._{kind}.{kind}_{form}"
        for kind in ("bsr", "coo", "csc", "csr", "dia")
        for form in ("array", "matrix")
    ),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "FunctionNode": FUNCTIONS,
}
"""What each way of building may build; `ObjectNode` and `LossNode` have the list of trusted types."""
_SHOWN: Final = 5


def audit(schema: Node, archive: Archive, trusted: frozenset[str], label: str) -> list[str]:
    """Return the names that skops must trust to build what *schema* describes.

    Raises `UntrustedError` for a class or function that is neither on our list, for the way in which it would be built,
    nor in *trusted*, and `MalformedPayloadError` for a schema or a state that nothing writes.  The state of a class
    that the caller names in *trusted* is the caller's.
    """
    nodes = list(_walk(schema, label))
    refused = {name for node in nodes for name in _refused(node, trusted)}
    if refused:
        shown = ", ".join(sorted(refused)[:_SHOWN]) + (", ..." if len(refused) > _SHOWN else "")
        raise UntrustedError(
            f"{label} has types or functions that are not trusted: {shown}",
            hint="examine where it comes from; trusted=[...] with these names loads it",
        )
    for node in nodes:
        _check_rules(node, trusted, archive, label)
        validator = validator_of(node["__loader__"], full_name(node))
        if validator is not None and full_name(node) not in trusted:
            validator(View(node, archive, label))
    return sorted({full_name(node) for node in nodes} | trusted)


def _walk(schema: Node, label: str) -> Iterator[Node]:
    """Yield every node once, parents first; nodes with one id must be equal, because only the first is built."""
    known: dict[int, Node] = {}
    stack: list[Any] = [schema]
    extra = ROOT_KEYS
    while stack:
        node = check_node(stack.pop(), label, extra)
        extra = frozenset()
        identity = node.get("__id__")
        if identity is not None:
            first = known.setdefault(identity, node)
            if first is not node:
                if first != node:
                    raise MalformedPayloadError(f"the schema of {label} has two objects with one id")
                continue
        yield node
        stack.extend(reversed(list(children(node))))


def _refused(node: Node, trusted: frozenset[str]) -> Iterator[str]:
    """Yield the names in a node that are not allowed there."""
    loader, name = node["__loader__"], full_name(node)
    if loader == "MethodNode":
        name = f"{name}.{node['content']['func']}"
    if name in trusted:
        return
    if loader == "ObjectNode" or loader == "LossNode":
        kind = TYPES.get(name)
        if kind is None or not kind.loaded or (loader == "LossNode") != kind.compiled_loss:
            yield name
    elif name not in _BUILT.get(loader, frozenset()) and not (loader == "FunctionNode" and _is_ufunc(node)):
        yield name


def _is_ufunc(node: Node) -> bool:
    """Return whether a function is one of NumPy's or SciPy's that work on each element of an array."""
    module, name = node["__module__"], node["__class__"]
    if module not in ("numpy", "scipy.special", "scipy.special._ufuncs"):
        return False
    numpy = importlib.import_module("numpy")
    return isinstance(getattr(importlib.import_module(module), name, None), numpy.ufunc)


def _check_rules(node: Node, trusted: frozenset[str], archive: Archive, label: str) -> None:
    loader = node["__loader__"]
    if loader == "DictNode":
        _check_keys(node, label)
    elif loader == "DefaultDictNode":
        factory = node["content"]["default_factory"]
        if factory["__loader__"] not in ("TypeNode", "JsonNode"):
            raise UntrustedError(f"{label} has a dictionary that calls a function for each missing key")
    elif loader == "ConstructorFromReduceNode" and full_name(node) == "builtins.frozenset":
        arguments = node["content"]
        if arguments["__loader__"] != "TupleNode" or len(arguments["content"]) > 1:
            raise MalformedPayloadError(f"{label} has a malformed frozenset")
    elif loader == "ConstructorFromReduceNode" and full_name(node) == EMBEDDED:
        _check_part(node, label)
    elif loader == "NdArrayNode" and node["type"] == "numpy":
        header = archive.header(node["file"])
        if node["__class__"] != "ndarray" and header.shape != ():
            raise MalformedPayloadError(f"{label} has a number that is an array")
    elif loader == "ObjectNode" and full_name(node) not in trusted:
        _check_state(node, label)


def _check_part(node: Node, label: str) -> None:
    """Check that a part in another format names one that cannot run code, before anything is built."""
    arguments = node["content"]
    kinds = [each["__loader__"] for each in arguments["content"]] if arguments["__loader__"] == "TupleNode" else []
    if kinds != ["JsonNode", "JsonNode", "BytesNode"]:
        raise MalformedPayloadError(f"{label} has a malformed part")
    name = json.loads(arguments["content"][0]["content"])
    if not isinstance(name, str) or name in catalogue.CORE or not catalogue.find(name).safe:
        raise UntrustedError(f"{label} has a part in the format {str(name)[:40]!r}, which can run code")


def _check_keys(node: Node, label: str) -> None:
    """Check that a dictionary's keys are texts and numbers: skops calls the type of each key with its text."""
    kinds = node["key_types"]
    if kinds["__loader__"] != "ListNode" or len(kinds["content"]) != len(node["content"]):
        raise MalformedPayloadError(f"{label} has a dictionary without a type for each key")
    for kind in kinds["content"]:
        if kind["__loader__"] != "TypeNode" or not is_key_type(full_name(kind)):
            raise UntrustedError(f"{label} has a dictionary with keys of type {full_name(kind)[:100]}")


def _check_state(node: Node, label: str) -> None:
    """Refuse a state that would replace methods of its class, or names a folder from which a cache is unpickled."""
    content = node.get("content")
    if content is None or content["__loader__"] != "DictNode":
        return
    attributes = content["content"]
    memory = attributes.get("memory")
    if memory is not None and not (memory["__loader__"] == "JsonNode" and memory["content"] == "null"):
        raise UntrustedError(
            f"{label} has {full_name(node)} with memory=, a folder whose files are unpickled",
            hint=f"trusted=[{full_name(node)!r}] loads it",
        )
    for key in attributes:
        if _is_behaviour(node["__module__"], node["__class__"], key):
            raise UntrustedError(f"{label} has {full_name(node)} with a replaced {key[:60]}")


@functools.lru_cache(maxsize=1 << 16)
def _is_behaviour(module: str, name: str, key: str) -> bool:
    """Return whether an attribute would hide a method or property of a class, or be shown as HTML."""
    if key.startswith(("__", "_repr_", "_doc_link")):
        return True
    found = inspect.getattr_static(getattr(importlib.import_module(module), name, None), key, None)
    return inspect.isroutine(found) or (found is not None and hasattr(type(found), "__get__"))
