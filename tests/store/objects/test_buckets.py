"""Whatever networks, proxies and stores do to requests: an object is stored once and known to be, or an error says why.

A proxy before a fake store does it to single requests; the fake refuses, and lists wrongly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from artstore.errors import ArtfsError, OutsideError
from artstore.objects.failures import (
    NoBucketError,
    NoRightError,
    ObjectMissingError,
    StoreFullError,
    UnknownOutcomeError,
    UnreachableError,
    WrongAnswerError,
    WrongRegionError,
)
from artstore.objects.opening import open_store
from artstore.objects.protocol import ObjectStore
from servers.answers import ANSWERS, DATA, LISTINGS
from servers.azure import Azure
from servers.fake import FakeStore
from servers.faults import Fault, FaultProxy, Request, first
from servers.hostile import Hostile
from servers.s3 import S3

MINE, OTHERS = b"mine", b"another machine's"
KEY = "p/log/1"

LOST = {
    "answer lost": Fault(lose=True),
    "request lost": Fault(drop=True, lose=True),
    "reset after": Fault(reset=True),
    "reset before": Fault(drop=True, reset=True),
    "no answer": Fault(hang=True),
    "no answer, not stored": Fault(drop=True, hang=True),
    "late answer": Fault(after=0.7),
    "lands late": Fault(before=0.7),
    **{f"{status} in place of success": Fault(status=status) for status in (304, 409, 412, 429, 500, 502, 503)},
    **{f"{status}, not stored": Fault(drop=True, status=status) for status in (304, 409, 412, 429, 500, 502, 503)},
}
"""What may happen to one create."""


@pytest.fixture
def proxy(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with FaultProxy(fake_s3.url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "0.4")
        monkeypatch.setattr("artstore.objects.buckets._RATE_PAUSE", 0.02)
        monkeypatch.setattr("artstore.objects.buckets._LONGEST_PAUSE", 0.1)
        monkeypatch.setattr("artstore.objects.clients.SLOWEST_UPLOAD", 1 << 24)
        yield made


@pytest.fixture
def store(fake_s3: FakeStore, proxy: FaultProxy) -> ObjectStore:
    return open_store(fake_s3.uri("p"))


def without_secrets(error: ArtfsError) -> str:
    text = f"{error} {error.hint}"
    assert "secret-of-tests" not in text and len(text) < 600
    return text


# -- one create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOST)
def test_a_create_that_goes_wrong_once(name: str, store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """It is stored and known to be; where another has the name, that is known."""
    proxy.rules.append(first(LOST[name], "PUT"))
    assert store.create("log/1", MINE) is True
    assert fake_s3.objects[KEY].body == MINE
    proxy.forget()
    fake_s3.put("p/log/2", OTHERS)
    proxy.rules.append(first(LOST[name], "PUT"))
    assert store.create("log/2", MINE) is False
    assert fake_s3.objects["p/log/2"].body == OTHERS
    assert proxy.count() <= 4


@pytest.mark.parametrize("status", [409, 429, 0])
def test_another_machine_comes_first_meanwhile(
    status: int, store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore
) -> None:
    """Whatever the answer to this create was, what stands there decides."""

    def comes_first(request: Request) -> Fault | None:
        if request.method != "PUT" or request.number > 0:
            return None
        fake_s3.put(KEY, OTHERS)
        return Fault(drop=True, status=status, lose=not status)

    proxy.rules.append(comes_first)
    assert store.create("log/1", MINE) is False


def test_a_conflict_with_nothing_sends_the_same_again(store: ObjectStore, proxy: FaultProxy) -> None:
    """S3 answers 409 while another request is in flight, and then perhaps none was stored."""
    proxy.rules.append(first(Fault(drop=True, status=409), "PUT", times=2))
    assert store.create("log/1", MINE) is True
    assert [request.method for request in proxy.requests] == ["PUT", "GET", "PUT", "GET", "PUT"]
    assert all("no-cache" in r.headers.get("cache-control", "") for r in proxy.requests if r.method == "GET")
    assert not any("cache-control" in r.headers for r in proxy.requests if r.method == "PUT")


@pytest.mark.parametrize(
    "fault", [Fault(drop=True, status=503), Fault(drop=True, lose=True), Fault(drop=True, status=409)]
)
def test_a_create_that_always_goes_wrong_ends(fault: Fault, store: ObjectStore, proxy: FaultProxy) -> None:
    """In a bounded number of requests, with an error that says what is not known."""
    proxy.rules.append(first(fault, "PUT", times=99))
    with pytest.raises(UnknownOutcomeError, match="it is not known whether s3://bucket/p/log/1 was stored") as caught:
        store.create("log/1", MINE)
    assert "run it again" in without_secrets(caught.value)
    assert 3 <= proxy.count("PUT") <= 8
    proxy.forget()
    assert store.create("log/1", MINE) is True


def test_what_was_stored_and_cannot_be_read(store: ObjectStore, proxy: FaultProxy) -> None:
    """An answer was lost, and reading back fails: the outcome is unknown, and the reason is told."""
    proxy.rules.append(first(Fault(lose=True), "PUT", times=9))
    proxy.rules.append(first(Fault(drop=True, status=403), "GET", times=9))
    with pytest.raises(UnknownOutcomeError, match=r"refuses to read .*AccessDenied"):
        store.create("log/1", MINE)
    proxy.rules[1] = first(Fault(drop=True, lose=True), "GET", times=99)
    with pytest.raises(UnknownOutcomeError, match="it is not known whether"):
        store.create("log/2", MINE)


def test_a_server_that_is_not_there(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so that nothing is unknown."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "0.2")
    monkeypatch.setattr("artstore.objects.buckets._RATE_PAUSE", 0.05)
    store = open_store(fake_s3.uri("p"))
    for request in (lambda: store.create("x", MINE), lambda: store.read("x"), lambda: [*store.list("")]):
        with pytest.raises(UnreachableError, match=r"the server of s3://bucket/p.* cannot be reached") as caught:
            request()
        without_secrets(caught.value)
    assert store.date() is None


def test_a_caching_proxy_that_keeps_old_answers(store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """One that obeys no-cache does no harm; with one that does not, a list shows the object, and the error names it."""
    proxy.caches_missing = "obeying"
    with pytest.raises(ObjectMissingError):
        store.read("log/1")
    proxy.rules.append(first(Fault(status=412), "PUT"))
    assert store.create("log/1", MINE) is True
    with pytest.raises(ObjectMissingError):
        store.read("log/1")
    assert store.read("log/1", fresh=True) == MINE
    proxy.caches_missing = "deaf"
    proxy.rules.append(first(Fault(status=412), "PUT", times=99))
    with pytest.raises(UnknownOutcomeError, match="a caching proxy on the way keeps old answers"):
        store.create("log/1", MINE)
    assert fake_s3.objects[KEY].body == MINE


def test_a_large_body_has_time_to_be_sent(store: ObjectStore, proxy: FaultProxy) -> None:
    """The client counts sending into the time-out for an answer; a pack on a slow line takes longer than that."""
    proxy.rules.append(first(Fault(before=0.7), "PUT", times=9))
    assert store.create("d/00/pack", bytes(3 << 20)) is True
    assert proxy.count() == 1


def test_what_the_proxy_counts(store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """Requests, bytes, and the longest chain of requests that waited for each other: bounds of remotes rest on it."""
    fake_s3.put("p/d/1", bytes(1000))
    for _ in range(3):
        store.read("d/1", 0, 100)
    assert (proxy.count(), proxy.count("PUT"), proxy.trips()) == (3, 0, 3)
    assert sum(request.received for request in proxy.requests) == 300
    proxy.delay = 0.2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.read, ["d/1"] * 4))
    assert (proxy.count("GET"), proxy.trips()) == (7, 4)
    proxy.forget()
    assert store.create("log/1", bytes(77)) and [request.sent for request in proxy.requests] == [77]


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 499, 999])
def test_answers_that_break_off(cut: int, store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """All bytes come, or an error: never fewer.  The client goes on from where an answer broke off."""
    body = bytes(range(250)) * 4
    fake_s3.put("p/d/1", body)
    proxy.rules.append(first(Fault(cut=cut), "GET"))
    try:
        assert store.read("d/1", 0, 1000) == body
    except OutsideError as error:
        without_secrets(error)
    proxy.rules[0] = first(Fault(cut=cut), "GET", times=99)
    try:
        assert store.read("d/1") == body
    except OutsideError as error:
        without_secrets(error)


def test_servers_that_do_not_answer(store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """Every request ends, within a few time-outs; a time-out is never taken for a missing object."""
    fake_s3.put(KEY, MINE)
    proxy.rules.append(first(Fault(hang=True), times=99))
    for request in (lambda: store.read("log/1"), lambda: [*store.list("log/")], lambda: store.delete(["log/1"])):
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"did not answer within 0.4 s") as caught:
            request()
        assert "ARTFS_REMOTE_TIMEOUT" in without_secrets(caught.value)
        assert time.monotonic() - began < 10


def test_a_moment_of_trouble_is_passed_over(store: ObjectStore, proxy: FaultProxy, fake_s3: FakeStore) -> None:
    """Reading and listing are sent again by the client."""
    fake_s3.put(KEY, MINE)
    for fault in (Fault(drop=True, status=503), Fault(drop=True, lose=True)):
        proxy.rules[:] = [first(fault, "GET")]
        assert store.read("log/1") == MINE
        proxy.rules[:] = [first(fault, "GET")]
        assert [info.name for info in store.list("log/")] == ["log/1"]


@pytest.mark.parametrize(
    "name", ["nothing", "garbage", "another range", "no range", "fewer bytes than asked", "broken chunks"]
)
def test_answers_that_no_server_gives(name: str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the bytes of the range, or an error."""
    with Hostile(lambda *_: [ANSWERS[name]]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        hostile = open_store("s3://b/p")
        with pytest.raises(OutsideError) as caught:
            assert hostile.read("f", 0, len(DATA)) != DATA
        without_secrets(caught.value)


@pytest.mark.parametrize(
    "name",
    ["garbage", "entities of entities", "keys elsewhere", "a key twice", "a page without end", "a size below zero"],
)
def test_lists_that_no_store_gives(name: str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused after as many objects as the client collects, however many pages they take."""
    monkeypatch.setattr("artstore.objects.buckets._LISTED", 10)
    with Hostile(lambda *_: [LISTINGS[name]]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        hostile = open_store("s3://b")
        with pytest.raises(OutsideError) as caught:
            list(hostile.list("d/"))
        without_secrets(caught.value)


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("unsorted", "it has no order"),
        ("foreign", "which is not below it"),
        ("ignores after", ""),
        ("no ranges", "bytes"),
    ],
)
def test_stores_that_do_it_wrong(broken: str, error: str, fake_s3: FakeStore) -> None:
    """A list without order, or of other prefixes, is refused by name, and so are ranges that are ignored."""
    store = open_store(fake_s3.uri("p"))
    for n in range(5):
        fake_s3.put(f"p/log/{n}", b"content")
    fake_s3.broken = broken
    if not error:
        assert [info.name for info in store.list("log/", after="log/2")] == ["log/3", "log/4"]
        return
    with pytest.raises(WrongAnswerError, match=error):
        store.read("log/1", 2, 3) if "ranges" in broken else list(store.list("log/"))


def test_the_mark_of_a_folder_is_no_object(fake_s3: FakeStore) -> None:
    """Consoles make an empty object whose name is the prefix."""
    fake_s3.put("p/log/", b"")
    fake_s3.put(KEY, MINE)
    store = open_store(fake_s3.uri("p"))
    assert [info.name for info in store.list("log/")] == ["log/1"]


# -- rights, regions, quotas -------------------------------------------------------------------------------------------

REQUESTS = {
    "GET": ("read objects", lambda store: store.read("log/1")),
    "HEAD": ("read objects", lambda store: store.head("log/1")),
    "LIST": ("list the bucket", lambda store: list(store.list("log/"))),
    "PUT": ("write objects", lambda store: store.create("log/2", MINE)),
    "DELETE": ("delete objects", lambda store: store.delete(["log/1"])),
}


@pytest.mark.parametrize("method", REQUESTS)
def test_a_right_that_is_missing_is_named(method: str, fake_s3: FakeStore) -> None:
    """With the store's words and the right to grant, after one more try with fresh credentials; others still work."""
    fake_s3.put(KEY, MINE)
    store = open_store(fake_s3.uri("p"))
    fake_s3.denied[method] = 403, "AccessDenied"
    right, request = REQUESTS[method]
    with pytest.raises(NoRightError, match="the store refuses to ") as caught:
        request(store)
    text = without_secrets(caught.value)
    assert right in text and "403 Forbidden" in text and (method == "HEAD" or "the store says AccessDenied" in text)
    assert [what for what, _ in fake_s3.asked] == [method] * 2
    for other in REQUESTS:
        if other != method:
            REQUESTS[other][1](store)


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (400, "ExpiredToken", NoRightError),
        (403, "InvalidAccessKeyId", NoRightError),
        (401, "Unauthorized", NoRightError),
        (301, "PermanentRedirect", WrongRegionError),
        (400, "AuthorizationHeaderMalformed", WrongRegionError),
        (403, "QuotaExceeded", StoreFullError),
        (507, "XMinioStorageFull", StoreFullError),
        (404, "NoSuchBucket", NoBucketError),
        (501, "NotImplemented", ArtfsError),
        (400, "InvalidArgument", OutsideError),
    ],
)
def test_what_the_store_refuses(
    status: int, code: str, cls: type[ArtfsError], store: ObjectStore, fake_s3: FakeStore
) -> None:
    """One clear error of its own for each, of a create and of a hint, and never "another was first"."""
    fake_s3.denied["PUT"] = status, code
    for request in (store.create, store.replace):
        with pytest.raises(cls) as caught:
            request("log/1", MINE)
        assert code in without_secrets(caught.value) or status in (301, 404)
    assert not fake_s3.objects


