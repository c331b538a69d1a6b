"""The check of a version in a remote names what is lost, and only that."""

from __future__ import annotations

import random

import pytest

from artstore.objects.failures import ObjectMissingError
from artstore.remotes.packs.checking import CheckedVersion, SoundRecords, check_pack_forms, check_version
from artstore.remotes.packs.containers import CHUNK, SPAN, parse_pack
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.pack_sets import encode_set
from artstore.remotes.packs.places import Pack, parse_object_name
from artstore.remotes.packs.reading import RemoteTree
from artstore.remotes.packs.writing import WrittenVersion
from artstore.store import Store
from store.conftest import CommitTree
from store.remotes.packs.memory_remote import MemoryRemote
from store.remotes.packs.test_writing import folders, reachable

NOISE = random.Random(4).randbytes(30_000)
TARGETS = {"data_target": 20_000, "trees_target": 2000, "span_target": 600}


def check(
    remote: MemoryRemote, written: WrittenVersion, *, content: bool = True, sound: SoundRecords | None = None
) -> CheckedVersion:
    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        if pack.object_name not in remote.objects:
            raise ObjectMissingError(f"there is no object {pack.object_name}")
        return remote.fetch(pack, offset, length)

    return check_version(RemoteTree(fetch, written.root, "a:v1"), written.packs, content=content, sound=sound)


@pytest.fixture
def pushed(store: Store, commit_tree: CommitTree) -> tuple[MemoryRemote, WrittenVersion]:
    remote = MemoryRemote()
    tree = {**folders(8, 8), b"large": NOISE, b"crowd": {b"%04d" % number: b"%d" % number for number in range(400)}}
    return remote, remote.push(store, commit_tree(tree), **TARGETS)


def test_a_sound_version_is_sound(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Its packs are those that reading it asks for."""
    remote, written = pushed
    found = check(remote, written)
    assert found.is_sound and found.files == 8 * 8 + 1 + 400
    assert found.bytes == written.root.bytes
    assert {pack.object_name for pack in found.packs} == reachable(remote, written)


def test_each_damaged_chunk_is_told_by_its_file(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """One byte of one chunk: the files that have it, and no other; found only if content is read."""
    remote, written = pushed
    chance = random.Random(1)
    for name in [name for name in remote.objects if name[0] == "d"]:
        data = remote.objects[name]
        entry = chance.choice([entry for entry in parse_pack(data, parse_object_name(name)) if entry.klass == CHUNK])
        at = entry.offset + entry.stored - 1
        remote.objects[name] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert check(remote, written, content=False).is_sound
        found = check(remote, written)
        assert len(found.damage) == 1 and name in found.damage[0].message
        tree = remote.tree(written)
        hurt = tree.resolve(found.damage[0].path)
        assert hurt is not None and entry.id in {
            chunk.id
            for _, chunk in tree.chunks(hurt.content, hurt.size, b"")  # type: ignore[arg-type]
        }
        remote.objects[name] = data


def test_a_lost_object_is_damage(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """Each object in turn: something is told, what can be read is counted, and the check goes on to the end."""
    remote, written = pushed
    for name in sorted(reachable(remote, written)):
        data = remote.objects.pop(name)
        found = check(remote, written)
        assert found.damage and all(name in each.message for each in found.damage)
        has_root = name != written.root.place.pack.object_name
        assert (found.files > 0) == has_root
        remote.objects[name] = data


def test_a_damaged_span_leaves_the_rest(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    remote, written = pushed
    for name, data in list(remote.objects.items()):
        for entry in parse_pack(data, parse_object_name(name)):
            is_root = (name, entry.offset) == (written.root.place.pack.object_name, written.root.place.offset)
            if entry.klass != SPAN or is_root:
                continue
            remote.objects[name] = data[: entry.offset] + bytes(entry.stored) + data[entry.offset + entry.stored :]
            found = check(remote, written, content=False)
            assert found.damage and 0 < found.files < 465
            remote.objects[name] = data


def test_a_pack_that_the_set_lacks_is_told(store: Store, pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    """A set that a wrong writer made: a collection could remove what the version needs."""
    remote, written = pushed
    output = PackOutput(remote)
    kept = sorted(check(remote, written).packs, key=lambda pack: pack.id)
    wrong = output.form(ord("b"), encode_set(kept[1:]))
    output.finish()
    found = check(remote, written._replace(packs=wrong))
    assert found.unlisted == {kept[0], wrong.place.pack} and not found.damage and not found.is_sound


def test_what_two_versions_share_is_checked_once(store: Store, commit_tree: CommitTree) -> None:
    """A second version with one file more: its records and files are passed over as far as they were found sound.

    Damage that both have is found in both.
    """
    remote, sound, read = MemoryRemote(), SoundRecords(), [0, 0]
    tree = {**folders(8, 8), b"large": NOISE}
    written = [remote.push(store, commit_tree(tree), **TARGETS)]
    written.append(remote.push(store, commit_tree({**tree, b"more": b"more"}), base=written[0], **TARGETS))
    for number, each in enumerate(written):
        before = len(remote.requests)
        found = check(remote, each, sound=sound)
        read[number] = len(remote.requests) - before
        assert found.is_sound and {pack.object_name for pack in found.packs} == reachable(remote, each)
    assert read[1] < read[0] / 3
    name = next(name for name in sorted(remote.objects) if name[0] == "d")
    del remote.objects[name]
    sound = SoundRecords()
    damage = [[one.path for one in check(remote, each, sound=sound).damage] for each in written]
    assert damage[0] == damage[1] != []


def test_each_form_of_an_object_is_compared_with_its_footer(pushed: tuple[MemoryRemote, WrittenVersion]) -> None:
    remote, _ = pushed
    for name, data in remote.objects.items():
        pack = parse_object_name(name)
        assert check_pack_forms(data, pack) == []
        for entry in parse_pack(data, pack):
            at = entry.offset + entry.stored // 2
            wrong = check_pack_forms(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :], pack)
            assert len(wrong) == 1 and f"{entry.offset:,}" in wrong[0]
        assert check_pack_forms(data[:-1], pack) and check_pack_forms(data[:-1] + bytes([data[-1] ^ 1]), pack)


def test_equal_spans_in_two_objects_are_two(store: Store, commit_tree: CommitTree) -> None:
    """The same version twice, where the second push knows the chunks: its span has the same bytes in another object."""
    remote, sound, version = MemoryRemote(), SoundRecords(), commit_tree({b"a": NOISE[:1000]})
    written = [remote.push(store, version) for _ in range(2)]
    assert written[0].root.hash == written[1].root.hash and written[0].root.place != written[1].root.place
    for each in written:
        found = check(remote, each, sound=sound)
        assert found.is_sound and {pack.object_name for pack in found.packs} == reachable(remote, each)
