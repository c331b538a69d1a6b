"""Checking a log: every entry from the first on, and what saves others from folding it."""

from __future__ import annotations

from dataclasses import dataclass, field

from artstore.errors import DamageError, UnsupportedError
from artstore.objects.failures import ObjectMissingError
from artstore.objects.protocol import ObjectStore
from artstore.remotes.log.checkpoints import (
    HINT,
    Hint,
    checkpoint_name,
    decode_checkpoint,
    decode_hint,
    encode_state,
    parse_checkpoint_name,
)
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import State

__all__ = ["CheckedLog", "check_log"]


@dataclass
class CheckedLog:
    """What a check of a log has found.

    ``log`` is the one that was followed furthest, ``is_whole`` whether it was folded from the first entry to the last.
    ``problems`` are (kind, sentence), of the kinds ``log``, ``checkpoint`` and ``unchecked``; ``void`` has the numbers
    of objects that are no entries, which is no damage where the entries after them say so.
    """

    log: Log
    is_whole: bool = False
    problems: list[tuple[str, str]] = field(default_factory=list)
    void: list[int] = field(default_factory=list)
    checkpoints: int = 0


def check_log(store: ObjectStore, uuid: bytes) -> CheckedLog:
    """Fold a log from its first entry, and compare it with its checkpoints and its hint.

    Others may append meanwhile.  Raises the errors of the store.
    """
    # What is saved is read first: what comes to be saved later belongs to entries that are not looked at.
    saved = [info.name for info in store.list("state/")]
    hint, problem = _hint(store)
    log, whole = Log(store, uuid), Log(store, uuid, State(uuid))
    log.read_on()
    folded = whole.read_on()
    checked = CheckedLog(whole if whole.state.number >= log.state.number else log)
    checked.is_whole = whole.trouble is None and whole.newer is None
    checked.void = [each.number for each in folded if each.entry is None]
    troubles = {str(each.trouble): each.trouble for each in (whole, log) if each.trouble is not None}
    checked.problems += [("log", text) for text in troubles]
    if whole.newer is not None:
        checked.problems.append(("unchecked", str(whole.newer)))
    if not troubles and log.state.number == whole.state.number and encode_state(log.state) != encode_state(whole.state):
        text = f"the log of {store.url} does not lead to the checkpoint that its hint names"
        checked.problems.append(("log", text))
    if problem:
        checked.problems.append(("checkpoint", problem))
    for name in saved:
        _check_checkpoint(whole, name, checked)
    if hint is not None:
        _check_hint(whole, hint, saved, checked)
    return checked


def _hint(store: ObjectStore) -> tuple[Hint | None, str]:
    """Return the hint, None if there is none that can be read, and what is wrong with it."""
    try:
        return decode_hint(store.read(HINT, fresh=True)), ""
    except ObjectMissingError:
        return None, ""
    except DamageError as error:
        return None, f"the object {HINT} is damaged, until the next push replaces it: {error.message}"


def _check_checkpoint(whole: Log, name: str, checked: CheckedLog) -> None:
    found = parse_checkpoint_name(name)
    if found is None:
        if name != HINT:
            checked.problems.append(("checkpoint", f"the object {name} is no checkpoint; remove it"))
        return
    number, digest = found
    checked.checkpoints += 1
    if number > whole.state.number and not checked.is_whole:
        checked.problems.append(("unchecked", f"the checkpoint {name} cannot be compared: the log ends before"))
    elif whole.digests.get(number) != digest:
        checked.problems.append(("checkpoint", f"the log does not lead to the checkpoint {name}; remove that object"))
    try:
        decode_checkpoint(whole.store.read(name, fresh=True), digest)
    except ObjectMissingError:
        checked.checkpoints -= 1  # it was old, and was removed meanwhile
    except (DamageError, UnsupportedError) as error:
        checked.problems.append(
            ("checkpoint", f"the checkpoint {name} is damaged; remove that object: {error.message}")
        )


def _check_hint(whole: Log, hint: Hint, saved: list[str], checked: CheckedLog) -> None:
    """Compare a hint with the checkpoints that there are, and with the last entries of the log."""
    name = checkpoint_name(hint.number, hint.digest)
    if hint.number and name not in saved:
        checked.problems.append(("checkpoint", f"the object {HINT} leads to the checkpoint {name}, which is missing"))
    first = whole.state.number - len(whole.recent) + 1
    for number, data in enumerate(hint.entries, hint.number + 1):
        if first <= number <= whole.state.number and whole.recent[number - first] != data:
            checked.problems.append(("checkpoint", f"the object {HINT} has another entry {number} than the log"))
            return
