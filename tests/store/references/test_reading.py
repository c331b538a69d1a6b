"""Reading a reference returns the pinned bytes or an error, and fetches them once."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.errors import ChangedError, OutsideError
from artstore.ids import content_id
from artstore.objects.locations import parse_location
from artstore.records.references import LONGEST_REFERENCE, ReferenceRecord
from artstore.references.blocks import BLOCK
from artstore.references.pinning import pin
from artstore.references.reading import Outside
from artstore.references.services import DeniedError
from messages import raises
from reasons import has_reason
from servers.azure import Azure
from servers.s3 import KEY, S3, SECRET
from servers.web import Web


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "blocks", tmp_path / "changed", 1 << 30, 0o600)


def one(uri: str, **options: bool) -> tuple[bytes, ReferenceRecord]:
    ((_, record),) = pin(uri, **options).files
    return content_id(record.encode()), record


def read(outside: Outside, reference: tuple[bytes, ReferenceRecord], offset: int = 0, size: int = 1 << 40) -> bytes:
    return b"".join(outside.read(*reference, offset, size))


def settled(outside: Outside) -> None:
    """Wait for what is fetched ahead."""
    deadline = time.monotonic() + 20
    while outside._running and time.monotonic() < deadline:
        time.sleep(0.01)


DATA = random.Random(5).randbytes(3 * BLOCK + 12345)


def each_part(outside: Outside, reference: tuple[bytes, ReferenceRecord]) -> None:
    ends = [(len(DATA) - 7, 100), (len(DATA), 5), (0, len(DATA))]
    for offset, size in [(0, 10), (BLOCK - 5, 10), (70_000, 4096), *ends]:
        assert read(outside, reference, offset, size) == DATA[offset : offset + size]
    settled(outside)


def test_s3(outside: Outside, every_s3: S3) -> None:
    every_s3.put("k", DATA)
    reference = one(every_s3.uri("k"))
    each_part(outside, reference)
    every_s3.delete("k")
    each_part(outside, reference)  # from the cache
    outside.blocks.shrink(0)
    with raises(ChangedError, names=[every_s3.uri("k")], reason="gone outside"):
        read(outside, reference)


def write_profile(home: Path, text: str) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(text)


def test_a_profile_whose_keys_a_program_knows(
    outside: Outside, strict_s3: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict_s3.put("k", b"content")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    said = json.dumps({"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET})
    (nobody / "said").write_text(said)
    write_profile(nobody, f"[default]\ncredential_process = cat {nobody}/said\n")
    assert read(outside, one(strict_s3.uri("k"))) == b"content"
    (nobody / "said").write_text(said.replace(SECRET, "another"))
    with raises(DeniedError, names=[strict_s3.uri("k")]):
        one(strict_s3.uri("k"))
    (nobody / "said").unlink()
    with raises(OutsideError, names=["'default'"], reason="profile without credentials"):
        one(strict_s3.uri("k"))


def test_a_profile_that_takes_a_role(outside: Outside, s3: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("k", b"content")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "work")
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    role = "role_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = base\n"
    write_profile(
        nobody, f"[profile base]\n{keys}[profile work]\n{role}region = us-east-1\nendpoint_url = {s3.endpoint}\n"
    )
    assert read(outside, one(s3.uri("k"))) == b"content"


def test_s3_changes(outside: Outside, every_s3: S3) -> None:
    every_s3.put("k", b"one")
    reference = one(every_s3.uri("k"))
    every_s3.put("k", b"two")
    with raises(ChangedError, names=[every_s3.uri("k")], reason="changed outside"):
        read(outside, reference)
    with pytest.raises(ChangedError):
        outside.check(*reference)
    (failure,) = outside.failures.all()
    assert failure.ident == reference[0] and has_reason(failure.message, "changed outside")
    every_s3.put("k", b"one")
    assert read(outside, reference) == b"one"
    assert outside.failures.all() == []


def test_a_pinned_version_outlives_its_successor(outside: Outside, moto: S3, s3: S3) -> None:
    versioned = moto.in_new_bucket(versioned=True)
    versioned.put("k", b"one")
    reference = one(versioned.uri("k"))
    versioned.put("k", b"another")
    assert read(outside, reference) == b"one"
    outside.check(*reference)


def test_azure(outside: Outside, azure: Azure) -> None:
    azure.put("k", DATA)
    reference = one(azure.uri("k"))
    each_part(outside, reference)
    azure.put("k", DATA[::-1])
    outside.blocks.shrink(0)
    with pytest.raises(ChangedError):
        read(outside, reference)
    azure.delete("k")
    with raises(ChangedError, reason="gone outside"):
        outside.check(*reference)


def test_google_by_the_protocol_that_it_shares_with_s3(
    outside: Outside, moto: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = moto.in_new_bucket(public=True)
    bucket.put("k", DATA, ACL="public-read")
    monkeypatch.setenv("GOOGLE_BASE_URL", moto.endpoint)
    each_part(outside, one(f"gs://{bucket.bucket}/k", anonymous=True))


@pytest.mark.parametrize("lacking", ["", "etags", "ranges", "conditions", "heads", "etags ranges"])
def test_the_web(outside: Outside, web: Web, lacking: str) -> None:
    web.files["/f"] = DATA
    for name in lacking.split():
        setattr(web, name, False)
    reference = one(f"{web.url}/f")
    each_part(outside, reference)
    asked = len(web.asked)
    each_part(outside, reference)
    assert len(web.asked) == asked  # the second time no one is asked
    web.files["/f"] = DATA[::-1]
    outside.blocks.shrink(0)
    with pytest.raises(ChangedError):
        read(outside, reference, 5, 5)
    with pytest.raises(ChangedError):
        outside.check(*reference)


def test_weak_etags(outside: Outside, web: Web) -> None:
    web.weak = True
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    each_part(outside, reference)
    web.files["/f"] = DATA[::-1]
    outside.blocks.shrink(0)
    with pytest.raises(ChangedError):
        read(outside, reference)


def test_a_server_that_ignores_conditions_and_has_another_size(outside: Outside, web: Web) -> None:
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    web.conditions = False
    web.instead["/f"] = DATA + b"more"
    with pytest.raises(ChangedError):
        read(outside, reference, 0, 10)


def test_content_that_is_hashed_is_never_other_content(outside: Outside, web: Web) -> None:
    web.etags = False
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    web.files["/f"] = DATA[:-1] + b"?"
    with pytest.raises(ChangedError):
        read(outside, reference, 0, 10)
    assert outside.blocks.usage()[0] == 0


def test_an_answer_that_breaks_off(outside: Outside, web: Web) -> None:
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    web.cut = 1000
    with pytest.raises(OutsideError):
        read(outside, reference, 0, 10_000)
    web.cut = 0
    assert read(outside, reference) == DATA
    settled(outside)


def test_a_slow_server(outside: Outside, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    web.delay = 1.5
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "0.3")
    with raises(OutsideError, names=["/f", "0.3 s"]):
        read(outside, reference, 0, 10)
    assert outside.failures.all() == []  # no one knows that it has changed


def test_a_service_is_opened_anew_where_it_refuses(
    outside: Outside, strict_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict_s3.put("k", b"one")
    reference = one(strict_s3.uri("k"))
    good = strict_s3.environment["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "out of date")
    with raises(DeniedError, names=[strict_s3.uri("k")]):
        read(outside, reference)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", good)
    assert read(outside, reference) == b"one"


def test_many_readers_ask_once(outside: Outside, web: Web) -> None:
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    web.asked.clear()
    web.delay = 0.2
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(read(outside, reference, 5, 100))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [DATA[5:105]] * 8
    assert len(web.asked) == 1


def test_who_reads_on_is_ahead_of(outside: Outside, web: Web) -> None:
    data = random.Random(1).randbytes(40 * BLOCK + 99)
    web.files["/f"] = data
    reference = one(f"{web.url}/f")
    web.asked.clear()
    got = b""
    while len(got) < len(data):
        got += read(outside, reference, len(got), 300_000)
    settled(outside)
    assert got == data
    assert len(web.asked) < 15  # not one request for each of 41 blocks
    ranges = [asked.removeprefix("bytes=").split("-") for _, _, asked in web.asked]
    assert sum(int(last) + 1 - int(first) for first, last in ranges) == len(data)  # and nothing twice
    assert all(outside.blocks.has(reference[0], block) for block in range(41))


def test_single_pages_bring_single_blocks(outside: Outside, web: Web) -> None:
    data = random.Random(1).randbytes(40 * BLOCK)
    web.files["/f"] = data
    reference = one(f"{web.url}/f")
    for block in (30, 5, 17):
        assert read(outside, reference, block * BLOCK + 10, 4096) == data[block * BLOCK + 10 :][:4096]
    settled(outside)
    assert outside.blocks.usage()[0] == 3


def test_a_disk_without_room_for_a_cache(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    outside = Outside(tmp_path / "file" / "blocks", tmp_path / "changed", 1 << 30, 0o600)
    web.files["/f"] = DATA
    each_part(outside, one(f"{web.url}/f"))


def test_what_must_come_whole_and_is_too_large(web: Web, tmp_path: Path) -> None:
    outside = Outside(tmp_path / "blocks", tmp_path / "changed", BLOCK, 0o600)
    web.files["/f"] = DATA
    web.ranges = False
    with raises(OutsideError, names=[f"{len(DATA)} bytes"]) as refused:
        read(outside, one(f"{web.url}/f"))
    assert "artfs config reference-cache" in refused.value.hint


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(DATA)
    return path


def test_a_file(outside: Outside, file: Path, tmp_path: Path) -> None:
    """None of its bytes are cached; that it was verified is noted, unless it was written just before."""
    time.sleep(0.03)
    reference = one(str(file))
    assert outside.cached(*reference, 0, 10) is None  # it is hashed first
    each_part(outside, reference)
    assert outside.cached(*reference, 0, 10) == [DATA[:10]]
    assert [path.name for path in (tmp_path / "blocks").rglob("*") if path.is_file()] == ["verified"]


def test_a_file_that_was_verified_is_not_hashed_again(outside: Outside, file: Path, tmp_path: Path) -> None:
    os.utime(file, (1, 1))
    time.sleep(0.03)
    reference = one(str(file))
    read(outside, reference, 0, 1)
    other = Outside(tmp_path / "blocks", tmp_path / "changed", 1 << 30, 0o600)
    assert other.cached(*reference, 0, 10) == [DATA[:10]]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(DATA[::-1]),
        lambda path: path.write_bytes(DATA + b"more"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
@pytest.mark.parametrize("checksum", [True, False])
def test_a_file_changes(outside: Outside, file: Path, change: Callable[[Path], object], checksum: bool) -> None:
    reference = one(str(file), checksum=checksum)
    assert read(outside, reference, 0, 5) == DATA[:5]
    change(file)
    with raises(OutsideError, names=[reference[1].uri]):
        read(outside, reference, 0, 5)
    with pytest.raises(OutsideError):
        outside.check(*reference)


def test_a_file_that_is_copied_over_by_itself_is_the_same(outside: Outside, file: Path) -> None:
    reference = one(str(file))
    read(outside, reference, 0, 5)
    file.unlink()
    file.write_bytes(DATA)
    assert read(outside, reference, 0, 5) == DATA[:5]


def test_a_file_that_changes_between_two_reads(outside: Outside, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = one(str(file))
    read(outside, reference, 0, 5)
    pread = os.pread

    def change_first(fd: int, size: int, offset: int) -> bytes:
        file.write_bytes(DATA[::-1])
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", change_first)
    with pytest.raises(ChangedError):
        read(outside, reference, 0, 5)


# -- records -----------------------------------------------------------------------------------------------------------


def test_records_lead_back() -> None:
    record = ReferenceRecord("s3://b/ä", 5, etag='"x"', region="r", anonymous=True)
    assert ReferenceRecord.decode(record.encode()) == record
    assert record.encode() == (
        b'{"anonymous":true,"etag":"\\"x\\"","region":"r","size":5,"uri":"s3://b/\\u00e4"}'
    )  # part of the digest: it never changes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"uri":"s3://b/k","size":5}',
        b'{"uri":"s3://b/k","size":-1,"etag":"x"}',
        b'{"uri":"s3://b/k","size":true,"etag":"x"}',
        b'{"uri":5,"size":5,"etag":"x"}',
        b'{"uri":"s3://b/k","size":5,"etag":5}',
        b'{"uri":"s3://b/k","size":5,"etag":"x","more":1}',
        b'{"uri":"s3://b/k","size":5,"etag":"x","anonymous":"yes"}',
    ],
)
def test_records_that_are_none(data: bytes) -> None:
    from artstore.errors import DamageError

    with raises(DamageError, names=["reference"]):
        ReferenceRecord.decode(data)


def test_a_record_that_is_too_long() -> None:
    from artstore.errors import InvalidInputError

    with raises(InvalidInputError, names=[str(LONGEST_REFERENCE)]):
        replace(ReferenceRecord("s3://b/k", 5, etag="x"), uri="s3://b/" + "k" * 40_000).encode()


def test_who_is_refused_asks_once_more(outside: Outside, web: Web) -> None:
    web.files["/f"] = b"x"
    reference = one(f"{web.url}/f")
    web.asked.clear()
    web.fail = 404
    with pytest.raises(ChangedError):
        read(outside, reference)
    asked = len(web.asked)
    web.fail = 403
    with raises(DeniedError, names=["/f"]):
        read(outside, reference)
    assert (asked, len(web.asked) - asked) == (1, 2)


def test_what_comes_slowly_is_awaited(outside: Outside, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.files["/f"] = DATA
    reference = one(f"{web.url}/f")
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "1")
    web.pause = 0.5
    assert b"".join(outside.whole(*reference, parse_location(reference[1].uri))) == DATA
