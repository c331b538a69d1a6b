"""A flip of any byte is harmless, found by fsck or refused; no reader ever gets wrong bytes.

A sample of each campaign of the rot rig; ``scripts/soak rot`` runs them in full.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from artfs.mount.handle import MountHandle
from artstore.errors import DamageError
from artstore.ingest import staging
from artstore.queries.versions import Version
from artstore.records.tables import Table, key32, key64
from artstore.rows import content, nodes
from artstore.storage.environment import Environment
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace, init_workspace, open_workspace
from corpora import folders
from crash import harms, rot, specimen
from crash.harms import Harm, sampled
from crash.rot import FOUND, HARMLESS, REFUSED, Tally, campaign, page_campaign
from crash.specimen import Specimen
from crash.states import forget
from messages import raises
from mount.conftest import Mounts, children, eventually


@pytest.fixture
def patient(quick_dir: Path) -> Iterator[Specimen]:
    with specimen.small_reserve():
        yield specimen.make(quick_dir)


@pytest.fixture
def other(quick_dir: Path) -> Specimen:
    (quick_dir / "other").mkdir()
    with specimen.small_reserve():
        return specimen.make(quick_dir / "other")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("pack bytes flipped", 100),
        ("packs cut", 80),
        ("values flipped", 140),
        ("journal flipped", 45),
        ("journal cut", 45),
        ("files exchanged", 12),
    ],
)
def test_a_sample(patient: Specimen, other: Specimen, quick_dir: Path, name: str, count: int) -> None:
    """Each harm is harmless, found or refused, and every harm of the sample was tried."""
    planned = rot.campaigns(patient, other, 2)[name]
    tally = campaign(patient, quick_dir, sampled(planned, min(1, count / len(planned))))
    assert tally.faults == []
    assert sum(tally.verdicts[verdict] for verdict in (HARMLESS, FOUND, REFUSED)) == min(count, len(planned))
    assert tally.verdicts[FOUND] > 0.5 * min(count, len(planned))


def test_keys(patient: Specimen, quick_dir: Path) -> None:
    """Keys have no seal of their own: in every table, a row under another key is found."""
    by_table: dict[str, list[Harm]] = {}
    for harm in harms.key_flips(patient):
        by_table.setdefault(harm.where.split()[0], []).append(harm)
    assert by_table.keys() == {table.name for table in Table}
    for table, planned in by_table.items():
        tally = campaign(patient, quick_dir, sampled(planned, min(1, 6 / len(planned))))
        assert tally.faults == [], table
        assert tally.verdicts == Counter({FOUND: min(6, len(planned))}), table


def test_keys_that_nobody_looked_at(patient: Specimen, quick_dir: Path) -> None:
    """With any row under a wrong key, putting, deleting and reaping lose no readable content."""
    planned = harms.key_flips(patient)
    index = [harm for harm in planned if harm.where.startswith("INDEX")]
    others = [harm for harm in planned if not harm.where.startswith("INDEX")]
    tally = rot.unaware_campaign(patient, quick_dir, sampled(index, 0.02) + sampled(others, 0.1))
    assert tally.faults == []


def test_what_keeps_a_draft_from_doing_harm(patient: Specimen, quick_dir: Path) -> None:
    """A draft's reference that became one to a living node is refused; unchecked, it costs versions their content."""
    planned = harms.key_flips_at(patient, Table.STAGED, 15)
    assert rot.unaware_campaign(patient, quick_dir, planned).faults == []
    careless = rot.unaware_campaign(patient, quick_dir, planned, changes=["no-seals-of-drafts"])
    assert any("has lost" in fault for fault in careless.faults)


@pytest.mark.parametrize("careless", [False, True])
def test_counts_that_are_gone_are_not_begun_anew(
    quick_dir: Path, monkeypatch: pytest.MonkeyPatch, careless: bool
) -> None:
    """Content whose count is lost can no longer be shared; otherwise its next deletion would remove it everywhere."""
    for name in ("one", "other"):
        (quick_dir / name).mkdir()
        (quick_dir / name / "shared").write_bytes(b"shared" * 500)
        (quick_dir / name / name).write_bytes(name.encode() * 500)
    path = init_workspace(quick_dir / "workspace").path
    open_workspace(path).put(quick_dir / "one", "one")
    forget(path)
    harms.key_flips_at(Specimen(path, {}, {}), Table.COUNTS, 7)[0].do(path)
    workspace = open_workspace(path)
    if not careless:
        with raises(DamageError, reason="lost count"):
            workspace.put(quick_dir / "other", "other")
        assert workspace.version("one").read_bytes("shared") == b"shared" * 500
        return
    change = nodes.change_counts
    monkeypatch.setattr(staging, "change_counts", lambda transaction, changes, new: change(transaction, changes))
    workspace.put(quick_dir / "other", "other")
    workspace.delete("other:v0", now=True)
    with pytest.raises(DamageError):
        workspace.version("one").read_bytes("shared")


