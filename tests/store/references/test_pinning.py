"""Pinning a URI pins all objects below it in their current state, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blake3 import blake3

from artstore.errors import InvalidInputError, NotFoundError, OutsideError, SourceError
from artstore.references.pinning import Pinned, pin
from artstore.references.services import DeniedError
from messages import raises
from servers.azure import Azure
from servers.s3 import S3
from servers.web import Web


def paths(pinned: Pinned) -> list[str]:
    return [os.fsdecode(path) for path, _ in pinned.files]


# -- S3 ----------------------------------------------------------------------------------------------------------------


def test_an_object(every_s3: S3) -> None:
    every_s3.put("a/b c#1?é.bin", b"hello")
    pinned = pin(every_s3.uri("a/b c#1?é.bin"))
    assert pinned.is_single and pinned.name == "b c#1?é.bin".encode()
    record = pinned.files[0][1]
    assert (record.size, record.endpoint, record.region) == (5, every_s3.endpoint, "us-east-1")
    assert record.etag and record.version is None and not record.anonymous
    assert b"secret" not in record.encode() and b"key-of" not in record.encode()


def test_all_that_lies_below_a_prefix_and_nothing_beside(every_s3: S3) -> None:
    for key in ("train/", "train/a", "train/sub/b", "train/zero", "train/empty/", "train2/x", "train.txt"):
        every_s3.put(key, b"" if key.endswith(("/", "zero")) else key.encode())
    for uri in (every_s3.uri("train/"), every_s3.uri("train")):
        pinned = pin(uri)
        assert paths(pinned) == ["a", "sub/b", "zero"]
        assert [record.size for _, record in pinned.files] == [7, 11, 0]
        assert pinned.folders == [b"empty"] and pinned.name == b"train"


def test_a_whole_bucket(s3: S3) -> None:
    s3.put("a", b"1")
    s3.put("b/c", b"2")
    assert paths(pin(s3.uri())) == paths(pin(f"s3://{s3.bucket}")) == ["a", "b/c"]


def test_more_than_a_listing_holds(s3: S3) -> None:
    client = s3.client()
    for number in range(1234):
        client.put_object(Bucket=s3.bucket, Key=f"many/{number:05}", Body=b"")
    client.put_object(Bucket=s3.bucket, Key="many/last", Body=b"x")
    seen: list[int] = []
    pinned = pin(s3.uri("many"), report=lambda files, size, name: seen.append(files))
    assert len(pinned.files) == seen[-1] == 1235


def test_versions_of_a_bucket_that_keeps_them(moto: S3, s3: S3) -> None:
    versioned = moto.in_new_bucket(versioned=True)
    versioned.put("d/a", b"one")
    versioned.put("d/b", b"two")
    pinned = pin(versioned.uri("d/"))
    assert all(record.version for _, record in pinned.files)
    (_, first), *_ = pinned.files
    versioned.put("d/a", b"another")
    again = pin(versioned.uri(f"d/a?versionId={first.version}")).files[0][1]
    assert (again.version, again.size, again.uri) == (first.version, 3, first.uri)


def test_what_is_not_there(every_s3: S3) -> None:
    for uri in (every_s3.uri("nothing"), every_s3.uri("nothing/")):
        with raises(NotFoundError, names=[uri], reason="nothing there"):
            pin(uri)
    every_s3.put("k", b"x")
    with raises((NotFoundError, OutsideError), names=["/k"]):  # a number of a version that cannot be, to some
        pin(every_s3.uri("k?versionId=none"))


def test_a_bucket_that_is_not_there(every_s3: S3) -> None:
    with raises((NotFoundError, OutsideError), names=["s3://no-such-bucket-here"]):
        pin("s3://no-such-bucket-here/key")


def test_wrong_keys(strict_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    strict_s3.put("k", b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with raises(DeniedError, names=[strict_s3.uri("k")]) as refused:
        pin(strict_s3.uri("k"))
    assert "wrong" not in str(refused.value)


def test_a_public_bucket_without_credentials(strict_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    public = strict_s3.in_new_bucket(public=True)
    public.put("k", b"x", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with raises(OutsideError, names=["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]):
        pin(public.uri("k"))
    record = pin(public.uri("k"), anonymous=True).files[0][1]
    assert record.anonymous and record.size == 1


def test_an_object_that_is_a_folder_too(s3: S3) -> None:
    s3.put("d/a", b"file")
    s3.put("d/a/b", b"below")
    with raises(InvalidInputError, names=[s3.uri("d/a")], reason="object and folder"):
        pin(s3.uri("d/"))


@pytest.mark.parametrize("key", ["d/a//b", "d/./b", "d/" + "n" * 256])
def test_keys_that_cannot_be_paths(key: str, s3: S3) -> None:
    s3.put(key, b"x")
    with raises(InvalidInputError, reason="key is no path"):
        pin(s3.uri("d/"))


def test_a_server_that_is_down(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with raises(OutsideError, names=[s3.uri("k")], reason="unreachable"):
        pin(s3.uri("k"))


# -- Azure and Google --------------------------------------------------------------------------------------------------


def test_azure(azure: Azure) -> None:
    for key in ("train/a", "train/sub/b", "train/zero", "train2/x"):
        azure.put(key, b"" if key.endswith("zero") else key.encode())
    pinned = pin(azure.uri("train/"))
    assert paths(pinned) == ["a", "sub/b", "zero"]
    record = pinned.files[0][1]
    assert (record.account, record.endpoint) == ("devstoreaccount1", azure.endpoint) and record.etag
    single = pin(azure.uri("train/a").replace("az://", "azure://"))
    assert single.is_single and single.files[0][1].etag == record.etag
    with pytest.raises(NotFoundError):
        pin(azure.uri("nothing"))


def test_azures_wrong_key(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.put("k", b"x")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with raises(DeniedError, names=[azure.uri("k")]):
        pin(azure.uri("k"))


def test_google_by_the_protocol_that_it_shares_with_s3(moto: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of Google's can be run here: its XML interface is spoken to a server of S3's."""
    bucket = moto.in_new_bucket(public=True)
    for key in ("train/a", "train/b", "train2/x"):
        bucket.put(key, key.encode(), ACL="public-read")
    monkeypatch.setenv("GOOGLE_BASE_URL", moto.endpoint)
    pinned = pin(f"gs://{bucket.bucket}/train/", anonymous=True)
    assert paths(pinned) == ["a", "b"]
    assert pinned.files[0][1].endpoint == moto.endpoint and pinned.files[0][1].anonymous


