"""Condemn lists: one form, and the names of packs."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.remotes.log.condemn_lists import (
    Pack,
    decode_condemn_list,
    encode_condemn_list,
    pack_name,
    parse_pack_name,
)

PACKS = [Pack("t", bytes([number]) * 16) for number in range(5)] + [Pack("d", b"\xff" * 16)]


def test_a_list_has_one_form() -> None:
    """Order and repetition do not matter to the writer, and are refused by the reader."""
    data = encode_condemn_list([*PACKS, *PACKS])
    assert decode_condemn_list(data) == sorted(PACKS)
    assert encode_condemn_list(decode_condemn_list(data)) == data
    assert decode_condemn_list(encode_condemn_list([])) == []
    head, rows = data[:14], [data[at : at + 17] for at in range(14, len(data), 17)]
    for other in (b"", data[:-1], data + b"\0", head + b"".join(rows[::-1]), head + b"x" + data[15:]):
        with pytest.raises(DamageError):
            decode_condemn_list(other)


def test_packs_have_names() -> None:
    """A pack's object begins with its class and its first byte."""
    for pack in PACKS:
        assert parse_pack_name(pack_name(pack)) == pack
    assert pack_name(PACKS[1]) == "t/01/" + "01" * 16
    for name in ("t/02/" + "01" * 16, "x/01/" + "01" * 16, "t/01/01", "t/01/" + "zz" * 16, "log/1", ""):
        assert parse_pack_name(name) is None
