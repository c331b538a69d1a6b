"""skops files made canonical: equal objects become equal bytes, in any process.

skops writes memory addresses as ids and file names, and the time.  Here ids are numbers in the order of the tree, files
are named by order and kept once for each content, sets are sorted, dates are fixed, and the version of skops is a
constant (the record has the real one).  Whether two equal texts, numbers or tuples are one object depends on accidents,
so these never share an id; lists, dictionaries, arrays and objects do, because a change of one is seen in the other.

`skops.io.load` reads the result as any other file of skops.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from blake3 import blake3

from artfs.registry.serializers.errors import UnserializableError
from artfs.registry.serializers.estimators.archive import Archive, ArchiveWriter, canonical_matrix
from artfs.registry.serializers.estimators.schema import (
    ROOT_KEYS,
    TESTED_PROTOCOLS,
    UNSHARED,
    Node,
    check_node,
    children,
    full_name,
    is_key_type,
    parse_schema,
    place_children,
)
from artfs.registry.serializers.libraries import require

__all__ = ["SCHEMA", "WriteNotes", "write_canonical"]

SCHEMA: Final = "schema.json"
_VERSION: Final = "0"
_LABEL: Final = "the file of skops"
_NAMED_LOADERS: Final = frozenset({"ObjectNode", "TypeNode", "FunctionNode", "ConstructorFromReduceNode"})
_FILES: Final = frozenset({"NdArrayNode", "SparseMatrixNode", "BytesNode", "BytearrayNode"})


@dataclass(frozen=True, slots=True)
class WriteNotes:
    """What was written: the protocol, whether it is canonical, and the top-level packages of all classes in it."""

    protocol: int
    canonical: bool
    packages: frozenset[str]


def write_canonical(source: BinaryIO, target: BinaryIO) -> WriteNotes:
    """Read a file that skops has just written, and write its canonical form.

    A file of a protocol that is not among `TESTED_PROTOCOLS` is copied.  Raises `UnserializableError` for what skops
    would give back changed: dictionaries whose keys are no texts or numbers, and arrays of sequences.
    """
    archive = Archive(source, _LABEL)
    schema = parse_schema(archive.read(SCHEMA), _LABEL)
    protocol = schema.get("protocol")
    if type(protocol) is not int or protocol not in TESTED_PROTOCOLS:
        source.seek(0)
        while block := source.read(1 << 20):
            target.write(block)
        return WriteNotes(protocol if type(protocol) is int else -1, False, frozenset())
    numbering = _Numbering(archive)
    root = numbering.renumbered(check_node(schema, _LABEL, ROOT_KEYS))
    root |= {"protocol": protocol, "_skops_version": _VERSION}
    writer = ArchiveWriter(target)
    for name, old in numbering.files.items():
        writer.write(name, *numbering.content(old))
    text = json.dumps(root, separators=(",", ":")).encode()
    writer.write(SCHEMA, len(text), iter([text]))
    writer.close()
    return WriteNotes(protocol, True, frozenset(numbering.packages))


class _Numbering:
    """One pass over a tree in its order."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._count = 0
        self._shared: dict[int, Node] = {}
        self._digests: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._matrices: dict[str, bytes] = {}
        self.files: dict[str, str] = {}
        """Old names of files by their new ones, in order."""
        self.packages: set[str] = set()

    def renumbered(self, node: Node) -> Node:
        """Return the canonical form of a node and everything below it."""
        check_node(node, _LABEL, ROOT_KEYS)
        old = int(node.get("__id__") or 0)
        if old in self._shared:
            return self._shared[old]
        _refuse_lossy(node)
        _refuse_unimportable(node)
        _forget_addresses(node)
        self.packages.add(node["__module__"].partition(".")[0])
        self._count += 1
        new = {**node, "__id__": self._count}
        loader = node["__loader__"]
        shared = old and loader not in UNSHARED and not _is_scalar(node) and not _is_frozenset(node)
        if shared:
            self._shared[old] = new
        if loader == "SetNode":
            new["content"] = [self.renumbered(each) for each in sorted(node["content"], key=self._fingerprint)]
        elif _is_frozenset(node):
            new["content"] = self.renumbered(self._sorted_frozenset(node["content"]))
        else:
            place_children(new, [self.renumbered(child) for child in children(node)])
        if loader in _FILES and "file" in node:
            new["file"] = self._file(node)
        return new

    def content(self, old: str) -> tuple[int, Iterator[bytes]]:
        """Return the size and the bytes of a file."""
        matrix = self._matrices.get(old)
        if matrix is not None:
            return len(matrix), iter([matrix])
        blocks = self._archive.blocks(old)
        if old.endswith(".npy"):
            header = self._archive.header(old)
            gaps = _gaps(header.dtype)
            if gaps:
                blocks = _without_gaps(blocks, header.offset, header.dtype.itemsize, gaps)
        return self._archive.size(old), blocks

    def _file(self, node: Node) -> str:
        digest = self._digest(node)
        name = self._names.get(digest)
        if name is None:
            extension = node["file"].rpartition(".")[2]
            name = self._names[digest] = f"{len(self._names)}.{extension}"
            self.files[name] = node["file"]
        return name

    def _digest(self, node: Node) -> str:
        old = node["file"]
        if old not in self._digests:
            if node["__loader__"] == "SparseMatrixNode":
                self._matrices[old] = canonical_matrix(self._archive.read(old), _LABEL)
            hasher = blake3(old.rpartition(".")[2].encode() + b"\0")
            for block in self.content(old)[1]:
                hasher.update(block)
            self._digests[old] = hasher.hexdigest()
        return self._digests[old]

    def _fingerprint(self, node: Node) -> str:
        """Return a text that is equal for equal values, by which the elements of a set are sorted."""
        check_node(node, _LABEL)
        own = {key: value for key, value in node.items() if key not in ("__id__", "file", "content")}
        if "file" in node:
            own["file"] = self._digest(node)
        elif isinstance(node.get("content"), str):
            own["content"] = node["content"]
        if _is_frozenset(node):
            node = {**node, "content": self._sorted_frozenset(node["content"])}
        below = [self._fingerprint(child) for child in children(node)]
        return json.dumps([own, below], sort_keys=True, default=str)

    def _sorted_frozenset(self, arguments: Node) -> Node:
        """Return the arguments of a frozenset, a tuple with one list, with the list sorted."""
        (elements,) = arguments["content"]
        return {
            **arguments,
            "content": [{**elements, "content": sorted(elements["content"], key=self._fingerprint)}],
        }


