"""Publishing checkpoints and the hint: what saves others from folding the whole log.

All of it is best effort: a failure costs others time only.
"""

from __future__ import annotations

from typing import Final

from artstore.errors import ArtfsError
from artstore.objects.failures import ObjectMissingError
from artstore.objects.protocol import ObjectInfo, ObjectStore
from artstore.remotes.log.checkpoints import (
    HINT,
    HINTED_BYTES,
    Hint,
    checkpoint_name,
    encode_checkpoint,
    encode_hint,
    encode_state,
    parse_checkpoint_name,
)
from artstore.remotes.log.reading import Log

__all__ = ["false_checkpoints", "old_checkpoints", "prune_checkpoints", "publish"]

_KEPT: Final = 2
_AGE: Final = 7 * 86400.0
_LENGTH: Final = 4


def publish(log: Log) -> bool:
    """Write the hint, and before it the checkpoint that is due; return whether it worked.

    A checkpoint is due at each multiple of 64, where the state is at hand.  Call it after an append, at most every ten
    seconds between two checkpoints.
    """
    if log.trouble is not None:
        return False
    try:
        _renew_base(log)
        number, digest = log.base
        follow = log.state.number - number
        if follow > len(log.recent):
            return False
        entries = list(log.recent)[len(log.recent) - follow :]
        log.store.replace(HINT, encode_hint(Hint(number, digest, _first(entries))))
    except ArtfsError:
        return False
    return True


def prune_checkpoints(store: ObjectStore, now: float) -> list[str]:
    """Remove the checkpoints that are older than 7 days, but the newest two; return their names.

    ``now`` is the store's clock.  Raises the errors of the store.
    """
    old = [info.name for info in old_checkpoints(store, now)]
    store.delete(old)
    return old


def old_checkpoints(store: ObjectStore, now: float) -> list[ObjectInfo]:
    """Return the checkpoints that `prune_checkpoints` removes."""
    saved = [info for info in store.list("state/") if parse_checkpoint_name(info.name) is not None]
    numbers = sorted({info.name.split("/")[1] for info in saved})[:-_KEPT]
    return [info for info in saved if info.name.split("/")[1] in numbers and 0 < info.modified < now - _AGE]


def false_checkpoints(log: Log) -> list[str]:
    """Return the names of checkpoints that the log does not lead to; ``log`` is proved first, if it is not.

    Raises the errors of the store, and `BrokenLogError` if the log itself does not prove.
    """
    log.prove()
    log.check_writable()
    saved = ((info.name, parse_checkpoint_name(info.name)) for info in log.store.list("state/"))
    return [name for name, found in saved if found is not None and log.digests.get(found[0]) != found[1]]


def _renew_base(log: Log) -> None:
    """Make the checkpoint of the last multiple the base of the hint, if the state is there or another has made it."""
    due = log.state.number // log.every * log.every
    if due <= log.base[0]:
        return
    name = checkpoint_name(due, log.state.digest)
    if due == log.state.number:
        log.store.create(name, encode_checkpoint(encode_state(log.state)))
    else:
        try:
            log.store.head(name)
        except ObjectMissingError:
            return
    log.base = (due, log.state.digest)


def _first(entries: list[bytes]) -> tuple[bytes, ...]:
    """Return the first entries that fit into a hint."""
    left = HINTED_BYTES
    for count, entry in enumerate(entries):
        left -= len(entry) + _LENGTH
        if left < 0:
            return tuple(entries[:count])
    return tuple(entries)
