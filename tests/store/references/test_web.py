"""Web servers that do not keep to the protocol get errors that name the URI: no hang, no other bytes, no other host."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import ArtfsError, ChangedError, InvalidInputError, NotFoundError, OutsideError
from artstore.ids import content_id
from artstore.records.references import ReferenceRecord
from artstore.references.addresses import PrivateAddressError
from artstore.references.pinning import pin
from artstore.references.reading import Outside
from messages import raises
from servers.answers import ANSWERS, DATA, DRIPS
from servers.hostile import Hostile, answer
from servers.web import Web

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
LIMIT = 10.0
"""Seconds that any of these may take; the time-out is one."""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "1")


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LIMIT


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "blocks", tmp_path / "changed", 1 << 30, 0o600)


def read(outside: Outside, record: ReferenceRecord) -> bytes:
    return b"".join(outside.read(content_id(record.encode()), record, 0, 1 << 40))


def pinned(url: str, size: int = len(DATA)) -> ReferenceRecord:
    return ReferenceRecord(f"{url}/f", size, etag='"a"')


@pytest.mark.parametrize("size", [4611686018427387903, (1 << 53) + 1, 10**19])
def test_a_size_that_cannot_be(size: int) -> None:
    sent = answer("200 OK", Content_Length=size)
    with Hostile(lambda *_: [sent]) as server, raises(OutsideError, names=["/f", f"{size:,}"]):
        pin(f"{server.url}/f", allow_private=True)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 4000, "", "5, 6"])
def test_lengths_that_are_none(length: str) -> None:
    sent = answer("200 OK", Content_Length=length)
    with Hostile(lambda *_: [sent]) as server, raises(OutsideError, names=["/f"]):
        pin(f"{server.url}/f", allow_private=True)


@pytest.mark.parametrize("pieces", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips(pieces: list[bytes], outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no reader waiting."""
    with Hostile(lambda *_: pieces, pause=0.1, forever=True) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        with raises(OutsideError, names=["/f"]):
            read(outside, pinned(server.url))
        with raises(OutsideError, names=["/f"]):
            pin(f"{server.url}/f")


