"""Reading on: from nothing, a hint, a checkpoint; what is missing or differs is named, and reading goes on."""

from __future__ import annotations

import random
from threading import Barrier
from typing import Any

import pytest

from artstore.errors import UnsupportedError
from artstore.objects.failures import WrongAnswerError
from artstore.remotes.log.checkpoints import HINT, Hint, encode_hint, encode_state
from artstore.remotes.log.entries import LONGEST_ENTRY, entry_name, is_envelope
from artstore.remotes.log.fold import BrokenLogError
from artstore.remotes.log.publishing import publish
from artstore.remotes.log.reading import TURNS, Log
from store.objects.model_store import Bucket, ModelStore
from store.remotes.log.log_story import UUID, Writer, commit, make_id, resealed, told_story

STORY = told_story(with_upgrade=False)


@pytest.fixture
def bucket() -> Bucket:
    """A bucket with the story's log."""
    bucket = Bucket()
    for number, data in enumerate(STORY.entries, 1):
        bucket.put_new(entry_name(number), data)
    return bucket


def _read(bucket: Bucket) -> Log:
    log = Log(ModelStore(bucket), UUID)
    log.read_on()
    return log


def _publish(bucket: Bucket) -> None:
    """Make the checkpoint of entry 128, and a hint that names it and all entries after it."""
    whole = bucket.objects.copy()
    for number in range(129, len(STORY.entries) + 1):
        del bucket.objects[entry_name(number)]
    assert publish(_read(bucket))
    bucket.objects.update(whole)
    assert publish(_read(bucket))


def test_an_empty_prefix_is_an_empty_log() -> None:
    """There is nothing to fold, and no trouble."""
    log = _read(Bucket())
    assert log.state.number == 0
    assert not log.has_news()
    log.check_writable()
    log.prove()
    assert log.is_proved


def test_the_whole_log_is_folded(bucket: Bucket) -> None:
    """One list, and each entry once (twice what is none); then nothing but the list and one look."""
    bucket.put_new("log/README", b"a stray object")
    log = Log(ModelStore(bucket), UUID)
    assert [folded.verdicts for folded in log.read_on()] == [folded.verdicts for folded in STORY.folded]
    assert encode_state(log.state) == encode_state(STORY.state)
    assert log.is_proved
    void = sum(bool(data) and not is_envelope(data) for data in STORY.entries)
    assert bucket.requests == {"read": len(STORY.entries) + void, "list": 1}
    bucket.requests.clear()
    assert log.read_on(to_write=True) == []
    assert bucket.requests == {"list": 1, "read": 1}
    assert not log.has_news()
    number = STORY.state.number
    assert log.entry(number) == STORY.folded[-1].entry
    assert log.entry(1) == STORY.folded[0].entry


def test_a_hint_saves_reading(bucket: Bucket) -> None:
    """From hint and checkpoint the state is the same, in four requests; proving folds the log from its start."""
    _publish(bucket)
    bucket.requests.clear()
    again = _read(bucket)
    assert bucket.requests == {"read": 2, "list": 1}
    assert encode_state(again.state) == encode_state(STORY.state)
    assert again.state.digest == STORY.state.digest
    assert not again.is_proved
    again.prove()
    assert again.is_proved


