"""What a push manifest may say."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.manifests import AddedPack, PushManifest, decode_manifest, encode_manifest
from artstore.remotes.packs.places import PACK_LENGTH, Place
from store.remotes.packs.pack_codecs import SAMPLE_PACK, digest, packs

WHERE = FormPlace(digest(9), 60, Place(SAMPLE_PACK, 100, 70))


def added(*lengths: int) -> tuple[AddedPack, ...]:
    return tuple(AddedPack(pack, length, digest(1)) for pack, length in zip(packs(len(lengths)), lengths, strict=True))


def test_it_comes_back() -> None:
    manifest = PushManifest(added(100, PACK_LENGTH, 5000), WHERE, 12)
    assert decode_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    "manifest",
    [
        PushManifest(added(0), WHERE, 1),
        PushManifest(added(PACK_LENGTH + 1), WHERE, 1),
        PushManifest(added(1, 2)[::-1], WHERE, 1),
        PushManifest(added(1) * 2, WHERE, 1),
        PushManifest((), WHERE._replace(size=0), 1),
        PushManifest((), WHERE._replace(hash=b""), 1),
        PushManifest((), WHERE._replace(place=Place(SAMPLE_PACK, PACK_LENGTH, 1)), 1),
    ],
)
def test_the_writer_refuses_what_the_reader_refuses(manifest: PushManifest) -> None:
    with pytest.raises(DamageError):
        encode_manifest(manifest)
