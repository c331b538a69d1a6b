"""The state of an object as a schema has it, read before anything is built."""

from __future__ import annotations

import json
from typing import Any

from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.estimators.archive import Archive
from artfs.registry.serializers.estimators.schema import Node, full_name

__all__ = ["View"]


class View:
    """A node with the archive that has its arrays; every accessor raises `MalformedPayloadError` for another shape."""

    __slots__ = ("_label", "archive", "node")

    def __init__(self, node: Node, archive: Archive, label: str) -> None:
        self.node, self.archive, self._label = node, archive, label

    @property
    def loader(self) -> str:
        """How the node is built: ``ObjectNode``, ``TreeNode`` and others."""
        return str(self.node["__loader__"])

    @property
    def name(self) -> str:
        """The full name of the class or function."""
        return full_name(self.node)

    def fail(self, clause: str) -> MalformedPayloadError:
        """Return the error for a contradiction in the state of this object."""
        return MalformedPayloadError(f"{self._label}: the state of {self.name} is inconsistent: {clause}")

    def require(self, condition: object, clause: str) -> None:
        """Raise `MalformedPayloadError` if a condition does not hold."""
        if not condition:
            raise self.fail(clause)

    def _below(self, node: Any) -> View:
        return View(node, self.archive, self._label)

    @property
    def attributes(self) -> dict[str, View]:
        """The state of an object that is a dictionary, by key; of a dictionary, its values."""
        node = self.node if self.loader == "DictNode" else self.node.get("content")
        if not isinstance(node, dict) or node.get("__loader__") != "DictNode":
            raise self.fail("it is no dictionary")
        return {key: self._below(value) for key, value in node["content"].items()}

    def get(self, key: str) -> View | None:
        """Return an attribute that is there and not None."""
        found = self.attributes.get(key)
        return None if found is None or found.is_none else found

    def attribute(self, key: str) -> View:
        """Return an attribute."""
        found = self.attributes.get(key)
        if found is None:
            raise self.fail(f"it lacks {key}")
        return found

    @property
    def elements(self) -> list[View]:
        """The elements of a list or tuple, or of an array of objects in one row after another."""
        if self.loader == "NdArrayNode" and self.node["type"] == "json":
            return self._flat(self.node["content"], len(self.node["shape"]["content"]))
        if self.loader not in ("ListNode", "TupleNode"):
            raise self.fail("it is no list")
        return [self._below(each) for each in self.node["content"]]

    def _flat(self, nodes: list[Node], rank: int) -> list[View]:
        if rank <= 1:
            return [self._below(each) for each in nodes]
        if any(each["__loader__"] != "ListNode" for each in nodes):
            raise self.fail("an array of objects is ragged")
        return [found for each in nodes for found in self._flat(each["content"], rank - 1)]

    @property
    def state(self) -> list[View]:
        """The elements of the tuple that is the state of a compiled object."""
        return self._below(self.node.get("content") or {"__loader__": "", **self.node}).elements

    @property
    def content(self) -> View:
        """The one node below."""
        node = self.node.get("content")
        if not isinstance(node, dict) or "__loader__" not in node:
            raise self.fail("it has no state")
        return self._below(node)

    @property
    def is_none(self) -> bool:
        """Whether the value is None."""
        return self.loader == "JsonNode" and self.node["content"] == "null"

    @property
    def is_array(self) -> bool:
        """Whether it is an array of numbers or texts, in a file."""
        return self.loader == "NdArrayNode" and self.node["type"] == "numpy"

    def plain(self) -> Any:
        """Return a value of JSON, or a number of NumPy."""
        if self.loader == "JsonNode":
            try:
                return json.loads(self.node["content"])
            except (ValueError, RecursionError) as error:
                raise self.fail("a value is not JSON") from error
        if self.is_array:
            array = self.array()
            if array.ndim == 0:
                return array.item()
        raise self.fail("a value is no number or text")

    def integer(self) -> int:
        """Return a whole number."""
        value = self.plain()
        if type(value) is not int:
            raise self.fail("a value is no whole number")
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array in a file, or of a sparse matrix, without reading the data."""
        if self.is_array:
            return self.archive.header(self.node["file"]).shape
        if self.loader == "SparseMatrixNode":
            shape = self.archive.inner(self.node["file"]).array("shape.npy")
            return tuple(int(each) for each in shape.ravel())
        raise self.fail("a value is no array")

    @property
    def dtype(self) -> Any:
        """The element type of an array in a file."""
        self.require(self.is_array, "a value is no array")
        return self.archive.header(self.node["file"]).dtype

    def array(self) -> Any:
        """Return an array in a file."""
        self.require(self.is_array, "a value is no array")
        return self.archive.array(self.node["file"])
