"""Files of skops, taken apart and put together with other content."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import skops.io

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.estimators.canonical import write_canonical

Node = dict[str, Any]
_ids = itertools.count(10**9)


def node(loader: str, name: str, **rest: Any) -> Node:
    """Return a node with an id of its own."""
    module, _, cls = name.rpartition(".")
    return {
        "__loader__": loader,
        "__module__": module,
        "__class__": cls,
        "__id__": next(_ids),
        **rest,
    }


def json_node(value: Any) -> Node:
    """Return the node of a plain value."""
    return {
        "__loader__": "JsonNode",
        "__module__": "builtins",
        "__class__": "str",
        "__id__": next(_ids),
        "content": json.dumps(value),
        "is_json": True,
    }


class SkopsFile:
    """The schema and the other members of a file, to be changed."""

    def __init__(self, obj: Any = None) -> None:
        """Take the canonical file of *obj* apart."""
        target = io.BytesIO()
        write_canonical(io.BytesIO(skops.io.dumps(obj)), target)
        with zipfile.ZipFile(target) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
            self.schema: Node = json.loads(archive.read("schema.json"))

    def nodes(self) -> Iterator[Node]:
        """Yield every node, parents first."""
        stack: list[Any] = [self.schema]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                if "__loader__" in value:
                    yield value
                stack.extend(reversed(list(value.values())))
            elif isinstance(value, list):
                stack.extend(reversed(value))

    def find(self, name: str) -> Node:
        """Return the first node of a class."""
        return next(node for node in self.nodes() if node["__class__"] == name)

    def attribute(self, owner: str, key: str) -> Node:
        """Return an attribute of the first object of a class."""
        state = self.find(owner)["content"]
        return state["content"][key]  # type: ignore[no-any-return]

    def set(self, owner: str, key: str, value: Any) -> SkopsFile:
        """Replace an attribute by what skops writes for a value, or by a node."""
        node = value if isinstance(value, dict) and "__loader__" in value else self.graft(value)
        self.find(owner)["content"]["content"][key] = node
        keys = self.find(owner)["content"]["key_types"]["content"]
        while len(keys) < len(self.find(owner)["content"]["content"]):
            keys.append({"__loader__": "TypeNode", "__class__": "str", "__module__": "builtins"})
        return self

    def graft(self, value: Any) -> Node:
        """Return the node of a value, whose files become members."""
        other = SkopsFile(value)
        for node in other.nodes():
            if "__id__" in node:
                node["__id__"] += 7 << 60
            if "file" in node:
                name = f"g{len(self.files)}.{node['file'].rpartition('.')[2]}"
                self.files[name] = other.files[node["file"]]
                node["file"] = name
        return {key: value for key, value in other.schema.items() if key not in ("protocol", "_skops_version")}

    def change_array(self, node: Node, change: Callable[[np.ndarray], np.ndarray | None]) -> SkopsFile:
        """Replace the array of a node by what *change* makes of it, in place or as a result."""
        array = np.load(io.BytesIO(self.files[node["file"]]))
        result = change(array)
        buffer = io.BytesIO()
        np.save(buffer, array if result is None else result)
        name = f"c{len(self.files)}.npy"
        self.files[name] = buffer.getvalue()
        for each in self.nodes():
            if each.get("__id__") == node.get("__id__"):
                each["file"] = name
        return self

    def data(self) -> bytes:
        """Return the file."""
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
            archive.writestr("schema.json", json.dumps(self.schema))
        return target.getvalue()


def loads(obj: Any) -> Any:
    """Store an object, and return what is loaded."""
    return deserialize(io.BytesIO(SkopsFile(obj).data()), "skops")
