"""The object that makes a prefix a remote: read strictly, made once, and never over other objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from artstore.errors import DamageError, RefusedError, UnsupportedError
from artstore.remotes.identity import IDENTITY, RemoteIdentity, create_identity, read_identity, refuse_foreign
from messages import raises
from store.objects.model_store import Bucket, ModelStore

VALUES = {
    "format": 1,
    "uuid": "01234567-89ab-cdef-0123-456789abcdef",
    "writer": 1,
    "created": "2026-11-30T19:00:00Z",
    "probe": {"verdict": "writable"},
}


def of(**changes: Any) -> bytes:
    return json.dumps({**VALUES, **changes}).encode()


def test_the_form_is_frozen() -> None:
    """What was written is read for ever, and keys of later releases are passed over."""
    identity = RemoteIdentity.decode(of(), "s3://b")
    assert identity.uuid.hex() == "0123456789abcdef0123456789abcdef"
    assert RemoteIdentity.decode(identity.encode(), "s3://b") == identity
    assert json.loads(identity.encode()) == VALUES
    assert RemoteIdentity.decode(of(more=1), "s3://b") == identity


@pytest.mark.parametrize("number", [2, 7, 1 << 40])
def test_another_format_is_refused_by_number(number: int) -> None:
    """Even if nothing else in it is known."""
    for data in (of(format=number), json.dumps({"format": number}).encode()):
        with raises(UnsupportedError, names=["s3://b", str(number), "format 1"]):
            RemoteIdentity.decode(data, "s3://b")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"null", b"[]", b"{}", b"[" * 5000, bytes(range(256)), b" " * (1 << 17)),
        *(of(format=0), of(format=True), of(format="1"), of(writer=0), of(uuid="x"), of(uuid=5), of(created=1)),
        *(of(probe=[]), of(uuid=VALUES["uuid"].upper()), of(writer=None)),  # type: ignore[attr-defined]
    ],
    ids=range(17),
)
def test_what_is_no_identity_is_damage(data: bytes) -> None:
    with raises(DamageError, names=[IDENTITY, "s3://b"]):
        RemoteIdentity.decode(data, "s3://b")


def test_two_that_make_a_remote_at_once_have_one() -> None:
    """The second one takes what the first one made, whatever the store answers."""
    bucket = Bucket()
    store = ModelStore(bucket)
    assert read_identity(store) is None
    first = create_identity(store, "2026-11-30T19:00:00Z", {})
    second = create_identity(ModelStore(bucket), "2026-11-30T19:00:01Z", {})
    assert first == second == read_identity(store)
    assert list(bucket.objects) == [IDENTITY]


def test_a_prefix_with_other_objects_is_refused() -> None:
    """What a killed probe left does not count."""
    bucket = Bucket()
    bucket.put_new("probe/0011/0000", b"left")
    refuse_foreign(ModelStore(bucket))
    bucket.put_new("z/other", b"other")
    with raises(RefusedError, names=["z/other", "model://bucket"]):
        refuse_foreign(ModelStore(bucket))