def test_checkpoint_and_list_are_asked_for_together(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a hint that names a checkpoint, reading to the end takes two round trips."""
    _publish(bucket)
    together = Barrier(2, timeout=20)
    store = ModelStore(bucket)
    read, listing = store.read, store.list

    def read_together(name: str, *arguments: Any, **options: Any) -> bytes:
        if name.startswith("state/") and name != HINT:
            together.wait()
        return read(name, *arguments, **options)

    def list_together(*arguments: Any, **options: Any) -> Any:
        together.wait()
        return listing(*arguments, **options)

    monkeypatch.setattr(store, "read", read_together)
    monkeypatch.setattr(store, "list", list_together)
    log = Log(store, UUID)
    log.read_on()
    assert encode_state(log.state) == encode_state(STORY.state)


@pytest.mark.parametrize("hint", [b"", b"damaged", encode_hint(Hint(64, bytes(32), ())), None])
def test_a_bad_hint_is_passed_over(bucket: Bucket, hint: bytes | None) -> None:
    """Without a hint, or with one that leads nowhere, the log is folded from its start."""
    if hint is not None:
        bucket.objects[HINT] = (hint, 0.0)
    log = _read(bucket)
    assert encode_state(log.state) == encode_state(STORY.state)
    assert log.trouble is None
    assert log.is_proved


@pytest.mark.parametrize("number", [1, 30, len(STORY.entries) - 1])
def test_a_hole_is_named(bucket: Bucket, number: int) -> None:
    """Whoever needs the missing entry names it and does not write; the state before it stays, and can be restored."""
    removed = bucket.objects.pop(entry_name(number))
    log = _read(bucket)
    assert log.state.number == number - 1
    with pytest.raises(BrokenLogError, match=rf"entry {number} ") as caught:
        log.check_writable()
    assert caught.value.number == number
    bucket.objects[entry_name(number)] = removed
    log.read_on()
    log.check_writable()
    assert encode_state(log.state) == encode_state(STORY.state)


def test_reading_goes_on_above_a_hole(bucket: Bucket) -> None:
    """Who has folded an entry that is missing now follows what others append, and writes nothing."""
    last = STORY.state.number
    newest = bucket.objects.pop(entry_name(last))
    log = _read(bucket)
    log.check_writable()
    for number in (last - 20, last - 3):
        del bucket.objects[entry_name(number)]
    bucket.objects[entry_name(last)] = newest
    log.read_on()
    assert encode_state(log.state) == encode_state(STORY.state)
    with pytest.raises(BrokenLogError, match=f"entry {last - 20} "):
        log.check_writable()


def test_a_log_that_was_rolled_back_is_named(bucket: Bucket) -> None:
    """Entries that were folded or hinted are missing: this machine and a new one write nothing."""
    _publish(bucket)
    log = _read(bucket)
    last = len(STORY.entries)
    for number in range(100, last + 1):
        del bucket.objects[entry_name(number)]
    log.read_on()
    assert log.trouble is not None
    assert log.trouble.number == 100
    assert encode_state(log.state) == encode_state(STORY.state)
    other = _read(bucket)
    assert other.trouble is not None
    with pytest.raises(BrokenLogError):
        other.check_writable()


def test_another_last_entry_is_seen_before_writing(bucket: Bucket) -> None:
    """An entry in place of the last one is found by who is about to write, and by who reads the next one."""
    log = _read(bucket)
    other = Writer()
    other.do(commit("elsewhere", 0, "e"))
    bucket.objects[entry_name(log.state.number)] = (other.entries[0], 0.0)
    log.read_on()
    log.check_writable()
    log.read_on(to_write=True)
    with pytest.raises(BrokenLogError, match="not the one that was read before"):
        log.check_writable()
    behind = Log(ModelStore(bucket), UUID)
    behind.read_on()
    assert behind.trouble is not None
    assert behind.state.number == log.state.number - 1


def test_an_entry_of_a_later_release_stops_writing_only(bucket: Bucket) -> None:
    """The state before it is served; when it can be read, all goes on."""
    name = entry_name(len(STORY.entries))
    whole = bucket.objects[name]
    bucket.objects[name] = (resealed(whole[0][:8] + b"\2" + whole[0][9:]), 0.0)
    log = _read(bucket)
    assert log.state.number == len(STORY.entries) - 1
    with pytest.raises(UnsupportedError, match=rf"entry {len(STORY.entries)} "):
        log.check_writable()
    assert log.trouble is None
    bucket.objects[name] = whole
    log.read_on()
    log.check_writable()


def test_an_upgrade_stops_writing() -> None:
    """A release that the remote takes no entries of any more reads on and does not write."""
    bucket = Bucket()
    for number, data in enumerate(told_story().entries, 1):
        bucket.put_new(entry_name(number), data)
    log = _read(bucket)
    assert log.trouble is log.newer is None
    with pytest.raises(UnsupportedError, match="later releases"):
        log.check_writable()


def test_what_is_too_long_is_read_in_part(bucket: Bucket) -> None:
    """An object over 64 KiB among the entries is void: only its beginning is read, and the log goes on after it."""
    number = STORY.state.number + 1
    bucket.put_new(entry_name(number), b"x" * (10 * LONGEST_ENTRY))
    log = _read(bucket)
    assert log.trouble is None
    assert log.state.number == number
    assert log.entry(number) is None
    fresh = Log(ModelStore(bucket), UUID, log.state)
    assert fresh.entry(number) is None


def test_a_cached_404_is_asked_again(bucket: Bucket) -> None:
    """An entry that is listed and not given is asked for again, then the error says what may be in the way."""

    class Cached(ModelStore):
        """A store behind a proxy that keeps one answer for some time."""

        left = TURNS - 1

        def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
            """Fail a number of times."""
            if name == entry_name(50) and self.left:
                self.left -= 1
                return ModelStore(self.bucket, random.Random(0), {"missing": 1.0}).read(name)
            return super().read(name, start, length, fresh=fresh)

    store = Cached(bucket)
    log = Log(store, UUID, at_once=1)
    log.read_on()
    assert encode_state(log.state) == encode_state(STORY.state)
    store.left = TURNS
    with pytest.raises(WrongAnswerError, match="does not give it"):
        Log(store, UUID, at_once=1).read_on()


def test_a_false_checkpoint_is_found_by_proving_and_by_the_next_entry(bucket: Bucket) -> None:
    """A checkpoint that the log does not lead to is believed until an entry after it, or a proof, contradicts it."""
    other = Writer()
    while other.state.number < 64:
        number = other.state.number
        other.do(commit("elsewhere", number, number))
    forged = Bucket()
    for number, data in enumerate(other.entries, 1):
        forged.put_new(entry_name(number), data)
    assert publish(_read(forged))
    bucket.objects |= {name: row for name, row in forged.objects.items() if name.startswith("state/")}
    log = _read(bucket)
    assert log.trouble is not None
    for number in range(65, len(STORY.entries) + 1):
        del bucket.objects[entry_name(number)]
    log = _read(bucket)
    assert log.trouble is None
    assert make_id("elsewhere") in log.state.artifacts
    log.prove()
    assert log.trouble is not None


def test_a_log_that_was_read_just_now_is_fresh(bucket: Bucket) -> None:
    """`freshen` asks the store again only after a while."""
    log = _read(bucket)
    asked = dict(bucket.requests)
    log.freshen()
    assert bucket.requests == asked
    log.freshen(0.0)
    assert bucket.requests != asked
