"""A version is proved only if each name, size, kind and id in it is what its digest was made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.ids import content_id
from artstore.records.nodes import decode_chunk, encode_chunk
from artstore.workspace import Workspace
from forgery import claim_digest, claim_id, forge_node, node_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "sub" / "deep").mkdir(parents=True)
    (made / "many").mkdir()
    for number in range(600):
        (made / "many" / f"{number:03d}").touch()
    (made / "sub" / "deep" / "file").write_bytes(b"content")
    (made / "a-link").symlink_to("sub/deep/file")
    (tmp_path / "outside").write_bytes(b"outside")
    return made


def test_versions_of_every_kind_are_proved(lived: Workspace) -> None:
    versions = [version for artifact in lived.artifacts() for version in lived.versions(artifact.name)]
    assert len(versions) == 3
    assert all(version.is_proved() for version in versions)


def test_no_claim_is_proved(workspace: Workspace, folder: Path) -> None:
    """Each claim is in a version of its own, which was proved before."""
    other = content_id(b"other")

    def shorter(name: str) -> None:
        node = node_of(workspace, f"{name}:v0", b"a-link")
        forge_node(workspace, node, lambda payload: encode_chunk(decode_chunk(payload)._replace(id=content_id(b"x"))))

    def renamed(name: str) -> None:
        node = node_of(workspace, f"{name}:v0", b"sub/deep")
        forge_node(workspace, node, lambda payload: payload.replace(b"file", b"life"))

    claims = {
        "digest": lambda name: claim_digest(workspace, f"{name}:v0", other),
        "file": lambda name: claim_id(workspace, f"{name}:v0", b"sub/deep/file", other),
        "record-of-many": lambda name: claim_id(workspace, f"{name}:v0", b"many/300", other),
        "link": shorter,
        "name": renamed,
    }
    for name, claim in claims.items():
        (folder / "sub" / "deep" / "file").write_bytes(b"content of " + name.encode())
        (folder / "many" / "300").write_bytes(b"one of many in " + name.encode())
        (folder / "a-link").unlink()
        os.symlink(f"sub/deep/./{'./' * list(claims).index(name)}file", folder / "a-link")
        assert workspace.put(folder, name).is_proved(), name
        claim(name)
        assert not workspace.version(f"{name}:v0").is_proved(), name


def test_a_reference_is_proved_by_its_record(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    """Its content is the record, which is hashed: the file outside has a pin of its own."""
    version = workspace.refer(str(tmp_path / "outside"), "d")
    assert version.is_proved()
    (info,) = version.listdir()
    (tmp_path / "outside").write_bytes(b"another")
    foreign = workspace.refer(str(tmp_path / "outside"), "e")
    assert foreign.is_proved()
    node = node_of(workspace, "e:v0", info.name.encode())
    ident = bytes.fromhex(info.digest)
    forge_node(workspace, node, lambda payload: encode_chunk(decode_chunk(payload)._replace(id=ident)))
    claim_digest(workspace, "e:v0", bytes.fromhex(version.digest))
    assert not workspace.version("e:v0").is_proved()
