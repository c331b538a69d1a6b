"""The cache of ranges: what was put comes back or is missing, whatever processes, limits and files do meanwhile."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore import locate
from artstore.errors import UnsupportedError
from artstore.ids import content_id
from artstore.remotes.lazy.cache import RangeCache, cache_of_user, folder_of_user
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.places import DATA, TREES, Pack, Place, new_pack
from messages import raises

REMOTE = b"a remote's uuid."


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RangeCache]:
    made = RangeCache(tmp_path / "cache")
    yield made
    made.close()


def ranges(count: int, length: int = 1000, seed: int = 1) -> list[tuple[Place, bytes]]:
    """Return ranges of several objects with their bytes."""
    random_bytes = random.Random(seed)
    packs = [new_pack(DATA) for _ in range(3)]
    return [(Place(packs[n % 3], n * length, length), random_bytes.randbytes(length)) for n in range(count)]


def test_what_was_put_comes_back(cache: RangeCache) -> None:
    """By object, offset and length; other ranges are missing."""
    items = ranges(20)
    cache.put(items[:10])
    cache.put(items[10:])
    assert cache.get([place for place, _ in items]) == [data for _, data in items]
    place = items[0][0]
    assert (
        cache.get([place._replace(offset=1), place._replace(stored=999), Place(new_pack(TREES), 0, 1000)]) == [None] * 3
    )
    cache.forget([place])
    assert cache.get([place, items[1][0]]) == [None, items[1][1]]


def test_a_limit_holds_and_the_oldest_go(cache: RangeCache) -> None:
    """The files take at most a segment more than the limit; what was read again stays longest."""
    cache.set_limit(100_000)
    items = ranges(400)
    kept = items[0]
    for number, item in enumerate(items):
        cache.put([item])
        if number % 20 == 0:
            assert cache.get([kept[0]]) == [kept[1]], number
    found = cache.get([place for place, _ in items])
    assert found[0] == kept[1]
    assert found[-50:] == [data for _, data in items[-50:]]
    assert sum(data is not None for data in found) <= 110
    files = sum(path.stat().st_size for path in cache.folder.iterdir() if path.name.isdigit())
    assert files <= 110_000
    usage = cache.usage()
    assert (usage.limit, usage.bytes) == (100_000, files)
    cache.set_limit(1000)
    assert cache.usage().bytes <= 10_000


@pytest.mark.parametrize("wrong", ["removed", "cut", "emptied"])
def test_segments_may_be_harmed(cache: RangeCache, wrong: str) -> None:
    """A range whose bytes are gone is missing; what is put later is found."""
    items = ranges(4)
    cache.put(items)
    segment = cache.folder / "1"
    if wrong == "removed":
        cache.close()
        segment.unlink()
        cache = RangeCache(cache.folder)
    else:
        os.truncate(segment, 1500 if wrong == "cut" else 0)
    found = cache.get([place for place, _ in items])
    assert found == ([items[0][1]] if wrong == "cut" else [None]) + [None] * 3
    cache.put(items)
    assert cache.get([place for place, _ in items]) == [data for _, data in items]


def test_numbers_of_spans_are_kept_and_never_given_twice(cache: RangeCache, tmp_path: Path) -> None:
    """Equal spans of a remote have one number; another cache, as after a removal, begins with greater ones."""
    forms = [FormPlace(content_id(bytes([n])), n + 1, Place(Pack(TREES, bytes(16)), n * 10, 10)) for n in range(5)]
    numbers = cache.number_spans(REMOTE, forms, "data:v1")
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert cache.number_spans(REMOTE, forms[::-1], "data:v2") == numbers[::-1]
    assert cache.number_spans(REMOTE[::-1], forms[:1], "data:v1")[0] == numbers[-1] + 1
    known = cache.spans(numbers[0], 9)
    assert [each.form for each in known] == [*forms, forms[0]]
    assert {each.title for each in known} == {"data:v1"}
    assert cache.spans(numbers[0] + 100) == []


def test_one_process_of_several_fetches(cache: RangeCache) -> None:
    """While a range is fetched, other readers of it wait, and find it."""
    item = ranges(1)[0]
    fetched: list[int] = []
    ready = threading.Barrier(8)

    def read(number: int) -> bytes | None:
        ready.wait()
        with cache.fetching(item[0]):
            found = cache.get([item[0]])[0]
            if found is None:
                fetched.append(number)
                cache.put([item])
        return found or cache.get([item[0]])[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [item[1]] * 8
    assert len(fetched) == 1


def test_readers_go_on_beside_eviction(cache: RangeCache) -> None:
    """Readers in threads and a forked process get the right bytes or none while segments go."""
    cache.set_limit(50_000)
    items = ranges(300)
    stop = threading.Event()
    wrong: list[Place] = []

    def read() -> None:
        order = random.Random(2)
        while not stop.is_set():
            place, data = order.choice(items)
            found = cache.get([place])[0]
            if found not in (None, data):
                wrong.append(place)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for item in items:
        cache.put([item])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_opens_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds what its parent has put, and the parent finds what it puts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = ranges(2)
    cache_of_user().put([first])
    pid = os.fork()
    if pid == 0:
        is_right = cache_of_user().get([first[0]]) == [first[1]]
        cache_of_user().put([second])
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cache_of_user().get([second[0]]) == [second[1]]
    assert folder_of_user() == tmp_path / "artfs" / "remote"
    assert folder_of_user().stat().st_mode & 0o077 == 0


def test_a_shared_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and maps are unreliable there; the error says how to have the cache elsewhere."""
    monkeypatch.setattr(locate, "shared_filesystem", lambda path: "nfs4")
    with raises(UnsupportedError, names=[str(tmp_path / "cache"), "nfs4"]) as caught:
        RangeCache(tmp_path / "cache")
    assert "XDG_CACHE_HOME" in caught.value.hint
