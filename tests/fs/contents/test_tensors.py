"""Tensors are listed as their libraries list them; hostile files are one sentence, and nothing of them runs."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from artfs.contents.tensors import Tensor, compare_tensors, tensors_of
from artstore.errors import InvalidInputError

ARRAYS = {"a": np.zeros((3, 4), np.float32), "b.c": np.arange(5, dtype=np.int64), "scalar": np.float64(1)}


def read(data: bytes) -> dict[str, Tensor]:
    return tensors_of(io.BytesIO(data), len(data))


def zipped(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_safetensors() -> None:
    found = read(save({name: np.asarray(each) for name, each in ARRAYS.items()}, {"format": "np"}))
    assert {name: (each.dtype, each.shape, each.bytes) for name, each in found.items()} == {
        "a": ("F32", (3, 4), 48),
        "b.c": ("I64", (5,), 40),
        "scalar": ("F64", (), 8),
    }


def test_npz() -> None:
    found = read(zipped(**ARRAYS))
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        "a": ("<f4", (3, 4)),
        "b.c": ("<i8", (5,)),
        "scalar": ("<f8", ()),
    }


def test_npy() -> None:
    for array in (*ARRAYS.values(), np.zeros(3, [("x", "<i4"), ("y", "S3")]), np.array(["a"])):
        file = io.BytesIO()
        np.save(file, array)
        (found,) = read(file.getvalue()).values()
        assert found.shape == np.shape(array) and found.bytes == np.asarray(array).nbytes


def test_what_differs() -> None:
    old = {"same": np.zeros(2), "value": np.zeros(3), "shape": np.zeros(3), "type": np.zeros(3), "gone": np.zeros(1)}
    new = {**old, "value": np.ones(3), "shape": np.zeros(4), "type": np.zeros(3, np.float32), "come": np.zeros(1)}
    del new["gone"]
    changes = compare_tensors(read(zipped(**old)), read(zipped(**new)))
    assert [(each.name, each.kind) for each in changes] == [
        *(("come", "added"), ("gone", "removed"), ("shape", "shape"), ("type", "dtype"), ("value", "content"))
    ]


def header(value: object) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


def torch_file(canary: Path) -> bytes:
    """Return a zip like PyTorch's, whose pickle would write a file."""

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (canary,)

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Trap()))
        archive.writestr("model/data/0", b"\0" * 16)
    return file.getvalue()


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """Neither in what PyTorch saves, nor in an array of objects; the entries are listed."""
    found = read(torch_file(tmp_path / "canary"))
    assert found["model/data/0"].bytes == 16 and not (tmp_path / "canary").exists()
    objects = io.BytesIO()
    np.save(objects, np.array([print], dtype=object), allow_pickle=True)
    assert read(objects.getvalue())[""].dtype == "|O"


HOSTILE = {
    "empty": b"",
    "text": b"hello, world: this is no tensor",
    "length beyond the file": (1 << 40).to_bytes(8, "little") + b"{}",
    "no object": header([1]),
    "no json": header(b"{nothing"),
    "deep": header(b"[" * 100_000),
    "no offsets": header({"a": {"dtype": "F32", "shape": [1]}}),
    "offsets outside": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 40]}}),
    "offsets reversed": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}),
    "negative shape": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}),
    "many dimensions": header({"a": {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 0]}}),
    "text as shape": header({"a": {"dtype": "F32", "shape": "12", "data_offsets": [0, 0]}}),
    "huge shape": header({"a": {"dtype": "F32", "shape": [1 << 70], "data_offsets": [0, 0]}}),
    "torn zip": b"PK\x03\x04" + b"\0" * 50,
    "npy without a header": b"\x93NUMPY\x01\x00\xff\xff",
    "npy that calls": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('x')    ",
    "npy of another version": b"\x93NUMPY\x09\x00\x02\x00{}",
    "npy of brackets": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str) -> None:
    with pytest.raises(InvalidInputError):
        read(HOSTILE[name])


@given(data=st.data())
def test_flipped_bytes(data: st.DataObject) -> None:
    """A damaged file is a list of tensors or one error, whatever byte is another one."""
    whole = data.draw(st.sampled_from([zipped(**ARRAYS), save({"a": np.zeros(3)}), torch_file(Path("/nowhere"))]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidInputError):
        read(bytes(damaged))


@pytest.mark.parametrize("form", ["npy", "npz", "compressed", "safetensors"])
def test_damage_is_one_kind_of_error(form: str) -> None:
    """Files that are cut short or have other bytes are listed or refused, whatever their library raises."""
    noise = random.Random(7)
    files = {"npz": io.BytesIO(), "compressed": io.BytesIO(), "npy": io.BytesIO()}
    np.save(files["npy"], ARRAYS["a"])
    np.savez(files["npz"], **ARRAYS)  # type: ignore[arg-type]
    np.savez_compressed(files["compressed"], **ARRAYS)  # type: ignore[arg-type]
    data = files[form].getvalue() if form in files else save({"a": ARRAYS["a"], "b": ARRAYS["b.c"]})
    refused = 0
    for attempt in range(1500):
        damaged = bytearray(data[: noise.randrange(len(data))] if attempt % 4 == 0 else data)
        for _ in range(attempt % 4):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        try:
            read(bytes(damaged))
        except InvalidInputError:
            refused += 1
    assert refused > 300
