"""A corpus of hostile payloads: each would run code, take memory, or lead compiled code outside of its arrays.

Those that would run code make the canary, a folder.  `corpus` builds them all, so that the number of refusals can be
counted.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from safetensors.numpy import save as save_tensors
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from hostile_states import X, states
from skops_files import Node, SkopsFile, json_node, node


@dataclass(frozen=True)
class Hostile:
    """A payload, the format that its record names, and further options of the load."""

    name: str
    format: str
    data: bytes
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    """The kind of error that shows that it was refused for what it is; empty if there are several."""


class _Runs:
    def __init__(self, canary: Path) -> None:
        self.path = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def corpus(canary: Path) -> list[Hostile]:
    """Return all payloads; what runs would make *canary*."""
    return [*_pickles(canary), *_arrays(canary), *_tensors(), *_schemas(canary), *_archives(canary), *_broken_states()]


def _pickles(canary: Path) -> Iterator[Hostile]:
    """Pickles, with the name of every format."""
    compressed = io.BytesIO()
    joblib.dump(_Runs(canary), compressed, compress=3)
    text = pickle.dumps(_Runs(canary), protocol=0)
    for name, data in {
        "pickle": pickle.dumps(_Runs(canary)),
        "text-pickle": text,
        "joblib": compressed.getvalue(),
        "zipped-pickle": _zip({"data.pkl": pickle.dumps(_Runs(canary)), "version": b"3"}),
        "zipped-schema-pickle": _zip({"schema.json": pickle.dumps(_Runs(canary))}),
    }.items():
        for form in ("json", "npy", "safetensors", "skops", "cloudpickle"):
            yield Hostile(f"{name} as {form}", form, data)
    for form in ("joblib", "pickle"):
        yield Hostile(f"pickle as {form}", form, pickle.dumps(_Runs(canary)))


def _arrays(canary: Path) -> Iterator[Hostile]:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Runs(canary)], dtype=object), allow_pickle=True)
    yield Hostile("array of objects", "npy", buffer.getvalue())
    records = np.zeros(2, dtype=[("a", "O")])
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=True)
    yield Hostile("array of records with objects", "npy", buffer.getvalue())
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }"
    yield Hostile("array larger than memory", "npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    header = b"{'descr': __import__('os').mkdir('%s'), 'fortran_order': False, 'shape': (), }" % str(canary).encode()
    yield Hostile("array whose header calls", "npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    archive = _zip({"a.npy": buffer.getvalue()})
    yield Hostile("archive of arrays", "npy", archive)


def _tensors() -> Iterator[Hostile]:
    weights = {"w": X}
    yield Hostile("tensors cut short", "safetensors", save_tensors(weights)[:-1])
    yield Hostile("header longer than the file", "safetensors", b"\xff" * 7 + b"\x7f{}")
    for name, document in {
        "unknown container": {"kind": "tree", "tree": {"os.system": [["numpy", "w"]]}},
        "unknown kind": {"kind": "tree", "tree": ["subprocess", "w"]},
        "no such tensor": {"kind": "tree", "tree": ["numpy", "../w"]},
    }.items():
        yield Hostile(
            f"tensors: {name}", "safetensors", save_tensors(weights, metadata={"artfs": json.dumps(document)})
        )


# -- schemas of skops --------------------------------------------------------------------------------------------------


def _tuple(*values: Node) -> Node:
    return node("TupleNode", "builtins.tuple", content=list(values))


def _model(extra: Node) -> bytes:
    """Return a file of a sound model with one attribute that is hostile."""
    return SkopsFile(MinMaxScaler().fit(X)).set("MinMaxScaler", "extra_", extra).data()


_NOT_NAMED = (
    *("an unknown loader", "a cached object", "a bit generator that calls", "seeds without end"),
    *("a factory that calls", "a key of a class of ours"),
)


_EMPTY: Node = node("DictNode", "builtins.dict", content={}, key_types=node("ListNode", "builtins.list", content=[]))


def _calls(canary: Path) -> dict[str, Node]:
    """Return what would call something when it is built."""
    path = json_node(str(canary))
    mkdir = node("FunctionNode", "os.mkdir")
    posix = node("TypeNode", "posix.mkdir")
    return {
        "a function": mkdir,
        "a built-in function as a type": posix,
        "a call": node("ConstructorFromReduceNode", "os.mkdir", content=_tuple(path)),
        "a call of a class of ours": node("ConstructorFromReduceNode", "sklearn.svm._classes.SVC", content=_tuple()),
        "a partial": node(
            "PartialNode",
            "functools.partial",
            content={"func": mkdir, "args": _tuple(path), "kwds": _EMPTY, "namespace": _EMPTY},
        ),
        "a bound method": node(
            "MethodNode",
            "sklearn.linear_model._base.LinearRegression",
            content={"func": "fit", "obj": SkopsFile().graft(LinearRegression())},
        ),
        "a method caller": node("OperatorFuncNode", "operator.methodcaller", attrs=_tuple(json_node("mkdir"), path)),
        "a key that calls": node(
            "DictNode",
            "builtins.dict",
            content={str(canary): json_node(1)},
            key_types=node("ListNode", "builtins.list", content=[posix]),
        ),
        "a key of a class of ours": node(
            "DictNode",
            "builtins.dict",
            content={"a": json_node(1)},
            key_types=node("ListNode", "builtins.list", content=[node("TypeNode", "sklearn.svm._classes.SVC")]),
        ),
    }


def _containers(canary: Path) -> dict[str, Node]:
    """Return containers and objects of classes that are none of ours."""
    path = json_node(str(canary))
    mkdir = node("FunctionNode", "os.mkdir")
    return {
        "a list that calls": node("ListNode", "posix.mkdir", content=[path]),
        "a set that calls": node("SetNode", "subprocess.Popen", content=[path]),
        "a dictionary that calls": node(
            "DictNode", "posix.abort", content={}, key_types=node("ListNode", "builtins.list", content=[])
        ),
        "a tuple of a foreign class": node("TupleNode", "os.terminal_size", content=[json_node(1), json_node(2)]),
        "a factory that calls": node(
            "DefaultDictNode", "collections.defaultdict", content={"main": _EMPTY, "default_factory": mkdir}
        ),
        "a foreign object": node("ObjectNode", "subprocess.Popen", content=_EMPTY),
        "an object of a built-in class": node("ObjectNode", "builtins.object"),
        "a function as an object": node("ObjectNode", "os.mkdir", content=path),
        "a loss that calls": {**node("LossNode", "posix.mkdir", content=_EMPTY), "__reduce__": {"args": _tuple(path)}},
        "a loss of a foreign class": {
            **node("LossNode", "sklearn.svm._classes.SVC", content=_EMPTY),
            "__reduce__": {"args": _tuple()},
        },
        "a number that calls": {**SkopsFile().graft(np.float64(1)), "__module__": "posix", "__class__": "mkdir"},
    }


def _functions(canary: Path) -> dict[str, Node]:
    """Return functions that would load or import, and loaders that are none."""
    return {
        "a nested load": node("FunctionNode", "skops.io._persist.load"),
        "a nested load by joblib": node("FunctionNode", "joblib.numpy_pickle.load"),
        "a nested load by NumPy": node("FunctionNode", "numpy.load"),
        "a nested load by pandas": node("FunctionNode", "pandas.read_pickle"),
        "an import": node("FunctionNode", "importlib.import_module"),
        "eval": node("TypeNode", "builtins.eval"),
        "an unknown loader": node("EvalNode", "builtins.eval", content="1"),
        "a cached object": node("CachedNode", "builtins.dict"),
        "the forest of another package": {
            **node("QuantileForestNode", "builtins.dict", content=_EMPTY),
            "__reduce__": {"args": _tuple()},
        },
        "a private function": node("FunctionNode", "numpy._core._multiarray_umath._reconstruct"),
        "a name with dots": node("FunctionNode", "numpy.lib._npyio_impl.load"),
        "a bit generator that calls": node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": SkopsFile().graft({"bit_generator": "seed"}), "seed_seq": _EMPTY},
        ),
        "seeds without end": node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={
                "bit_generator": SkopsFile().graft(np.random.PCG64(0).state),
                "seed_seq": SkopsFile().graft({"entropy": 1, "pool_size": 10**12}),
            },
        ),
    }


def _schemas(canary: Path) -> Iterator[Hostile]:
    hostile = {**_calls(canary), **_containers(canary), **_functions(canary)}
    for name, extra in hostile.items():
        data = _number_file(extra) if name == "a number that calls" else _model(extra)
        yield Hostile(f"schema: {name}", "skops", data, kind="" if name in _NOT_NAMED else "untrusted")
    yield from _roots(canary)
    yield from _attributes(canary)


def _number_file(extra: Node) -> bytes:
    file = SkopsFile(MinMaxScaler().fit(X))
    number = file.graft(np.float64(1))
    return file.set(
        "MinMaxScaler", "extra_", {**number, "__module__": extra["__module__"], "__class__": extra["__class__"]}
    ).data()


def _roots(canary: Path) -> Iterator[Hostile]:
    def changed(change: Callable[[SkopsFile], Any]) -> bytes:
        file = SkopsFile(MinMaxScaler().fit(X))
        change(file)
        return file.data()

    def trusts(file: SkopsFile) -> None:
        file.schema["trusted"] = ["os.mkdir", "posix.mkdir"]
        file.files["trusted_types.json"] = b'["os.mkdir"]'
        file.set("MinMaxScaler", "extra_", node("FunctionNode", "os.mkdir"))

    def twice(file: SkopsFile) -> None:
        first = file.attribute("MinMaxScaler", "data_min_")
        other = file.graft(np.zeros(4))
        file.set("MinMaxScaler", "scale_", {**other, "__id__": first["__id__"]})

    for protocol in (0, 1, 3, -1, True, "2", None, 2.0):
        yield Hostile(
            f"schema: protocol {protocol!r}",
            "skops",
            changed(lambda file, protocol=protocol: file.schema.update(protocol=protocol)),
            {"format_version": "2"},
        )
    old = node("FunctionNode", "numpy.exp", content={"module_path": "os", "function": "mkdir"})
    for protocol in (0, 1):
        file = SkopsFile(MinMaxScaler().fit(X)).set("MinMaxScaler", "extra_", old)
        file.schema["protocol"] = protocol
        yield Hostile(f"schema: the loader of protocol {protocol}", "skops", file.data())
    yield Hostile("schema: a list of trusted types next to it", "skops", changed(trusts))
    yield Hostile("schema: two objects with one id", "skops", changed(twice))
    yield Hostile("schema: not an object", "skops", _zip({"schema.json": b"[]"}))
    yield Hostile("schema: none", "skops", _zip({"other.json": b"{}"}))
    yield Hostile("schema: nested without end", "skops", _zip({"schema.json": b"[" * 10**6}))
    text = json.dumps(SkopsFile(MinMaxScaler()).schema)
    own = '"__class__": "MinMaxScaler"'
    twice_named = text.replace(own, f'"__class__": "Popen", {own}').encode()
    yield Hostile("schema: a key twice", "skops", _zip({"schema.json": twice_named}))
    deep: Node = json_node(1)
    for _ in range(300):
        deep = node("ListNode", "builtins.list", content=[deep])
        deep.pop("__id__")
    yield Hostile("schema: objects nested too deeply", "skops", _model(deep))


def _attributes(canary: Path) -> Iterator[Hostile]:
    """Sound classes whose state would make them do something else."""
    pipeline = Pipeline([("a", MinMaxScaler())]).fit(X)
    pipeline.memory = str(canary)
    yield Hostile("state: a folder of pickles", "skops", SkopsFile(pipeline).data(), kind="untrusted")
    for key in ("transform", "__class__", "__reduce__", "_repr_html_", "_doc_link_template", "get_params"):
        file = SkopsFile(MinMaxScaler().fit(X)).set("MinMaxScaler", key, json_node("<script>"))
        yield Hostile(f"state: a replaced {key}", "skops", file.data(), kind="untrusted")


# -- zip files ---------------------------------------------------------------------------------------------------------


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def _twice(members: dict[str, bytes]) -> bytes:
    """Return a file whose directory has one name twice."""
    first, second = sorted(members)[:2]
    while len(first) != len(second):
        members = {**members, "x" * len(first): b""}
        second = "x" * len(first)
    return _zip(members).replace(second.encode(), first.encode())


def _archives(canary: Path) -> Iterator[Hostile]:
    sound = SkopsFile(MinMaxScaler().fit(X))
    members = {**sound.files, "schema.json": json.dumps(sound.schema).encode()}
    data = sound.data()
    yield Hostile("zip: a bomb", "skops", _zip({**members, "0.npy": bytes(10**8)}, zipfile.ZIP_DEFLATED))
    for name in ("../0.npy", "/etc/passwd", "a/b.npy", "a\\b.npy", "..", "\u202e.npy", "a" * 200):
        yield Hostile(f"zip: a member {name[:20]!r}", "skops", _zip({**members, name: b""}))
    yield Hostile("zip: truncated", "skops", data[:-30])
    yield Hostile("zip: nothing", "skops", b"")
    yield Hostile("zip: two members of one name", "skops", _twice(members))
    big = next(iter(sound.files)).encode()
    place = data.rindex(b"PK\x01\x02")
    yield Hostile(
        "zip: a size that the file cannot hold",
        "skops",
        data[: place + 20] + b"\xff\xff\xff\x7f" * 2 + data[place + 28 :],
    )
    yield Hostile("zip: an encrypted member", "skops", data[: place + 8] + b"\x01\x00" + data[place + 10 :])
    first = data.index(b"PK\x01\x02")
    lowest = data[first + 42 : first + 46]
    overlapping = bytearray(data)
    start = first
    while overlapping[start : start + 4] == b"PK\x01\x02":
        overlapping[start + 42 : start + 46] = lowest
        lengths = struct.unpack("<3H", overlapping[start + 28 : start + 34])
        start += 46 + sum(lengths)
    yield Hostile("zip: members in one place", "skops", bytes(overlapping))
    lacking = {name: content for name, content in members.items() if name.encode() != big}
    yield Hostile("zip: a member is missing", "skops", _zip(lacking))
    objects = io.BytesIO()
    np.save(objects, np.array([_Runs(canary)], dtype=object), allow_pickle=True)
    yield Hostile("zip: an array of objects", "skops", _zip({**members, big.decode(): objects.getvalue()}))
    yield Hostile("zip: a pickle for an array", "skops", _zip({**members, big.decode(): pickle.dumps(_Runs(canary))}))


def _broken_states() -> Iterator[Hostile]:
    for name, file in states():
        yield Hostile(f"state: {name}", "skops", file.data(), kind="malformed_payload")
