"""Zip files are the same bytes for the same members, and none is read that claims what it is not."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from scipy import sparse

from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.estimators.archive import Archive, ArchiveWriter, canonical_matrix


def written(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    writer = ArchiveWriter(target)
    for name, content in members.items():
        writer.write(name, len(content), iter([content]))
    writer.close()
    return target.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


MEMBERS = {"0.npy": npy(np.arange(5)), "schema.json": b"{}", "empty": b""}


def test_members_come_back() -> None:
    data = written(MEMBERS)
    assert data == written(MEMBERS)
    archive = Archive(io.BytesIO(data), "x")
    assert {name: archive.read(name) for name in archive} == MEMBERS
    assert b"".join(archive.blocks("0.npy")) == MEMBERS["0.npy"]
    assert "0.npy" in archive and "1.npy" not in archive
    assert archive.header("0.npy").shape == (5,)
    assert archive.array("0.npy").tolist() == [0, 1, 2, 3, 4]
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    with pytest.raises(MalformedPayloadError):
        archive.read("1.npy")


def test_any_change_of_a_byte_is_found_or_harmless() -> None:
    """Flipping any bit is refused as malformed, or the members are read as they were."""
    data = written(MEMBERS)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x41
        try:
            archive = Archive(io.BytesIO(bytes(changed)), "x")
            read = {name: archive.read(name) for name in archive}
        except MalformedPayloadError:
            continue
        assert set(read.values()) <= set(MEMBERS.values())


def test_matrices_are_the_same_bytes_whatever_compressed_them() -> None:
    matrix = sparse.csr_matrix(np.eye(4))
    files = []
    for compressed in (True, False):
        buffer = io.BytesIO()
        sparse.save_npz(buffer, matrix, compressed=compressed)
        files.append(canonical_matrix(buffer.getvalue(), "x"))
    assert files[0] == files[1]
    assert (sparse.load_npz(io.BytesIO(files[0])) != matrix).nnz == 0
    with pytest.raises(MalformedPayloadError):
        canonical_matrix(b"x", "x")
