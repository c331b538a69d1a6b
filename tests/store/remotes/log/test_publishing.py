"""Checkpoints and hints in the store: when they are made, and which go."""

from __future__ import annotations

from artstore.remotes.log.checkpoints import HINT, checkpoint_name, decode_hint, encode_state
from artstore.remotes.log.entries import entry_name
from artstore.remotes.log.publishing import false_checkpoints, prune_checkpoints, publish
from artstore.remotes.log.reading import Log
from store.objects.model_store import Bucket, ModelStore
from store.remotes.log.log_story import UUID, Writer, commit

DAY = 86400.0


def _log(bucket: Bucket, writer: Writer, entries: int) -> Log:
    for _ in range(entries):
        number = writer.state.number
        writer.do(commit("digits", number, number))
        bucket.put_new(entry_name(number + 1), writer.entries[-1])
    log = Log(ModelStore(bucket), UUID)
    log.read_on()
    return log


def test_a_hint_holds_the_entries_since_the_checkpoint() -> None:
    """The one who is at a multiple of 64 makes the checkpoint; others name it once it is there."""
    bucket, writer = Bucket(), Writer()
    assert publish(_log(bucket, writer, 63))
    assert decode_hint(bucket.objects[HINT][0]).entries == tuple(writer.entries)
    # The writer of entry 64 was killed: nobody makes its checkpoint, and the hint begins at the log's start.
    assert publish(_log(bucket, writer, 2))
    assert decode_hint(bucket.objects[HINT][0]).number == 0
    assert publish(_log(bucket, writer, 63))
    hint = decode_hint(bucket.objects[HINT][0])
    assert (hint.number, hint.entries) == (128, ())
    log = _log(bucket, writer, 3)
    log.base = (0, bytes(32))  # as one who has read the log from its start
    assert publish(log)
    hint = decode_hint(bucket.objects[HINT][0])
    assert (hint.number, hint.entries) == (128, tuple(writer.entries[128:]))


def test_nothing_is_published_of_a_broken_log() -> None:
    """Who has found the log broken leaves the hint as it is; so does one who cannot reach the store."""
    bucket, writer = Bucket(), Writer()
    log = _log(bucket, writer, 5)
    del bucket.objects[entry_name(5)]
    log.read_on()
    assert not publish(log)
    log = _log(Bucket(), Writer(), 3)
    log.store = ModelStore(bucket, odds={"after": 1.0})
    assert not publish(log)
    assert HINT not in bucket.objects or decode_hint(bucket.objects[HINT][0]).number == 0


def test_old_checkpoints_go() -> None:
    """All but the newest two go after seven days; what is no checkpoint stays."""
    bucket, writer = Bucket(), Writer()
    for _ in range(4):
        assert publish(_log(bucket, writer, 64))
        bucket.now += DAY
    bucket.put_new("state/other", b"")
    store = ModelStore(bucket)
    assert prune_checkpoints(store, bucket.now) == []
    gone = prune_checkpoints(store, bucket.now + 4.5 * DAY)
    assert [name.split("/")[1] for name in gone] == [f"{64:020}", f"{128:020}"]
    left = sorted(name for name in bucket.objects if name.startswith("state/"))
    assert [name.split("/")[1] for name in left] == [f"{192:020}", f"{256:020}", "hint", "other"]
    log = Log(store, UUID)
    log.read_on()
    assert encode_state(log.state) == encode_state(writer.state)


def test_false_checkpoints_are_named() -> None:
    """A checkpoint with another digest than the log's, or of an entry that is not there, is named by who checks all."""
    bucket, writer = Bucket(), Writer()
    assert publish(_log(bucket, writer, 64))
    assert publish(_log(bucket, writer, 64))
    log = _log(bucket, writer, 3)
    assert not log.is_proved
    assert false_checkpoints(log) == []
    assert set(log.digests) == {64, 128}
    false = [checkpoint_name(64, bytes(32)), checkpoint_name(192, bytes(32))]
    for name in false:
        bucket.put_new(name, b"anything")
    assert false_checkpoints(log) == false
