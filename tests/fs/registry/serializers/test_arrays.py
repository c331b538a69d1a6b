"""Arrays come back as they were; a file that would be unpickled, or lies about its shape, is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.arrays import NpySerializer
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from payloads import Store


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(text: str, data: bytes = b"") -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@given(hnp.arrays(hnp.scalar_dtypes() | hnp.array_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    """Element type, shape, order and bytes are the same, and the array can be written to."""
    serializer = NpySerializer()
    if not serializer.accepts(array):
        assert not array.dtype.itemsize or not repr(array.dtype.descr).isascii()
        return
    folder = tmp_path_factory.mktemp("npy")
    serializer.dump(array, folder)
    loaded = serializer.load(folder, ())
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    assert loaded.tobytes() == array.tobytes()
    assert loaded.flags.writeable


def test_fortran_order_is_kept(store: Store) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    loaded = store(array).load()
    assert loaded.flags.f_contiguous and not loaded.flags.c_contiguous
    assert np.array_equal(loaded, array)


def test_objects_are_not_unpickled() -> None:
    with pytest.raises(UntrustedError):
        deserialize(io.BytesIO(npy(np.array([{}, None]), allow_pickle=True)), "npy")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy(np.arange(4))[:-1],
        npy(np.arange(4)) + b"x",
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }", b"x" * 8),
        with_header("{'descr': '<f8', 'fortran_order': False, 'shape': __import__('os'), }"),
        with_header("(" * 60_000),
        b"\x93NUMPY\x09\x00" + npy(np.arange(4))[8:],
    ],
    ids=range(10),
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        deserialize(io.BytesIO(data), "npy")