def test_pages(patient: Specimen, quick_dir: Path) -> None:
    """fsck survives damage to LMDB's file; files that pass stay sound, others read as an error or kill the reader."""
    tally = page_campaign(patient, quick_dir, harms.page_flips(patient, 40))
    assert tally.faults == []
    assert tally.verdicts[FOUND] and tally.verdicts[HARMLESS]


def test_pages_audited_by_a_process(patient: Specimen, quick_dir: Path) -> None:
    """The same with the audit in a separate interpreter, as in normal use."""
    tally = page_campaign(patient, quick_dir, sampled(harms.page_flips(patient, 60), 0.1, seed=9), changes=())
    assert tally.faults == []


def test_what_names_the_workspace(patient: Specimen, quick_dir: Path) -> None:
    """The two small files that identify the folder as a workspace."""
    for harm in [*harms.file_flips(patient, "current"), *harms.file_flips(patient, "artfs.json")]:
        path = patient.copy(quick_dir / "patient")
        harm.do(path)
        wrong, _ = rot.look_at(patient, path)
        assert wrong == [], harm.where


# -- the rig itself --------------------------------------------------------------------------------------------------


def test_wrong_bytes_are_noticed(patient: Specimen, quick_dir: Path) -> None:
    """With the checksums of stored bytes switched off, flips in raw chunks give wrong bytes: the rig reports that."""
    planned = sampled(harms.file_flips(patient, "packs/00000001.pack"), 0.01)
    tally = campaign(patient, quick_dir, planned, changes=["no-checksums"])
    assert any("holds something else" in fault for fault in tally.faults)


def test_wrong_records_are_noticed(patient: Specimen, quick_dir: Path) -> None:
    """With the seals of records switched off, flips in directory records give wrong names, times and modes."""
    planned = [harm for harm in harms.value_flips(patient) if harm.where.startswith("NODES")]
    tally = campaign(patient, quick_dir, sampled(planned, 120 / len(planned)), changes=["no-seals"])
    assert any("lists other names" in fault for fault in tally.faults)
    assert any("shows another time or mode" in fault for fault in tally.faults)


def test_the_audit_is_what_finds_a_wrong_free_list(patient: Specimen, quick_dir: Path) -> None:
    """A used page listed as free passes a full scan of all tables, and is overwritten some commits later."""
    planned = harms.free_list_flips(patient)[:12]
    unaudited = page_campaign(patient, quick_dir, planned, changes=["no-audit"])
    assert unaudited.verdicts[FOUND] == 0
    assert any("after 50 commits" in fault or "after a clean fsck" in fault for fault in unaudited.faults)
    audited = page_campaign(patient, quick_dir, planned)
    assert (audited.faults, audited.verdicts) == ([], Counter({FOUND: len(planned)}))


def test_a_tally_says_what_it_counted() -> None:
    """The report of the long mode names every verdict."""
    tally = Tally(Counter({FOUND: 3, HARMLESS: 1}), [], Counter(chunk=3))
    assert str(tally) == "4 tried: 1 harmless, 3 found, 0 refused, 0 faults (found by: chunk 3)"


# -- through a mount -------------------------------------------------------------------------------------------------


class Mounted:
    """A workspace under a running mount, with reads that cannot hang the test."""

    def __init__(self, workspace: Workspace, version: Version, source: Path, mounts: Mounts) -> None:
        self.workspace = workspace
        self.version = version
        self.source = source
        self.errors = {errno.EIO, errno.ENOENT, errno.ESTALE}
        self._mounts = mounts
        self.again()

    def again(self) -> None:
        """Mount the workspace, replacing a mount that has ended."""
        self.handle: MountHandle = self._mounts()
        self.top = Path(self.handle.path(self.version))

    def read(self, name: str) -> bytes | int:
        """Return a file's bytes, read after dropping cached pages, or the number of the error."""
        found: list[bytes | int] = []

        def work() -> None:
            try:
                with (self.top / name).open("rb", buffering=0) as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    found.append(file.readall() or b"")
            except OSError as error:
                found.append(error.errno or 0)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(60)
        assert found, f"reading {name} hangs"
        return found[0]

    def is_sound(self, name: str) -> bool:
        """Return whether a file reads as it was put; wrong bytes fail the test."""
        data = self.read(name)
        if isinstance(data, int):
            assert data in self.errors, os.strerror(data)
            return False
        assert data == (self.source / name).read_bytes(), f"{name} reads as something else"
        return True

    def node(self, name: str) -> int:
        """Return the content node of a file, or the node of a directory."""
        with self.workspace.store.snapshot() as snapshot:
            entry = snapshot.resolve(self.version.record.root, name.encode())
        assert entry is not None
        return entry.node


