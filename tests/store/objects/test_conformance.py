"""What every object store must do, tried on each: a folder, servers of S3 and Azure, a fake of Google's, the model."""

from __future__ import annotations

import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, RefusedError
from artstore.objects.failures import ObjectMissingError, WrongAnswerError
from artstore.objects.folders import Folder
from artstore.objects.opening import open_store
from artstore.objects.protocol import ObjectStore
from servers.azure import Azure
from servers.fake import FakeStore
from servers.s3 import S3
from store.objects.model_store import Bucket, ModelStore

BACKENDS = ["folder", "folder of FAT", "fake S3", "Google", "moto", "Ceph", "Azurite", "model"]
HOSTILE = ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".tmp/x", "a/", "a\nb", "a%2e", "ü", "x" * 300]


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """A new store: below a prefix of its own, beside which others lie."""
    if request.param == "model":
        yield ModelStore(Bucket(now=time.time()))
        return
    if request.param.startswith("folder"):
        (tmp_path / "objects").mkdir()
        made = open_store(f"file://{tmp_path}/objects")
        assert isinstance(made, Folder)
        made._has_unnamed = request.param == "folder"
        yield made
        assert not list(tmp_path.glob("objects/.tmp/*"))
        return
    fixtures = {"fake S3": "fake_s3", "Google": "google", "moto": "s3", "Ceph": "strict_s3", "Azurite": "azure"}
    server: FakeStore | S3 | Azure = request.getfixturevalue(fixtures[request.param])
    if isinstance(server, FakeStore):
        server.page = 3
    server.put("runs/my r%41é2/log/0001", b"beside")
    yield open_store(server.uri("runs/my r%41é/"))


def names(store: ObjectStore, prefix: str = "", after: str = "") -> list[str]:
    return [info.name for info in store.list(prefix, after=after)]


def test_an_object_is_what_was_created(store: ObjectStore) -> None:
    """Whole, in ranges, described and listed; of a name that is taken, nothing changes."""
    body = random.Random(1).randbytes(300_000)
    assert store.create("d/0f/one", body) is True
    assert store.read("d/0f/one") == store.read("d/0f/one", fresh=True) == body
    info = store.head("d/0f/one")
    assert (info.name, info.size) == ("d/0f/one", len(body)) and abs(info.modified - time.time()) < 300
    assert [(each.name, each.size) for each in store.list("d/")] == [("d/0f/one", len(body))]
    assert store.create("d/0f/one", b"another") is False
    assert store.create("d/0f/one", b"") is False
    assert store.create("d/0f/one", body) is True
    assert store.read("d/0f/one") == body


def test_ranges_are_exact(store: ObjectStore) -> None:
    """A range has exactly its bytes, or is refused: none is cut at the object's end."""
    body = random.Random(2).randbytes(1000)
    assert store.create("r", body) and store.create("empty", b"")
    for start, length in ((0, 1000), (0, 1), (999, 1), (100, 900), (5, 5), (3, 0), (0, None), (1, None), (999, None)):
        assert store.read("r", start, length) == body[start:][:length]
    for start, length in ((0, 1001), (999, 2), (1000, 1), (2000, 5), (1001, None)):
        with pytest.raises(WrongAnswerError):
            store.read("r", start, length)
    assert store.read("empty") == store.read("empty", 0, 0) == b""
    for start, length in ((-1, 1), (0, -1), (0, 1 << 40)):
        with pytest.raises(InvalidInputError):
            store.read("r", start, length)


def test_what_is_missing(store: ObjectStore) -> None:
    """A missing object is an error of its own; removing it again is none; an empty prefix has an empty list."""
    ask: list[Callable[[str], object]] = [store.read, store.head, lambda name: store.read(name, 0, 0)]
    ask += [lambda name: store.read(name, 5, 5), lambda name: store.read(name, fresh=True)]
    for request in ask:
        for name in ("log/1", "artfs-remote.json"):
            with pytest.raises(ObjectMissingError, match="there is no object .*/" + name):
                request(name)
    store.delete(["log/1", "nothing", "d/x/y/z"])
    store.delete([])
    assert names(store) == names(store, "log/") == names(store, "log/", "log/1") == []
    assert store.create("log", b"an object where others look for a folder")
    with pytest.raises(ObjectMissingError):
        store.read("artfs")


def test_what_is_removed_is_gone_and_may_be_created_again(store: ObjectStore) -> None:
    """Also as one of many that are removed, some of which were not there."""
    for name in ("a", "b/c", "b/d"):
        assert store.create(name, name.encode())
    store.delete(["b/c", "missing", "a"])
    assert names(store) == ["b/d"]
    with pytest.raises(ObjectMissingError):
        store.read("b/c")
    assert store.create("b/c", b"new") is True
    assert store.read("b/c") == b"new"


