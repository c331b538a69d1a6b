"""Damage to a workspace's files: bytes flipped, files cut, emptied, lost and exchanged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from artstore.records.tables import Table
from crash import pages, specimen
from crash.specimen import Specimen, environment


class Harm(NamedTuple):
    """One piece of damage to a workspace: ``where`` names it, ``file`` is the damaged file."""

    where: str
    file: str
    do: Callable[[Path], None]


def sampled(harms: Sequence[Harm], share: float, seed: int = 6) -> list[Harm]:
    """Return a share of some harms, the same for the same seed."""
    return random.Random(seed).sample(harms, max(1, round(len(harms) * share)))


def flip(path: Path, at: int, mask: int) -> None:
    """Flip bits of one byte of a file, as a disk would."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ mask]))


def _flips(name: str, places: Sequence[int], seed: int) -> Iterator[Harm]:
    chance = random.Random(seed)
    for at in places:
        mask = 1 << chance.randrange(8)
        yield Harm(f"{name}, byte {at} xor {mask}", name, partial(_flip_in, name, at, mask))


def _cuts(name: str, places: Sequence[int]) -> Iterator[Harm]:
    for at in places:
        yield Harm(f"{name} cut to {at} bytes", name, partial(_cut, name, at))


def _flip_in(name: str, at: int, mask: int, path: Path) -> None:
    flip(path / name, at, mask)


def _cut(name: str, at: int, path: Path) -> None:
    os.truncate(path / name, at)


def file_flips(patient: Specimen, name: str, seed: int = 1) -> list[Harm]:
    """Return a flip of every byte of a file."""
    return list(_flips(name, range((patient.path / name).stat().st_size), seed))


def file_cuts(patient: Specimen, name: str) -> list[Harm]:
    """Return a cut of a file before each of its bytes."""
    return list(_cuts(name, range((patient.path / name).stat().st_size)))


def _put_row(table: Table, old: bytes, key: bytes, value: bytes, path: Path) -> None:
    with environment(path) as env:
        handle = env.open_db(table.name.lower().encode(), create=False)
        with env.begin(write=True, db=handle) as transaction:
            if key != old:
                transaction.delete(old)
            transaction.put(key, value)


def value_flips(patient: Specimen, seed: int = 2) -> list[Harm]:
    """Return a flip of every byte of every value of the manifest, as it is stored."""
    return list(_row_flips(patient, seed, keys=False))


def key_flips(patient: Specimen, seed: int = 3) -> list[Harm]:
    """Return a flip of every byte of every key of the manifest; it replaces a row that already has that key."""
    return list(_row_flips(patient, seed, keys=True))


def key_flips_at(patient: Specimen, table: Table, at: int) -> list[Harm]:
    """Return a flip of each bit of one byte of every key of a table."""
    data = f"{(patient.path / 'current').read_text().split()[1]}/data.mdb"
    return [
        Harm(f"{table.name} {key.hex()}, byte {at} xor {1 << bit}", data, partial(_put_row, table, key, new, value))
        for found, key, value in specimen.rows(patient.path)
        if found is table
        for bit in range(8)
        for new in [key[:at] + bytes([key[at] ^ 1 << bit]) + key[at + 1 :]]
    ]


def _row_flips(patient: Specimen, seed: int, *, keys: bool) -> Iterator[Harm]:
    chance = random.Random(seed)
    data = f"{(patient.path / 'current').read_text().split()[1]}/data.mdb"
    for table, key, value in specimen.rows(patient.path):
        row = bytearray(key if keys else value)
        for at in range(len(row)):
            mask = 1 << chance.randrange(8)
            row[at] ^= mask
            new = (bytes(row), value) if keys else (key, bytes(row))
            where = f"{table.name} {key.hex()}, byte {at} of its {'key' if keys else 'value'} xor {mask}"
            yield Harm(where, data, partial(_put_row, table, key, *new))
            row[at] ^= mask


def page_flips(patient: Specimen, count: int, seed: int = 4) -> list[Harm]:
    """Return flips of ``count`` bytes of LMDB's file, half of them where its own structure is."""
    name = f"{(patient.path / 'current').read_text().split()[1]}/data.mdb"
    chance = random.Random(seed)
    image = (patient.path / name).read_bytes()
    structure = pages.structure(image)
    places = chance.sample(structure, min(len(structure), count // 2))
    places += chance.sample(range(len(image)), count - len(places))
    return list(_flips(name, places, seed))


def free_list_flips(patient: Specimen) -> list[Harm]:
    """Return flips that turn a page that LMDB may use again into one that is in use."""
    name = f"{(patient.path / 'current').read_text().split()[1]}/data.mdb"
    image = (patient.path / name).read_bytes()
    rows = pages.free_lists(image)
    free = {page for row in rows for page in row.pages}
    return [
        Harm(f"free page {page} becomes {page ^ mask}", name, partial(_flip_in, name, row.at + 8 * index, mask))
        for row in rows
        for index, page in enumerate(row.pages)
        for mask in (1, 2, 4, 8, 16, 32)
        if page ^ mask not in free and 2 <= page ^ mask < len(image) // pages.PAGE
    ]


def exchanges(patient: Specimen, other: Specimen) -> list[Harm]:
    """Return whole files lost, emptied, zeroed, and taken from another workspace."""
    pack, foreign = f"packs/{patient.pack().name}", other.pack().read_bytes()
    journal, mine = "journal/catalogue.journal", patient.pack().read_bytes()
    contents: Mapping[str, tuple[str, bytes]] = {
        "a pack of zeros": (pack, bytes(len(mine))),
        "an empty pack": (pack, b""),
        "another workspace's pack": (pack, foreign),
        "a pack of noise": (pack, random.Random(5).randbytes(len(mine))),
        "another pack's header": (pack, foreign[:60] + mine[60:]),
        "a pack that is all header": (pack, mine[:60] * (len(mine) // 60)),
        "a pack and something behind it": (pack, mine + b"behind" * 100),
        "an empty journal": (journal, b""),
        "a journal of zeros": (journal, bytes((patient.path / journal).stat().st_size)),
        "another workspace's journal": (journal, (other.path / journal).read_bytes()[:-1] + b"x"),
    }
    return [
        *(Harm(what, name, partial(_write, name, data)) for what, (name, data) in contents.items()),
        Harm("a lost pack", pack, partial(_lose, pack)),
        Harm("a lost journal", journal, partial(_lose, journal)),
    ]


def _write(name: str, data: bytes, path: Path) -> None:
    (path / name).write_bytes(data)


def _lose(name: str, path: Path) -> None:
    (path / name).unlink()
