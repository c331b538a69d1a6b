"""The shape of a skops schema: nodes of an object's tree, and where each kind has its children.

A node is a JSON object with ``__loader__``, which selects how it is built, ``__class__`` and ``__module__``, and mostly
``__id__``: nodes with one id are one object.  The shapes are those of protocol 2 of skops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from artfs.registry.serializers.errors import MalformedPayloadError

__all__ = [
    "TESTED_PROTOCOLS",
    "UNSHARED",
    "Node",
    "check_node",
    "children",
    "full_name",
    "is_key_type",
    "parse_schema",
    "place_children",
]

Node = dict[str, Any]

ROOT_KEYS: Final = frozenset({"protocol", "_skops_version"})
"""The keys of the root beside those of its node."""
TESTED_PROTOCOLS: Final = frozenset({2})
"""The protocols of skops whose shapes these are; a payload of another is stored as skops wrote it."""

_KEY_TYPES: Final = frozenset({"builtins.str", "builtins.int", "builtins.float", "numpy.str_"})
_COMMON: Final = frozenset({"__loader__", "__class__", "__module__", "__id__"})
_PLAIN: Final[dict[str, frozenset[str]]] = {
    "TypeNode": frozenset(),
    "FunctionNode": frozenset(),
    "JsonNode": frozenset({"content", "is_json"}),
    "SliceNode": frozenset({"content"}),
    "BytesNode": frozenset({"file"}),
    "BytearrayNode": frozenset({"file"}),
    "SparseMatrixNode": frozenset({"type", "file"}),
}
_LISTS: Final = frozenset({"ListNode", "SetNode", "TupleNode"})
_SINGLE: Final = frozenset({"DTypeNode", "RandomStateNode", "ConstructorFromReduceNode", "ObjectNode"})
_NAMED: Final[dict[str, tuple[str, ...]]] = {
    "DefaultDictNode": ("main", "default_factory"),
    "PartialNode": ("func", "args", "kwds", "namespace"),
    "MaskedArrayNode": ("data", "mask"),
    "RandomGeneratorNode": ("bit_generator", "seed_seq"),
}
_REDUCED: Final = frozenset({"TreeNode", "LossNode", "QuantileForestNode"})

UNSHARED: Final = frozenset(
    {"JsonNode", "TypeNode", "FunctionNode", "SliceNode", "BytesNode", "TupleNode", "DTypeNode"}
)
"""Values without an identity that means anything: whether equal ones are one object depends on accidents."""


def full_name(node: Node) -> str:
    """Return the module and name of a node's class or function."""
    return f"{node['__module__']}.{node['__class__']}"


def is_key_type(name: str) -> bool:
    """Return whether skops gives back keys of a type: texts, and numbers but no booleans."""
    return name in _KEY_TYPES or (
        name.startswith("numpy.") and name[6:].rstrip("0123456789") in ("int", "uint", "float")
    )


def parse_schema(data: bytes, label: str) -> Node:
    """Decode a schema; raise `MalformedPayloadError` for what is none, or has a key twice in one object."""
    try:
        schema = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedPayloadError(f"the schema of {label} is not JSON, or has a key twice") from error
    if not isinstance(schema, dict):
        raise MalformedPayloadError(f"the schema of {label} is not an object")
    return schema


def check_node(node: Any, label: str, extra: frozenset[str] = frozenset()) -> Node:
    """Return a node whose own shape is right; its children are not looked at.  *extra* has keys of the root."""
    if not isinstance(node, dict) or not all(
        isinstance(node.get(key), str) for key in ("__loader__", "__class__", "__module__")
    ):
        raise MalformedPayloadError(f"the schema of {label} has a node without a class")
    identity = node.get("__id__", 1)
    if type(identity) is not int or identity < 1:
        raise MalformedPayloadError(f"the schema of {label} has a node with an invalid id")
    if not _is_shaped(node, set(node) - _COMMON - extra):
        raise MalformedPayloadError(f"the schema of {label} has a malformed {node['__loader__'][:40]}")
    return node


