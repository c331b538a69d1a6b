"""Checkpoints and hints: one form, their own digest, bounded, and any other bytes refused."""

from __future__ import annotations

import struct

import pytest
import zstandard

from artstore.errors import DamageError, InvalidInputError, UnsupportedError
from artstore.ids import content_id
from artstore.remotes.log.checkpoints import (
    Hint,
    checkpoint_name,
    decode_checkpoint,
    decode_hint,
    decode_state,
    encode_checkpoint,
    encode_hint,
    encode_state,
    parse_checkpoint_name,
    state_digest,
)
from artstore.remotes.log.fold import fold
from artstore.remotes.log.state import State
from store.remotes.log.log_story import told_story


def test_folding_on_from_a_checkpoint_is_folding_from_the_start() -> None:
    """From any number on, a state that was saved and read folds to the same bytes and verdicts."""
    story = told_story()
    for number in (0, 1, 20, 64, 100):
        state = State(story.state.uuid)
        for data in story.entries[:number]:
            fold(state, data)
        saved = encode_state(state)
        again = decode_state(saved)
        assert again.digest == content_id(saved)
        again.digest = state.digest
        for data, folded in zip(story.entries[number:], story.folded[number:], strict=True):
            assert fold(again, data).verdicts == folded.verdicts
        assert encode_state(again) == encode_state(story.state)
        assert {name: value for name, value in vars(again).items() if name != "forms"} == {
            name: value for name, value in vars(story.state).items() if name != "forms"
        }


def test_rows_are_kept_as_bytes_only_while_they_are_right() -> None:
    """A digest from kept bytes of rows is the digest from the rows."""
    story = told_story()
    state = State(story.state.uuid)
    for data in story.entries:
        fold(state, data)
        kept = state_digest(state)
        state.forms.clear()
        assert state_digest(state) == kept


def test_a_checkpoint_is_what_its_name_says() -> None:
    """A checkpoint with other bytes, another digest or a false length is refused before it is believed."""
    state = encode_state(told_story().state)
    digest = content_id(state)
    saved = encode_checkpoint(state)
    assert decode_checkpoint(saved, digest) == state
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
    for data in (saved[:-1], saved[:20], b"", saved[:14] + bomb, saved[:10] + struct.pack("<I", 1) + saved[14:]):
        with pytest.raises(DamageError):
            decode_checkpoint(data, digest)
    with pytest.raises(DamageError):
        decode_checkpoint(saved, bytes(32))
    with pytest.raises(UnsupportedError):
        decode_checkpoint(saved[:8] + b"\2" + saved[9:], digest)
    name = checkpoint_name(64, digest)
    assert parse_checkpoint_name(name) == (64, digest)
    for other in ("state/hint", name[:-1], name.upper(), "state/64/00", name.replace("64", "6_4"), f"x{name}"):
        assert parse_checkpoint_name(other) is None


def test_contradicting_rows_are_refused() -> None:
    """A state whose rows contradict each other, stand twice or are out of order is refused."""
    state = told_story().state
    first, second = list(state.artifacts.values())[:2]
    version = next(iter(state.versions.values()))
    alias = next(iter(state.aliases.values()))
    changes = [
        lambda: state.put_artifact(first._replace(name=second.name)),
        lambda: state.put_artifact(first._replace(next=0)),
        lambda: state.put_version(version._replace(state=3)),
        lambda: state.put_version(version._replace(artifact=bytes(16))),
        lambda: state.put_alias(alias._replace(version=99)),
    ]
    for change in changes:
        position = state.position()
        change()
        with pytest.raises(DamageError):
            decode_state(encode_state(state))
        state.go_back(position)
        decode_state(encode_state(state))


def test_hints_have_one_form() -> None:
    """A hint decodes to what it was made of; other bytes are refused."""
    hint = Hint(64, bytes(range(32)), (b"a", b"", b"c" * 65536))
    data = encode_hint(hint)
    assert decode_hint(data) == hint
    for at in (0, 9, 12, 30, 50, 60, len(data) - 1):
        with pytest.raises(DamageError):
            decode_hint(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for other in (b"", data[:-1], data + b"\0"):
        with pytest.raises(DamageError):
            decode_hint(other)
    with pytest.raises(InvalidInputError):
        encode_hint(Hint(0, bytes(32), (bytes(65537),)))