# -- the web -----------------------------------------------------------------------------------------------------------


def test_a_page_with_an_etag(web: Web) -> None:
    web.files["/d/a b.bin"] = b"hello"
    pinned = pin(f"{web.url}/d/a%20b.bin")
    record = pinned.files[0][1]
    assert pinned.name == b"a b.bin" and pinned.is_single
    assert (record.size, record.etag, record.blake3) == (5, web.etag("/d/a b.bin"), None)


def test_a_page_without_an_etag_is_read_once(web: Web) -> None:
    web.files["/f"] = b"hello"
    web.etags = False
    record = pin(f"{web.url}/f").files[0][1]
    assert (record.size, record.etag, record.blake3) == (5, None, blake3(b"hello").hexdigest())
    with raises(InvalidInputError, names=["ETag"]):
        pin(f"{web.url}/f", checksum=False)


@pytest.mark.parametrize("lacking", ["heads", "ranges"])
def test_servers_that_lack_something(web: Web, lacking: str) -> None:
    web.files["/f"] = b"hello"
    setattr(web, lacking, False)
    assert pin(f"{web.url}/f").files[0][1].size == 5


def test_a_server_that_tells_no_length(web: Web) -> None:
    web.files["/f"] = b"hello"
    web.lengths = False
    with raises(OutsideError, names=["/f"]):
        pin(f"{web.url}/f")


def test_an_address_with_a_query(web: Web) -> None:
    web.files["/get?id=3"] = b"three"
    pinned = pin(f"{web.url}/get?id=3")
    assert pinned.name == b"get" and pinned.files[0][1].size == 5


def test_a_folder_on_the_web(web: Web) -> None:
    with raises(InvalidInputError, names=["/folder/"], reason="no listings"):
        pin(f"{web.url}/folder/")


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (403, OutsideError), (500, OutsideError)])
def test_answers_that_are_none(web: Web, status: int, error: type[Exception]) -> None:
    web.files["/f"] = b"x"
    web.fail = status
    with raises(error, names=["/f"]):
        pin(f"{web.url}/f")


def test_a_slow_server_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "0.3")
    web.files["/f"] = b"x"
    web.delay = 1.5
    with raises(OutsideError, names=["/f", "0.3 s"]):
        pin(f"{web.url}/f")


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_folder_of_files(tmp_path: Path) -> None:
    top = tmp_path / "data"
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "a").write_bytes(b"one")
    (top / "sub" / "b").write_bytes(b"two")
    (top / "link").symlink_to("a")
    for uri in (str(top), f"{top}/", top.as_uri()):
        pinned = pin(uri)
        assert paths(pinned) == ["a", "link", "sub/b"] and pinned.folders == [b"sub/empty"]
        assert pinned.files[0][1].blake3 == blake3(b"one").hexdigest() and pinned.name == b"data"


def test_a_file_by_time_and_size(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    record = pin(str(tmp_path / "f"), checksum=False).files[0][1]
    assert record.blake3 is None and record.etag == f"{(tmp_path / 'f').stat().st_mtime_ns}-3"


def test_names_that_are_not_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff %"
    with open(name, "wb") as file:
        file.write(b"x")
    (path, record), *_ = pin(str(tmp_path)).files
    assert path == b"\xff %" and record.uri.endswith("/%FF%20%25")


def test_files_that_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        pin(str(tmp_path / "nothing"))
    (tmp_path / "d" / "below").mkdir(parents=True)
    (tmp_path / "d" / "link").symlink_to("below")
    with raises(SourceError, names=[repr(str(tmp_path / "d" / "link"))], reason="link to a folder"):
        pin(str(tmp_path / "d"))
    (tmp_path / "e").mkdir()
    os.mkfifo(tmp_path / "e" / "pipe")
    with raises(SourceError, names=[repr(str(tmp_path / "e" / "pipe"))], reason="not a file"):
        pin(str(tmp_path / "e"))
