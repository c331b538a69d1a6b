"""The fold: chain, digests, verdicts and what they say, and that a void transaction leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

from artstore.errors import UnsupportedError
from artstore.remotes.log.checkpoints import encode_state
from artstore.remotes.log.entries import Transaction, encode_entry
from artstore.remotes.log.fold import BrokenLogError, fold, judge
from artstore.remotes.log.operations import Alias, Delete, Undelete
from artstore.remotes.log.state import State
from store.remotes.log.log_story import Writer, commit, make_id, resealed, told_story

DIGITS = make_id("digits")


def _all(state: State) -> dict[str, Any]:
    """Return everything that a state holds but bytes that are kept to save time."""
    return {name: value for name, value in vars(state).items() if name not in ("forms", "_undo")}


def test_judging_can_be_taken_back() -> None:
    """Judging each entry of the story and going back leaves the state as it was, derived tables included."""
    story = told_story()
    state = State(story.state.uuid)
    for data, folded in zip(story.entries, story.folded, strict=True):
        if folded.entry is not None:
            before = {name: dict(value) if isinstance(value, dict) else value for name, value in _all(state).items()}
            saved = encode_state(state)
            position = state.position()
            assert judge(state, folded.entry) == folded.verdicts
            state.go_back(position)
            assert _all(state) == before
            assert encode_state(state) == saved
        fold(state, data)


def test_a_void_transaction_leaves_no_trace() -> None:
    """Accepted operations of a transaction that is void in the end are taken back."""
    writer = Writer()
    writer.do(commit("digits", 0, "d0"))
    before = encode_state(writer.state)
    position = writer.state.position()
    operations = (commit("digits", 1, "d1"), Alias(DIGITS, "a", None, 1), Alias(DIGITS, "a", None, 1))
    (verdict,) = judge(writer.state, writer.entry(writer.state.transaction(*operations)))
    assert verdict is not None
    writer.state.go_back(position)
    assert encode_state(writer.state) == before
    writer.do(*operations)
    assert set(writer.state.versions) == {(DIGITS, 0)}
    assert not writer.state.aliases


def test_another_entry_before_breaks_the_log() -> None:
    """An entry that follows another one is named and not folded; the state stays."""
    writer = Writer()
    writer.do(commit("digits", 0, "d0"))
    before = encode_state(writer.state)
    with pytest.raises(BrokenLogError) as caught:
        writer.do(Undelete(DIGITS, 0), before=bytes(32))
    assert caught.value.number == 2
    assert "entry 2" in caught.value.message
    assert encode_state(writer.state) == before


def test_an_entry_of_a_later_release_stops_the_fold() -> None:
    """It is refused, the state stays."""
    writer = Writer()
    data = bytearray(encode_entry(writer.entry(Transaction(0, 0, (Undelete(DIGITS, 0),)))))
    data[8] = 9
    with pytest.raises(UnsupportedError):
        writer.put(resealed(bytes(data)))
    assert writer.state.number == 0


def test_a_writer_with_another_state_is_seen() -> None:
    """An entry whose writer had another digest is folded, and said to be so."""
    writer = Writer()
    folded = writer.put(encode_entry(writer.entry(writer.state.transaction(commit("a", 0, "a")), digest=bytes(32))))
    assert folded.has_other_state
    assert folded.verdicts == (None,)
    assert not writer.put(encode_entry(writer.entry(writer.state.transaction(commit("a", 1, "b"))))).has_other_state


def test_a_loser_is_told_who_was_first() -> None:
    """A void says who changed what and when, by the log's time."""
    writer = Writer()
    writer.do(commit("digits", 0, "d0"), commit("digits", 1, "d1"))
    writer.do(Alias(DIGITS, "best", None, 0), by="bob@hut", machine=make_id("hut"))
    (void,) = writer.transactions(writer.state.transaction(Alias(DIGITS, "best", None, 1)))
    assert void is not None
    assert void.text == "the alias digits:best was set to v0 by bob@hut on 2027-01-15 08:00:02 UTC (entry 2)"
    assert void.mark == (2, make_id("hut"), 1_800_000_002 * 10**9)
    revision = writer.state.artifacts[DIGITS].revision
    writer.do(Alias(DIGITS, "best", 0, 1))
    (void,) = writer.transactions(writer.state.transaction(Delete(DIGITS, 0, revision, 1, 0, "")))
    assert void is not None
    assert "digits" in void.text
    assert void.mark.number == 4