def test_nothing_at_all(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(lambda *_: [b""], pause=0.1, forever=True) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        with raises(OutsideError, names=["/f"]):
            read(outside, pinned(server.url))


@pytest.mark.parametrize("sent", ANSWERS.values(), ids=ANSWERS)
def test_answers_that_are_none(sent: bytes, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader gets an error in one sentence, and the check and pinning of a reference do."""
    with Hostile(lambda *_: [sent]) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        record = pinned(server.url)
        try:
            assert read(outside, record) == DATA[: record.size]
        except ArtfsError as error:
            assert "\n" not in error.message and len(error.message) < 400 and "/f" in error.message
        else:
            pytest.fail("bytes were read")
        for attempt in (lambda: outside.check(content_id(record.encode()), record), lambda: pin(f"{server.url}/f")):
            try:
                attempt()
            except ArtfsError as error:
                assert "\n" not in error.message and len(error.message) < 400


def test_a_body_without_end(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pinned by content is read no further than its size."""
    start = answer("200 OK", Content_Length=None, ETag=None, Transfer_Encoding="chunked")
    with Hostile(lambda *_: [start, b"10000\r\n" + b"x" * 65536 + b"\r\n"], forever=True) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        with raises(ChangedError, names=["/f"]):
            read(outside, ReferenceRecord(f"{server.url}/f", 1000, blake3="0" * 64))


def test_content_that_is_encoded(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never decoded: a small answer does not become a large one."""
    packed = gzip.compress(bytes(10_000_000))
    sent = answer("200 OK", packed, ETag=None, Content_Encoding="gzip")
    with Hostile(lambda method, _: [sent if method == "GET" else sent[: -len(packed)]]) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        (_, record), *_ = pin(f"{server.url}/f").files
        assert record.size == len(packed)


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_a_private_address_must_be_allowed_by_its_reader(
    outside: Outside, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTFS_REFERENCE_ROOTS")
    web.files["/f"] = DATA
    with raises(PrivateAddressError, names=["127.0.0.1"]):
        pin(f"{web.url}/f")
    (_, record), *_ = pin(f"{web.url}/f", allow_private=True).files
    asked = len(web.asked)
    assert read(outside, record) == DATA
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")  # another user
    assert read(outside, record) == DATA  # from the cache
    outside.blocks.shrink(0)
    outside._services.clear()
    with raises(PrivateAddressError, names=["127.0.0.1"]):
        read(outside, record)
    assert len(web.asked) == asked + 1


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/f",
        "http://[fe80::1]/f",
        "http://[::ffff:127.0.0.2]/f",
        "//127.0.0.2/f",
        "http://2130706434/f",
        "http://0x7f.0.0.2/f",
        "http://me:pw@127.0.0.2/f",
    ],
)
@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_redirects_to_private_addresses(
    target: str, status: str, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hostile(lambda *_: [answer(f"{status} Moved", Location=target)]) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        for attempt in (lambda: read(outside, pinned(server.url)), lambda: pin(f"{server.url}/f")):
            with pytest.raises(PrivateAddressError) as refused:
                attempt()
            assert "pw" not in str(refused.value)
        assert {path for _, path in server.asked} == {"/f"}


def test_redirects_within_the_host(outside: Outside, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/g"] = DATA
    with Hostile(lambda *_: [answer("302 Found", Location=f"{web.url}/g#x")]) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        (_, record), *_ = pin(f"{server.url}/f").files
        assert record.uri == f"{server.url}/f" and read(outside, record) == DATA


def test_an_endpoint_that_only_a_record_names(outside: Outside, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets neither a request at a private address nor credentials."""
    monkeypatch.delenv("ARTFS_REFERENCE_ROOTS")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "GOOGLE_SERVICE_ACCOUNT"):
        monkeypatch.setenv(name, "c2VjcmV0")
    private = ReferenceRecord("s3://bucket/k", 5, etag='"a"', endpoint=web.url)
    with pytest.raises(PrivateAddressError):
        read(outside, private)
    for uri in ("gs://bucket/k", "az://bucket/k"):
        record = ReferenceRecord(uri, 5, etag='"a"', endpoint="https://example.com", account="me")
        with raises(OutsideError, names=["https://example.com"]):
            read(outside, record)
    with raises(InvalidInputError, names=["host"]):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://key:pw@host/")
        pin("s3://bucket/k")
    assert web.asked == []


def test_listings_of_what_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = (
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{}</Key><Size>5</Size><ETag>a</ETag>"
        "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
    )
    for key in ("other/evil", "train2/x", "trai"):
        body = listing.format(key).encode()
        with Hostile(
            lambda *_, body=body: [answer("200 OK", body, ETag=None, Content_Type="application/xml")]
        ) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            with raises(OutsideError, names=[f"'{key}'", "s3://bucket/train"]):
                pin("s3://bucket/train/", anonymous=True)


def test_an_object_store_that_drips(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of object stores bounds a request as a whole."""
    monkeypatch.setattr("artstore.objects.clients._SLOWEST", 1 << 24)
    start = answer("206 Partial Content", Content_Length=10000, Content_Range="bytes 0-9999/10000", Last_Modified=DATE)
    with Hostile(lambda *_: [start, b"0"], pause=0.1, forever=True) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        record = ReferenceRecord("s3://b/k", 10000, etag='"a"', endpoint=server.url, region="us-east-1", anonymous=True)
        with raises(OutsideError, names=["s3://b/k"]):
            read(outside, record)


def test_behind_a_proxy(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy may be at a private address, and knows names; what is known here to be private is not asked for."""
    sent = {
        "HEAD": answer("200 OK", Content_Length=len(DATA)),
        "GET": answer("206 Partial Content", DATA, Content_Range=f"bytes 0-9999/{len(DATA)}"),
    }
    with Hostile(lambda method, _: [sent[method]]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        (_, record), *_ = pin("http://data.invalid/f").files
        assert read(outside, record) == DATA
        assert proxy.asked == [("HEAD", "http://data.invalid/f"), ("GET", "http://data.invalid/f")]
        with pytest.raises(PrivateAddressError):
            pin("http://169.254.169.254/f")
        assert len(proxy.asked) == 2


def test_a_proxy_that_drips(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hostile(lambda *_: DRIPS["the body"], pause=0.1, forever=True) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with raises(OutsideError, names=["http://data.invalid/f"]):
            read(outside, pinned("http://data.invalid"))


def test_an_error_that_a_caller_handles_is_no_cause(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed request is tried again, or reported, whatever error its reader was handling."""
    dropped: list[str] = []

    def script(method: str, _: str) -> list[bytes]:
        dropped.append(method)
        return [b""] if len(dropped) % 2 else [answer("200 OK", b"" if method == "HEAD" else DATA)]

    with Hostile(script) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        try:
            raise NotFoundError("handled")
        except NotFoundError:
            assert read(outside, pinned(server.url)) == DATA
        server.script = lambda *_: [b""]
        try:
            raise NotFoundError("handled")
        except NotFoundError:
            with raises(OutsideError, names=["/g"]) as caught:
                read(outside, ReferenceRecord(f"{server.url}/g", 5, etag='"a"'))
            assert type(caught.value) is OutsideError