def children(node: Node) -> Iterator[Node]:
    """Yield the children of a node that `check_node` has passed, in the order in which skops writes them."""
    loader, content = node["__loader__"], node.get("content")
    if loader == "DictNode":
        yield node["key_types"]
        yield from content.values()  # type: ignore[union-attr]
    elif loader in _LISTS:
        yield from content or ()
    elif loader in _SINGLE:
        if content is not None:
            yield content
    elif loader in _NAMED:
        yield from (content[key] for key in _NAMED[loader])  # type: ignore[index]
    elif loader in _REDUCED:
        yield node["__reduce__"]["args"]
        yield content  # type: ignore[misc]
    elif loader == "NdArrayNode" and node["type"] == "json":
        yield from content or ()
        yield node["shape"]
    elif loader == "MethodNode":
        yield content["obj"]  # type: ignore[index]
    elif loader == "OperatorFuncNode":
        yield node["attrs"]


def place_children(node: Node, placed: list[Node]) -> None:
    """Replace the children of a node, in the order of `children`; containers in the node are replaced, not changed."""
    loader, content, rest = node["__loader__"], node.get("content"), iter(placed)
    if loader == "DictNode":
        node["key_types"] = next(rest)
        node["content"] = {key: next(rest) for key in content or ()}
    elif loader in _NAMED:
        node["content"] = {key: next(rest) for key in _NAMED[loader]}
    elif loader in _REDUCED:
        node["__reduce__"] = {"args": next(rest)}
        node["content"] = next(rest)
    elif loader == "NdArrayNode" and node["type"] == "json":
        node["content"] = [next(rest) for _ in content or ()]
        node["shape"] = next(rest)
    elif loader == "MethodNode":
        node["content"] = {"func": (content or {})["func"], "obj": next(rest)}
    elif loader == "OperatorFuncNode":
        node["attrs"] = next(rest)
    elif loader in _LISTS:
        node["content"] = list(rest)
    elif loader in _SINGLE and content is not None:
        node["content"] = next(rest)


def _is_shaped(node: Node, keys: set[str]) -> bool:
    loader, content = node["__loader__"], node.get("content")
    if loader in _PLAIN:
        return keys <= _PLAIN[loader] and _is_plain(node)
    if loader == "DictNode":
        return keys == {"content", "key_types"} and isinstance(content, dict)
    if loader in _LISTS:
        return keys == {"content"} and isinstance(content, list)
    if loader == "ObjectNode":
        return keys <= {"content"}
    if loader in _SINGLE:
        return keys == {"content"}
    if loader in _NAMED:
        return keys == {"content"} and isinstance(content, dict) and set(content) == set(_NAMED[loader])
    if loader in _REDUCED:
        reduced = node.get("__reduce__")
        return keys == {"content", "__reduce__"} and isinstance(reduced, dict) and set(reduced) == {"args"}
    if loader == "NdArrayNode" and node.get("type") == "json":
        return keys == {"content", "type", "shape"} and isinstance(content, list)
    if loader == "NdArrayNode":
        return keys == {"type", "file"} and node["type"] == "numpy" and isinstance(node["file"], str)
    if loader == "MethodNode":
        return keys == {"content"} and isinstance(content, dict) and set(content) == {"func", "obj"}
    return loader == "OperatorFuncNode" and keys == {"attrs"}


def _is_plain(node: Node) -> bool:
    loader, content = node["__loader__"], node.get("content")
    if loader == "JsonNode":
        return isinstance(content, str)
    if loader == "SliceNode":
        return (
            isinstance(content, dict)
            and set(content) == {"start", "stop", "step"}
            and all(each is None or type(each) is int for each in content.values())
        )
    return loader in ("TypeNode", "FunctionNode") or isinstance(node.get("file"), str)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
