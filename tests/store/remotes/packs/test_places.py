"""Names of objects, and places in them."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError, InvalidInputError
from artstore.remotes.packs.places import (
    DATA,
    PACK_LENGTH,
    TREES,
    Pack,
    Place,
    check_pack,
    check_place,
    new_pack,
    parse_object_name,
)


def test_a_name_has_the_folder_and_the_id() -> None:
    pack = Pack(DATA, bytes.fromhex("5f" + "00" * 14 + "ff"))
    assert pack.object_name == "d/5f/5f0000000000000000000000000000ff"
    assert parse_object_name(pack.object_name) == pack


def test_new_packs_differ_and_their_names_lead_back() -> None:
    made = [new_pack(folder) for folder in (DATA, TREES) for _ in range(20)]
    assert len({pack.id for pack in made}) == 40
    assert [parse_object_name(pack.object_name) for pack in made] == made


ID = "5f" + "0" * 30


@pytest.mark.parametrize(
    "name",
    ["", "x/5f/" + ID, "d/5e/" + ID, "d/5F/" + ID.upper(), "d/5f/" + ID + "0", "/d/5f/" + ID, "d/5f/" + ID + "\n"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="not the name of a pack"):
        parse_object_name(name)


@pytest.mark.parametrize("pack", [Pack(0, bytes(16)), Pack(DATA, bytes(15)), Pack(TREES, bytes(17))])
def test_what_is_no_pack_is_refused(pack: Pack) -> None:
    with pytest.raises(DamageError):
        check_pack(pack)


def test_a_place_ends_within_an_object() -> None:
    check_place(Place(Pack(DATA, bytes(16)), PACK_LENGTH - 1, 1))
    with pytest.raises(DamageError):
        check_place(Place(Pack(DATA, bytes(16)), PACK_LENGTH - 1, 2))