def test_credentials_that_expire_are_looked_up_again(
    fake_s3: FakeStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a list, and at every other request."""
    fake_s3.page = 2
    for n in range(7):
        fake_s3.put(f"p/log/{n}", MINE)
    valid = ["first"]

    def refuses(request: Request) -> Fault | None:
        is_valid = request.headers.get("x-amz-security-token") == valid[0]
        return None if is_valid else Fault(drop=True, status=400, code="ExpiredToken")

    def renew(token: str) -> None:
        valid[0] = token
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)

    renew("first")
    proxy.rules.append(refuses)
    monkeypatch.setattr("artstore.objects.buckets._LISTED", 2)
    store = open_store(fake_s3.uri("p"))
    listed = store.list("log/")
    names = [next(listed).name]
    renew("second")
    assert names + [info.name for info in listed] == [f"log/{n}" for n in range(7)]
    for n, request in enumerate(
        (lambda: store.create("x", MINE), lambda: store.read("x"), lambda: store.delete(["x"]))
    ):
        renew(f"token {n}")
        request()
    valid[0] = "none"
    with pytest.raises(NoRightError, match="the credentials for s3://bucket/p/log/1 have expired"):
        store.read("log/1")


def test_a_bucket_that_is_missing(s3: S3) -> None:
    """The error says so, and is none of a missing object."""
    store = open_store("s3://no-such-bucket/p")
    for request in (lambda: store.create("x", MINE), lambda: store.read("x"), lambda: [*store.list("")]):
        with pytest.raises(NoBucketError, match="there is no bucket 'no-such-bucket'"):
            request()


def test_a_key_that_the_server_refuses(strict_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret is told as one, without the secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-tests")
    store = open_store(strict_s3.uri("p"))
    with pytest.raises(NoRightError, match="403 Forbidden") as caught:
        store.create("x", MINE)
    assert "wrong-secret" not in without_secrets(caught.value)


def test_deletes_that_are_refused_one_by_one(fake_s3: FakeStore) -> None:
    """S3 answers a request to delete several with success, and says of each object what went wrong."""
    fake_s3.put(KEY, MINE)
    fake_s3.keeps = True
    with pytest.raises(NoRightError, match="AccessDenied: You may not delete") as caught:
        open_store(fake_s3.uri("p")).delete(["log/1"])
    assert "delete objects" in without_secrets(caught.value)


@pytest.mark.parametrize("rights", ["rcwdl", "cwdl", "rcwd", "rdl", "rcwl", "expired"])
def test_real_rights_of_a_container(rights: str, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each right that a signed address lacks is told as such by the request that needs it, and by no other."""
    azure.put("p/there", MINE)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    token = azure.token("rcwdl", seconds=-60) if rights == "expired" else azure.token(rights)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token)
    store = open_store(azure.uri("p"))
    requests = {
        "r": lambda: store.read("there"),
        "l": lambda: list(store.list("")),
        "w": lambda: store.create("new", MINE),
        "d": lambda: store.delete(["there"]),
    }
    for right, request in requests.items():
        if right in rights and rights != "expired":
            request()
            continue
        with pytest.raises(NoRightError) as caught:
            request()
        text = without_secrets(caught.value)
        assert "sig=" not in text and token[-20:] not in text and "403" in text
