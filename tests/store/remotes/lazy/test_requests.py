"""How many requests and bytes lazy reading takes, counted by a proxy before a store: the bounds of docs/remotes.md."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import RefusedError
from artstore.remotes.lazy.cache import cache_of_user
from artstore.remotes.polling import Poller
from artstore.rows.remotes import all_remotes
from artstore.workspace import Workspace
from messages import raises
from servers.fake import FakeStore
from servers.faults import Fault, FaultProxy, first
from store.remotes.lazy.conftest import NewClone

URL = "s3://bucket/prefix"
FILES = 20_000
LARGER, LENGTH, BATCH = 1500, 6000, 128


@pytest.fixture
def proxy(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with FaultProxy(fake_s3.url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        yield made


@pytest.fixture
def pushed(workspace: Workspace, tmp_path: Path, proxy: FaultProxy) -> Workspace:
    """Return a workspace that has pushed many small files, and fewer larger ones of noise."""
    noise = random.Random(3)
    small, larger = tmp_path / "small", tmp_path / "larger"
    larger.mkdir()
    for number in range(LARGER):
        (larger / f"{number:05}").write_bytes(noise.randbytes(LENGTH))
    for folder in range(FILES // 500):
        (small / f"{folder:03}").mkdir(parents=True)
        for number in range(500):
            (small / f"{folder:03}" / f"{number:03}").write_bytes(b"%d %d" % (folder, number))
    workspace.put(small, "small")
    workspace.put(larger, "larger")
    workspace.remotes.add("origin", URL)
    workspace.remotes.push(every=True)
    return workspace


def test_bounds(pushed: Workspace, new_clone: NewClone, proxy: FaultProxy) -> None:
    """The first byte, a walk over everything, a random batch, its repetition, and asking for news."""
    proxy.forget()
    clone = new_clone(URL)
    assert clone.version("small").read_bytes("017/123") == b"17 123"
    assert proxy.trips() <= 7, [(each.method, each.target) for each in proxy.requests]

    proxy.forget()
    assert clone.version("larger").read_bytes("00001") == pushed.version("larger").read_bytes("00001")
    assert proxy.trips() <= 4

    proxy.forget()
    assert sum(len(files) for _, _, files in clone.version("small").walk()) == FILES
    assert proxy.count() <= 60

    proxy.forget()
    assert sum(len(files) for _, _, files in clone.version("larger").walk()) == LARGER
    metadata = sum(request.received for request in proxy.requests)
    assert metadata <= 60 * LARGER

    proxy.forget()
    names = [f"{number:05}" for number in random.Random(5).sample(range(2, LARGER), BATCH)]
    read = dict(clone.version("larger").read_many(names))
    assert read == dict(pushed.version("larger").read_many(names))
    assert proxy.count() <= 1.3 * BATCH
    assert sum(request.received for request in proxy.requests) <= 1.2 * BATCH * LENGTH

    proxy.forget()
    assert dict(clone.version("larger").read_many(names)) == read
    assert new_clone(URL).version("larger").read_bytes(names[0]) == read[names[0]]
    assert not [request for request in proxy.requests if "/d/" in request.target]

    with clone.store.snapshot() as snapshot:
        (uuid,) = all_remotes(snapshot.transaction)
    poller = Poller(clone.store, uuid)
    assert poller.poll() == []
    proxy.forget()
    assert poller.poll() == []
    assert proxy.count() == 1


def test_a_sequential_reader_needs_few_requests(
    workspace: Workspace, tmp_path: Path, proxy: FaultProxy, new_clone: NewClone
) -> None:
    """A large file that is read in small pieces is fetched in growing spans, each byte once; a lost one again."""
    (tmp_path / "large").write_bytes(random.Random(4).randbytes(24_000_000))
    workspace.put(tmp_path / "large", "large")
    workspace.remotes.add("origin", URL)
    workspace.remotes.push("large")
    clone = new_clone(URL)
    proxy.forget()
    proxy.rules.append(first(Fault(reset=True), "GET", "/d/", skip=2))
    with clone.version("large").open("large") as file:
        read = b"".join(iter(lambda: file.read(131_072), b""))
    assert read == (tmp_path / "large").read_bytes()
    data = [request for request in proxy.requests if "/d/" in request.target]
    assert len(data) <= 20
    assert sum(request.received for request in data) <= 1.05 * len(read)


def test_warming_fetches_all_in_few_requests(
    workspace: Workspace, tmp_path: Path, proxy: FaultProxy, new_clone: NewClone
) -> None:
    """Then every byte is read without one; what is there is not fetched again, and too much is refused."""
    noise = random.Random(6)
    (tmp_path / "source" / "sub").mkdir(parents=True)
    for number in range(600):
        (tmp_path / "source" / "sub" / f"{number}").write_bytes(noise.randbytes(5000))
    (tmp_path / "source" / "large").write_bytes(noise.randbytes(12_000_000))
    workspace.put(tmp_path / "source", "data")
    workspace.remotes.add("origin", URL)
    workspace.remotes.push("data")
    clone = new_clone(URL)
    proxy.forget()
    seen: list[int] = []
    done = clone.warm("data", progress=lambda progress: seen.append(progress.bytes_done))
    assert (done.files, seen[-1]) == (601, done.bytes)
    assert proxy.count() <= 10 and done.bytes >= 15_000_000
    assert clone.warm("data:v0/sub").bytes == 0
    proxy.forget()
    for number in range(0, 600, 7):
        path = f"sub/{number}"
        assert clone.version("data").read_bytes(path) == (tmp_path / "source" / path).read_bytes()
    assert clone.version("data").read_bytes("large") == (tmp_path / "source" / "large").read_bytes()
    assert proxy.count() == 0
    cache_of_user().set_limit(1_000_000)
    with raises(RefusedError, names=["1,000,000"]):
        clone.warm("data")
