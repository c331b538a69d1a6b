"""URIs lead to places, or are refused in one sentence that says why."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidInputError
from artstore.objects.locations import Location, is_outside, parse_location
from messages import raises


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/a/b c#1?.bin", Location("s3", "bucket", "a/b c#1?.bin")),
        ("S3://bucket/train/", Location("s3", "bucket", "train/")),
        ("s3://bucket", Location("s3", "bucket", "")),
        ("s3://bucket/k?versionId=x.1", Location("s3", "bucket", "k", version="x.1")),
        ("gs://bucket/k#1699", Location("gs", "bucket", "k", version="1699")),
        ("gs://bucket/k#not", Location("gs", "bucket", "k#not")),
        ("az://box/k", Location("az", "box", "k")),
        ("azure://box/k/", Location("az", "box", "k/")),
        ("https://me.blob.core.windows.net/box/a%20b", Location("az", "box", "a b", "me")),
        ("https://host:8/a%20b?x=1", Location("https", "https://host:8", "a%20b?x=1")),
        ("file:///tmp/a%20b", Location("file", "", "/tmp/a b")),
        ("file://localhost/tmp", Location("file", "", "/tmp")),
        ("/tmp/../etc/x", Location("file", "", "/etc/x")),
        ("/tmp/folder/", Location("file", "", "/tmp/folder/")),
    ],
)
def test_what_is_meant(text: str, place: Location) -> None:
    assert parse_location(text) == place
    assert is_outside(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bucket/key", "unsupported URI"),
        ("ftp://host/file", "unsupported URI"),
        ("s3:///key", "no bucket"),
        ("s3://bucket/a//b", "empty name in a key"),
        ("s3://bucket/a/../b", "empty name in a key"),
        ("gs://", "no bucket"),
        ("file://other/tmp/x", "another machine"),
        ("https:///x", "no host"),
        ("https://me:secret@host/x", "password in an address"),
        ("https://host/x?X-Amz-Signature=abc", "secret in an address"),
        ("https://me.blob.core.windows.net/box/k?sig=abc", "secret in an address"),
        ("s3://key:secret@bucket/k", "password in an address"),
        ("s3://bucket/k?X-Amz-Signature=abc", "secret in an address"),
        ("http://host/f?access_token=abc", "secret in an address"),
        ("http://host/f?x=AKIAIOSFODNN7EXAMPLE&y=abc", "secret in an address"),
        ("ftp://me:secret@host/f?token=abc", "unsupported URI"),
        ("file://me:secret@host/f?token=abc", "another machine"),
        ("https://me.blob.core.windows.net/", "no container"),
        ("s3://bucket/a\nb", "control character"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with raises(InvalidInputError, reason=reason) as refused:
        parse_location(text, allow_query=False)
    assert "secret@" not in str(refused.value) and "abc" not in str(refused.value)


@pytest.mark.parametrize("uri", ["http://host/f?token=abc", "s3://bucket/k?sig=abc"])
def test_a_query_that_is_allowed(uri: str) -> None:
    location = parse_location(uri)
    assert location.uri() == uri and "abc" not in location.shown()


def test_uris_of_files_lead_back() -> None:
    for path in ("/a b/c%41", "/ä/\udcff"):
        assert parse_location(parse_location(path).uri()).key == path
