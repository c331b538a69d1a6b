"""The probe: good stores pass, and each broken promise is found and named, whatever else the store does well."""

from __future__ import annotations

import errno
import itertools
import json
import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from artstore.errors import UnsupportedError
from artstore.objects.failures import BrokenPromiseError, NoBucketError, NoRightError, StoreFullError, UnreachableError
from artstore.objects.folders import Folder
from artstore.objects.opening import open_store
from artstore.objects.probing import PROMISES, Probe, probe
from artstore.objects.protocol import PROBES
from servers.azure import Azure
from servers.fake import BROKEN, FakeStore
from servers.faults import Fault, FaultProxy, first
from servers.s3 import S3

FOUND_AS = {
    "several win": "one winner",
    "create overwrites": "one winner",
    "stale reads": "reads",
    "stale lists": "listed",
    "stale ends": "deletes",
    "names are used up": "names",
    "unsorted": "lists",
    "foreign": "lists",
    "no ranges": "ranges",
    "short ranges": "ranges",
}
HARMLESS = {"create conflicts", "ignores after"}


def tried(url: str, *, threads: int = 6, rounds: int = 2) -> Probe:
    return probe(open_store(url), threads=threads, rounds=rounds)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artstore.objects.buckets._LONGEST_PAUSE", 0.1)