def test_lists_are_sorted_and_below_their_prefix(store: ObjectStore) -> None:
    """By the names as a whole, and from any name on, which need not be there."""
    made = ["a-b", "a/0", "a/b/c", "a/b-c", "a/z", "a0/x", "artfs-remote.json", "log/1", "log/10", "log/2", "logs/1"]
    for name in made:
        assert store.create(name, name.encode())
    assert names(store) == sorted(made)
    for prefix in ("a/", "a/b/", "log/", "none/"):
        assert names(store, prefix) == sorted(name for name in made if name.startswith(prefix))
    for after in ("a", "a/b", "a/b/c", "log/", "log/1", "log/11", "z", "artfs-remote.json"):
        assert names(store, "", after) == sorted(name for name in made if name > after)
    assert names(store, "log/", "log/1") == ["log/10", "log/2"]
    for prefix in ("log", "/", "../", ".tmp/"):
        with pytest.raises(InvalidInputError):
            names(store, prefix)


def test_of_creates_that_race_one_wins(store: ObjectStore) -> None:
    """Everybody else learns so, and reads the winner's bytes."""
    with ThreadPoolExecutor(8) as pool:
        for turn in range(3):
            barrier = threading.Barrier(8)

            def race(racer: int, name: str = f"log/{turn}", barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return store.create(name, b"%d" % racer)

            won = [racer for racer, is_winner in enumerate(pool.map(race, range(8))) if is_winner]
            assert len(won) == 1 and store.read(f"log/{turn}", fresh=True) == b"%d" % won[0]


def test_hints_are_replaced(store: ObjectStore, request: pytest.FixtureRequest) -> None:
    """The last one is read; it need not be there before."""
    store.replace("state/hint", b"first")
    if request.node.callspec.params["store"] == "Google":
        time.sleep(1.1)  # it takes one write of a name a second
    store.replace("state/hint", b"")
    assert store.read("state/hint", fresh=True) == b""
    assert names(store) == ["state/hint"]


def test_names_that_leave_the_prefix_are_refused(store: ObjectStore) -> None:
    """By every method, before any request."""
    for name in HOSTILE:
        for request in (store.read, store.head, lambda name: store.delete([name])):
            with pytest.raises(InvalidInputError):
                request(name)
        for write in (store.create, store.replace):
            with pytest.raises(InvalidInputError):
                write(name, b"")
    assert names(store) == []


def test_larger_objects_come_in_one_piece(store: ObjectStore) -> None:
    """Of more bytes than the client sends as one part by default."""
    body = random.Random(3).randbytes(11 << 20)
    assert store.create("t/00/pack", body) is True
    assert store.create("t/00/pack", body[:-1]) is False
    assert store.read("t/00/pack", len(body) - 5, 5) == body[-5:]
    assert store.read("t/00/pack") == body


def test_a_store_behaves_as_a_dictionary(store: ObjectStore, request: pytest.FixtureRequest) -> None:
    """Any sequence of calls, against the model."""
    chance = random.Random(4)
    model: dict[str, bytes] = {}
    pool = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "c/") for name in ("x", "y-1", "y.2")]
    is_slow = request.node.callspec.params["store"] == "Google"
    for _ in range(300 if isinstance(store, Folder) else 50):
        name, body = chance.choice(pool), chance.randbytes(chance.choice((0, 1, 20)))
        action = chance.choice(("create", "create", "read", "head", "delete", "list", *(["replace"] * (not is_slow))))
        if action == "create":
            assert store.create(name, body) is (model.setdefault(name, body) == body)
        elif action == "replace":
            store.replace(name, body)
            model[name] = body
        elif action == "delete":
            store.delete([name, "never"])
            model.pop(name, None)
        elif action == "list":
            prefix = chance.choice(("", "a/", "a/b/"))
            listed = [(each.name, each.size) for each in store.list(prefix, after=name)]
            assert listed == sorted((n, len(b)) for n, b in model.items() if n > name and n.startswith(prefix))
        elif name in model:
            assert store.read(name) == model[name] and store.head(name).size == len(model[name])
        else:
            with pytest.raises(ObjectMissingError):
                store.read(name) if action == "read" else store.head(name)


def test_the_clock_and_the_address(store: ObjectStore) -> None:
    """The store's date is near this machine's here; its URL has no secret; a pickled store is the same."""
    date = store.date()
    assert date is not None and abs(date - time.time()) < 60
    assert "secret" not in store.url and not store.url.endswith("/")
    assert store.create("x", b"y") and pickle.loads(pickle.dumps(store)).read("x") == b"y"


@pytest.mark.parametrize("store", [backend for backend in BACKENDS if backend != "model"], indirect=True)
def test_a_store_for_reading(store: ObjectStore) -> None:
    """It writes nothing, and says why."""
    assert store.create("x", b"y")
    reading = open_store(store.url, read_only=True)
    assert reading.read("x") == b"y" and [each.name for each in reading.list("")] == ["x"]
    for request in (lambda: reading.create("z", b""), lambda: reading.replace("x", b""), lambda: reading.delete(["x"])):
        with pytest.raises(RefusedError, match="is open for reading only"):
            request()
    assert names(store) == ["x"]