def _forget_addresses(node: Node) -> None:
    """Replace an attribute that is an address: vectorisers keep that of the stop words that they have compared."""
    if node["__loader__"] == "ObjectNode" and node["__module__"] == "sklearn.feature_extraction.text":
        address = node["content"]["content"].get("_stop_words_id")
        if address is not None and address["__loader__"] == "JsonNode":
            address["content"] = "null"


def _refuse_unimportable(node: Node) -> None:
    """Refuse what a fresh process cannot find by module and name: lambdas, classes in functions, in __main__."""
    if node["__loader__"] in _NAMED_LOADERS:
        module, name = node["__module__"], node["__class__"]
        found = getattr(sys.modules.get(module), name, None)
        if module in ("__main__", "__mp_main__") or found is None or getattr(found, "__qualname__", name) != name:
            raise UnserializableError(f"a fresh process cannot import {module}.{name}")


def _is_scalar(node: Node) -> bool:
    return bool(node["__loader__"] == "NdArrayNode" and node["__class__"] != "ndarray")


def _is_frozenset(node: Node) -> bool:
    return node["__loader__"] == "ConstructorFromReduceNode" and full_name(node) == "builtins.frozenset"


def _refuse_lossy(node: Node) -> None:
    """Refuse what skops writes but does not give back: it reads the key False as True, and None not at all."""
    loader = node["__loader__"]
    if loader == "DictNode":
        kinds = [full_name(kind) for kind in node["key_types"]["content"]]
        if len(kinds) != len(node["content"]) or any(not is_key_type(kind) for kind in kinds):
            raise UnserializableError("skops does not keep the keys of a dictionary in it")
    elif loader == "DefaultDictNode":
        kinds = [full_name(kind) for kind in node["content"]["main"]["key_types"]["content"]]
        if any(kind != "builtins.str" for kind in kinds):
            raise UnserializableError("skops does not keep the keys of a dictionary in it")
    elif loader == "NdArrayNode" and node["type"] == "json":
        rank = len(node["shape"]["content"])
        if rank == 0 or not _is_grid(node, rank):
            raise UnserializableError("skops does not keep the shape of an array of objects in it")


def _is_grid(node: Node, rank: int) -> bool:
    """Return whether no element of an array of several dimensions is a sequence, which NumPy would take for more."""
    level = node["content"]
    if rank == 1:
        return True  # skops fills a vector element by element
    for _ in range(rank - 1):
        if any(each["__loader__"] != "ListNode" for each in level):
            return False
        level = [child for each in level for child in each["content"]]
    return all(
        each["__loader__"] not in ("ListNode", "TupleNode", "NdArrayNode", "SetNode") or _is_scalar(each)
        for each in level
    )


def _gaps(dtype: Any) -> list[tuple[int, int]]:
    """Return the ranges of bytes of a structured element that no field covers; C code leaves them as they were."""
    if dtype.names is None:
        return []
    covered = bytearray(dtype.itemsize)
    for field, offset, *_ in dtype.fields.values():
        covered[offset : offset + field.itemsize] = b"\1" * field.itemsize
        for start in range(offset, offset + field.itemsize, field.base.itemsize):  # each in an array of structures
            for begin, end in _gaps(field.base):
                covered[start + begin : start + end] = bytes(end - begin)
    found, end = [], 0
    for is_covered, group in itertools.groupby(covered):
        begin, end = end, end + len(list(group))
        if not is_covered:
            found.append((begin, end))
    return found


def _without_gaps(blocks: Iterator[bytes], offset: int, itemsize: int, gaps: list[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes of an array with zeros in the gaps of its elements."""
    numpy = require("numpy", "an array")
    rest = b""
    for block in blocks:
        data = bytearray(rest + block)
        if offset:
            head, data, offset = bytes(data[:offset]), data[offset:], 0
            yield head
        whole = len(data) - len(data) % itemsize
        elements = numpy.frombuffer(data, dtype=numpy.uint8, count=whole).reshape(-1, itemsize)
        for begin, end in gaps:
            elements[:, begin:end] = 0
        yield elements.tobytes()
        rest = bytes(data[whole:])
    yield rest