@pytest.mark.parametrize("name", ["folder", "fake_s3", "google", "s3", "strict_s3", "azure"])
def test_good_stores_are_writable(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Every promise is tried and kept, and nothing stays behind."""
    url = f"file://{tmp_path}"
    if name != "folder":
        server: FakeStore | S3 | Azure = request.getfixturevalue(name)
        url = server.uri("prefix")
    found = tried(url)
    assert (found.verdict, found.reason, found.broken, found.remarks) == ("writable", "", {}, ())
    assert found.tried == tuple(PROMISES) and (found.threads, found.rounds) == (6, 2)
    assert abs(found.date - time.time()) < 60
    assert list(open_store(url).list("")) == []
    found.require(writing=True)
    document = json.loads(json.dumps(found.document()))
    assert document["promises"] == dict.fromkeys(PROMISES, "kept") and document["date"].endswith("Z")


def test_the_table_has_every_fault() -> None:
    """Whatever the fake store can do wrong is tried here."""
    assert set(FOUND_AS) | HARMLESS == set(BROKEN)
    assert set(FOUND_AS.values()) | {"missing", "immutable"} == set(PROMISES)


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_broken_promise_is_found(broken: str, seed: int, fake_s3: FakeStore) -> None:
    """By its name, with a sentence; without lists or ranges a store is refused, else it may still be read."""
    fake_s3.broken = broken
    fake_s3.random.seed(seed)
    found = tried(fake_s3.uri("p"))
    if broken in HARMLESS:
        assert found.verdict == "writable", found
        return
    promise = FOUND_AS[broken]
    assert promise in found.broken, found
    assert found.verdict == ("refused" if promise in ("lists", "ranges") else "read-only")
    assert "breaks a promise that remotes need: " in found.reason and len(found.reason) < 300
    assert found.document()["promises"][promise] == found.broken[promise]
    with pytest.raises(BrokenPromiseError, match="breaks a promise") as caught:
        found.require(writing=True)
    assert ("--read-only" in caught.value.hint) == (found.verdict == "read-only")
    if found.verdict == "read-only":
        found.require(writing=False)
    else:
        with pytest.raises(BrokenPromiseError):
            found.require(writing=False)


def test_a_create_that_replaces_later(fake_s3: FakeStore) -> None:
    """A store may decide races rightly and still replace what is there: Ceph's buckets with versions do."""
    put = fake_s3.put
    fake_s3.put = lambda key, body, create=False: put(key, body, create=create and b" by " in body)  # type: ignore[method-assign]
    found = tried(fake_s3.uri("p"))
    assert set(found.broken) == {"immutable"} and found.verdict == "read-only"


def test_a_bucket_with_versions(strict_s3: S3) -> None:
    """Ceph 16 replaces there; the probe says so, and what the bucket is."""
    versioned = strict_s3.in_new_bucket(versioned=True)
    found = tried(versioned.uri("p"))
    assert found.verdict == "read-only" and found.broken
    assert any("keeps versions" in remark for remark in found.remarks)


def test_versions_alone_are_a_remark(s3: S3) -> None:
    """moto keeps its promises there."""
    found = tried(s3.in_new_bucket(versioned=True).uri("p"))
    assert (
        found.verdict == "writable" and [remark[:24] for remark in found.remarks] == ["the bucket keeps versio"[:24]]
    ) or found.remarks


def test_a_caching_proxy(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that obeys no-cache does no harm; one that does not is found."""
    with FaultProxy(fake_s3.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.caches_missing = "obeying"
        assert tried(fake_s3.uri("p")).verdict == "writable"
        proxy.caches_missing = "deaf"
        found = tried(fake_s3.uri("q"))
        assert set(found.broken) == {"reads"} and found.verdict == "read-only"


def test_a_line_with_troubles(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost answers and conflicts do not make a good store a bad one."""
    with FaultProxy(fake_s3.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        faults = [Fault(lose=True), Fault(status=412), Fault(drop=True, status=409), Fault(drop=True, status=503)]
        proxy.rules += [first(fault, "PUT", skip=3 * n) for n, fault in enumerate(faults * 2)]
        assert tried(fake_s3.uri("p")).verdict == "writable"


@pytest.mark.parametrize("method", ["LIST", "GET", "PUT", "DELETE"])
def test_rights_that_are_missing(method: str, fake_s3: FakeStore) -> None:
    """Listing and reading are needed; without writing it is read-only; a writer needs no right to delete."""
    fake_s3.denied[method] = 403, "AccessDenied"
    if method in ("LIST", "GET"):
        with pytest.raises(NoRightError, match="the store refuses to ") as caught:
            tried(fake_s3.uri("p"))
        assert ("list the bucket" if method == "LIST" else "read objects") in caught.value.hint
        return
    found = tried(fake_s3.uri("p"))
    assert not found.broken
    if method == "PUT":
        assert found.verdict == "read-only" and "the store refuses to create" in found.reason
        with pytest.raises(BrokenPromiseError, match="the store refuses to create"):
            found.require(writing=True)
        return
    assert found.verdict == "writable" and "writers need not delete" in found.remarks[0]
    assert found.document()["promises"]["deletes"] == "not tried"
    assert len(list(open_store(fake_s3.uri("p")).list("probe/"))) == 3


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_real_rights_of_a_bucket(action: str, strict_s3: S3) -> None:
    """Ceph answers 404 for a missing name to users who may not read: an object that is there shows it."""
    where = [f"arn:aws:s3:::{strict_s3.bucket}", f"arn:aws:s3:::{strict_s3.bucket}/*"]
    who = {"AWS": ["arn:aws:iam:::user/tests"]}
    rule = {"Effect": "Deny", "Principal": who, "Action": action, "Resource": where}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    strict_s3.put("p/there", b"x")
    strict_s3.put("p/z", b"")
    strict_s3.allow(policy)
    if action in ("s3:ListBucket", "s3:GetObject"):
        for writing in (False, True):
            with pytest.raises(NoRightError, match=r"the store refuses to (list|read)"):
                probe(open_store(strict_s3.uri("p")), writing=writing, threads=2, rounds=1)
        with pytest.raises(NoRightError, match=r"the store refuses to (list|read)"):
            tried(strict_s3.uri("empty"))
        return
    found = tried(strict_s3.uri("p"))
    assert not found.broken and found.verdict == ("read-only" if action == "s3:PutObject" else "writable")


def test_a_lifecycle_is_a_remark(strict_s3: S3) -> None:
    """With the store's own words."""
    strict_s3.expire("rule of tests")
    found = tried(strict_s3.uri("p"))
    assert found.verdict == "writable"
    assert [("lifecycle" in remark, "rule of tests" in remark) for remark in found.remarks] == [(True, True)]


def test_a_store_that_cannot_delete(fake_s3: FakeStore) -> None:
    """It may be written: only what is unused stays there."""
    fake_s3.denied["DELETE"] = 501, "NotImplemented"
    found = tried(fake_s3.uri("p"))
    assert found.verdict == "writable" and "does not delete" in found.remarks[0] and "names" not in found.tried


def test_what_is_no_verdict(fake_s3: FakeStore, s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that is full, missing or not there has not been tried."""
    with pytest.raises(NoBucketError):
        tried("s3://no-such-bucket/p")
    with pytest.raises(NoBucketError):
        tried(f"file://{tmp_path}/nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake_s3.url)
    fake_s3.denied["PUT"] = 403, "QuotaExceeded"
    with pytest.raises(StoreFullError):
        tried("s3://bucket/p")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "0.2")
    with pytest.raises(UnreachableError):
        tried("s3://bucket/p")


def test_for_reading_nothing_is_written(fake_s3: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader needs is tried, without a write."""
    found = probe(open_store(fake_s3.uri("p")), writing=False)
    assert found.verdict == "read-only" and found.tried == ("lists", "missing") and not found.broken
    assert {what for what, _ in fake_s3.asked} <= {"LIST", "GET", "HEAD"} and not fake_s3.objects
    assert probe(open_store(fake_s3.uri("p"), read_only=True)).verdict == "read-only"
    monkeypatch.setattr("artstore.objects.folders.shared_filesystem", lambda _: "nfs4")
    shared = tmp_path / "shared"
    shared.mkdir()
    found = probe(open_store(f"file://{shared}"))
    assert found.verdict == "read-only" and "nfs4" in found.reason and not list(shared.iterdir())


def test_what_a_killed_probe_left_is_removed(fake_s3: FakeStore) -> None:
    """After an hour, by the store's clock."""
    for name in ("p/probe/0123/0001", "p/probe/4567/0001", "p/probe2"):
        fake_s3.put(name, b"left")
    fake_s3.objects["p/probe/0123/0001"].generation -= 2 * 3600 * 10**9
    assert tried(fake_s3.uri("p")).verdict == "writable"
    assert set(fake_s3.objects) == {"p/probe/4567/0001", "p/probe2"}


@pytest.mark.parametrize("trouble", ["none", "a full disk", "a full disk later", "no such rename"])
def test_a_folder_is_left_as_it_was(trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also its folders, whatever ends the probe, and what an earlier one has left."""
    (tmp_path / "d").mkdir()
    (tmp_path / "artfs-remote.json").write_bytes(b"{}")
    before = sorted(tmp_path.rglob("*"))
    old = tmp_path / PROBES / "0123/0001"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"left")
    os.utime(old, (1, 1))
    calls = itertools.count()

    def write(fd: int, body: bytes) -> None:
        if next(calls) >= (20 if "later" in trouble else 0):
            raise OSError(errno.ENOSPC, "full")
        os.write(fd, body)

    def create(store: Folder, name: str, body: bytes) -> bool:
        with store._parent(name):
            raise UnsupportedError("no such rename")

    if "full" in trouble:
        monkeypatch.setattr("artstore.objects.folders._write", write)
    elif trouble != "none":
        monkeypatch.setattr(Folder, "create", create)
    with pytest.raises(StoreFullError) if "full" in trouble else nullcontext():
        probe(Folder(tmp_path), threads=6, rounds=4)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_another_probe_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of another probe removes ``probe`` just after this one has found it: it is made again."""
    make = Folder._make_one
    removed = []

    def make_one(store: Folder, folder: str) -> None:
        make(store, folder)
        if folder == PROBES.rstrip("/") and len(removed) < 3:
            removed.append(folder)
            (tmp_path / folder).rmdir()

    monkeypatch.setattr(Folder, "_make_one", make_one)
    assert probe(Folder(tmp_path), threads=4, rounds=2).verdict == "writable"
    assert len(removed) == 3 and not list(tmp_path.iterdir())


def test_a_probe_ends_in_time(tmp_path: Path) -> None:
    """No round begins after the time that it has."""
    found = probe(Folder(tmp_path), threads=4, rounds=1000, seconds=0.2)
    assert found.verdict == "writable" and 0 < found.rounds < 1000