@pytest.fixture
def mounted(tmp_path: Path, transport: str) -> Iterator[Mounted]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / f"raw-{number}").write_bytes(folders.random_bytes(130_000 + number, number))
        (source / f"text-{number}").write_bytes(folders.text_bytes(30_000 + number, number))
        (source / f"folder-{number}").mkdir()
        (source / f"folder-{number}" / f"file-{number}").write_bytes(b"in a folder %d" % number)
    workspace = init_workspace(tmp_path / "workspace")
    version = workspace.put(source, "data")
    mounts = Mounts(workspace.path, tmp_path, transport)
    try:
        yield Mounted(workspace, version, source, mounts)
    finally:
        mounts.end()


def everyone(handle: MountHandle) -> list[int]:
    return [handle.pid, *children(handle.pid)]


@pytest.mark.fuse
def test_packs_that_rot_under_a_mount(mounted: Mounted) -> None:
    """Only the file whose stored bytes rot reads as an error; repaired, it reads again; no process dies."""
    chance = random.Random(1)
    processes = everyone(mounted.handle)
    for number in range(32):
        name = f"{chance.choice(['raw', 'text'])}-{number}"
        with mounted.workspace.store.snapshot() as snapshot:
            chunks = list(content.chunks_between(snapshot.transaction, mounted.node(name), 0, 1 << 20))
        extent = chance.choice(chunks)[0].extent
        path, at, mask = pack_path(mounted.workspace.path, extent.pack), extent.offset, 1 << chance.randrange(8)
        at += chance.randrange(extent.stored)
        harms.flip(path, at, mask)
        assert not mounted.is_sound(name)
        assert mounted.is_sound(f"raw-{39 - number // 5}") and mounted.is_sound(f"folder-{number}/file-{number}")
        harms.flip(path, at, mask)
        assert mounted.is_sound(name)
    assert everyone(mounted.handle) == processes


def exchange_row(workspace: Workspace, table: Table, key: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change a stored row; return its old value."""
    environment = Environment.of(workspace.path)
    with environment.env.begin(write=True, db=environment.handles[table]) as transaction:
        value = bytes(transaction.get(key) or b"")
        transaction.put(key, change(value))
    return value


def flipped(chance: random.Random, value: bytes) -> bytes:
    at = chance.randrange(len(value))
    return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]


@pytest.mark.fuse
def test_records_that_rot_under_a_mount(mounted: Mounted) -> None:
    """A file or folder whose record rots gives an error; repaired, it is back; all others are unaffected."""
    chance = random.Random(2)
    processes = everyone(mounted.handle)
    for number in range(24):
        name = f"folder-{number}/file-{number}" if number % 3 else f"raw-{number}"
        node = mounted.node(f"folder-{number}" if number % 3 == 1 else name)
        sound = exchange_row(mounted.workspace, Table.NODES, key64(node), partial(flipped, chance))
        assert not mounted.is_sound(name)
        assert mounted.is_sound(f"text-{number}")
        exchange_row(mounted.workspace, Table.NODES, key64(node), lambda _, sound=sound: sound)  # type: ignore[misc]
        assert mounted.is_sound(name)
    serial = key32(mounted.version.record.serial)
    exchange_row(mounted.workspace, Table.VERSIONS, serial, partial(flipped, chance))
    with pytest.raises(OSError) as caught:
        os.listdir(mounted.top.parent)
    assert caught.value.errno == errno.EIO
    assert everyone(mounted.handle) == processes


@pytest.mark.fuse
def test_pages_that_rot_under_a_mount(mounted: Mounted) -> None:
    """With damaged bytes in LMDB's file, a read is right or an error; repaired, it is right again.

    A page may kill any process that reads it, even the supervisor; the mount then fails, and can be made again.
    """
    mounted.errors |= {errno.ENOTCONN, errno.ECONNABORTED}
    planned = harms.page_flips(Specimen(mounted.workspace.path, {}, {}), 400)
    sound = Counter[bool]()
    for number, harm in enumerate(sampled(planned, 0.1)):
        name = f"{'raw' if number % 2 else 'text'}-{number}"
        harm.do(mounted.workspace.path)
        sound[mounted.is_sound(name)] += 1
        harm.do(mounted.workspace.path)
        if mounted.read("folder-39/file-39") == errno.ENOTCONN:
            mounted.again()
        eventually(lambda name=name: mounted.is_sound(name), seconds=20)  # type: ignore[misc]
    assert sound[True]
