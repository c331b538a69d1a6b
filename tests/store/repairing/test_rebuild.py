"""A lost environment comes back from packs and journal: every living version, and nothing that was deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artstore.errors import BusyError, DamageError
from artstore.reclaim.compaction import compact_journal, compact_pack
from artstore.records.journal_frames import encode_records
from artstore.repairing.rebuild import rebuild
from artstore.rows.nodes import content_record
from artstore.storage import disk, journal
from artstore.storage.packs import pack_path, read_segments
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises
from store.conftest import forget
from store.lived import aged, attributes, catalogue_of, reopened
from store.oracle import assert_sound, leftovers, usage_contradictions, write_folder


def _folder(ws: Workspace) -> Path:
    return ws.path / (ws.path / "current").read_text().split()[1]


def _rebuilt(ws: Workspace) -> Workspace:
    report = rebuild(ws.path)
    assert report.clean, report
    return Workspace(Store.open(ws.path))


def _delete(data: Path) -> None:
    data.unlink()


def _truncate(data: Path) -> None:
    os.truncate(data, 5000)


def _empty(data: Path) -> None:
    os.truncate(data, 0)


def _zero(data: Path) -> None:
    data.write_bytes(bytes(data.stat().st_size))


def _tear(data: Path) -> None:
    """Give every other page the bytes of another."""
    whole = data.read_bytes()
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    data.write_bytes(b"".join(pages[-index] if index % 2 else page for index, page in enumerate(pages)))


def _remove_folder(data: Path) -> None:
    shutil.rmtree(data.parent)


def _remove_all_that_says_so(data: Path) -> None:
    shutil.rmtree(data.parent)
    (data.parents[1] / "current").unlink()


LOSSES = [_delete, _truncate, _empty, _zero, _tear, _remove_folder, _remove_all_that_says_so]


@pytest.mark.parametrize("lose", LOSSES)
def test_every_living_version_comes_back(lived: Workspace, lose: Callable[[Path], None]) -> None:
    """Whatever was lost: names, numbers, serials, digests, metadata, tags, aliases, times, bytes are as before."""
    before = catalogue_of(lived)
    folder = _folder(lived)
    forget(lived.store)
    lose(folder / "data.mdb")
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == before
    assert_sound(ws)
    assert usage_contradictions(ws) == []
    ws.gc(now=True)
    shutil.rmtree(ws.path / "damaged-manifest.1", ignore_errors=True)
    assert leftovers(ws) == []
    assert catalogue_of(ws) == before


def test_a_damaged_environment_is_kept_aside(lived: Workspace) -> None:
    """What could still be looked into is renamed; what is empty is removed."""
    folder = _folder(lived)
    forget(lived.store)
    _zero(folder / "data.mdb")
    kept = rebuild(lived.path)
    assert (lived.path / "damaged-manifest.1" / "data.mdb").exists()
    assert any("damaged-manifest.1" in note for note in kept.notes)
    assert not folder.exists()
    _empty(_folder(lived) / "data.mdb")
    rebuild(lived.path)
    assert sorted(path.name for path in lived.path.glob("*manifest*")) == ["damaged-manifest.1", "manifest.3"]
    reopened(lived)


def test_what_comes_next_goes_on(lived: Workspace, tmp_path: Path) -> None:
    """Numbers and serials that were given before are not given again, and a deleted version does not come back."""
    serials = [version.record.serial for name in ("team/vision/data", "alone") for version in lived.versions(name)]
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    new = aged(write_folder(tmp_path / "new", {b"a": ("file", b"new")}))
    versions = [ws.put(new, name, push=False) for name in ("team/vision/data", "alone", "gone/away")]
    assert [version.name for version in versions] == ["team/vision/data:p1", "alone:v2", "gone/away:v1"]
    assert ws.next_version("team/vision/data") == 3  # the log of its remote gives the next one
    assert min(version.record.serial for version in versions) > max(*serials, 6)
    assert_sound(ws)


def test_a_put_finds_what_was_rebuilt(lived: Workspace, tmp_path: Path) -> None:
    """The same folder put again stores nothing."""
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    version = ws.put(tmp_path / "first", "again")
    assert version.receipt is not None
    assert version.receipt.new_bytes == 0
    assert version.record.form == ws.version("team/vision/data:v0").record.form
    assert_sound(ws)


def test_extreme_times_and_modes_come_back(lived: Workspace, tmp_path: Path) -> None:
    """Times before 1970, the first and the last that are stored, and modes with few bits; the forms are the same."""
    folder = write_folder(tmp_path / "extreme", {b"%d/file" % number: ("file", b"x" * number) for number in range(6)})
    times = [-(2**63) - 5 * 10**9, -(2**62), -1, 0, 2**63 - 1, 2**63 + 5 * 10**9]
    for number, mtime_ns in enumerate(times):
        (folder / str(number) / "file").chmod(0o400 | number)
        os.utime(folder / str(number) / "file", ns=(0, mtime_ns))
        (folder / str(number)).chmod(0o500 | number)
        os.utime(folder / str(number), ns=(0, mtime_ns))
    os.utime(folder, ns=(0, -7))
    stored = [os.stat(folder / str(number) / "file").st_mtime_ns for number in range(6)]
    version = lived.put(folder, "extreme")
    kept = attributes(lived, version.record.root)
    limits = [min(max(mtime_ns, -(2**63)), 2**63 - 1) for mtime_ns in stored]
    assert [kept[b"%d/file" % number] for number in range(6)] == [
        (mtime_ns, 0o400 | number) for number, mtime_ns in enumerate(limits)
    ]
    assert [kept[b"%d" % number][1] for number in range(6)] == [0o500 | number for number in range(6)]
    assert version.record.mtime_ns == -7
    before = catalogue_of(lived)
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == before
    assert_sound(ws)
    for number in range(6):
        (folder / str(number)).chmod(0o700)


def test_purged_content_stays_purged(lived: Workspace) -> None:
    """The version has its new digest, its record of the purge, and nothing of the content lies in any pack."""
    secret = lived.version("alone:v1").read_bytes("deep/run")
    lived.purge("alone:v1/deep/run", reason="a test", everywhere=True)
    before = catalogue_of(lived)
    purged = lived.version("alone:v1").record.purged
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == before
    assert ws.version("alone:v1").record.purged == purged
    ws.gc(now=True)
    assert all(secret[100:164] not in path.read_bytes() for path in (ws.path / "packs").iterdir())
    assert_sound(ws)


def test_after_the_journal_was_written_anew(lived: Workspace) -> None:
    """A compacted journal leads to the same catalogue."""
    for number in range(200):
        lived.tags.add("alone:v1", f"tag{number}")
        lived.tags.remove("alone:v1", f"tag{number}")
    before, after = compact_journal(lived.store)
    assert after < before
    catalogue = catalogue_of(lived)
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == catalogue
    assert_sound(ws)
    ws.tags.add("alone:v1", "later")
    assert_sound(ws)


# -- copies and holes --------------------------------------------------------------------------------------------------


def test_of_two_copies_the_one_that_is_sound_is_taken(lived: Workspace) -> None:
    """Compaction was killed after copying: wherever the copy or the original is damaged, the other is found."""
    before = catalogue_of(lived)
    first = pack_path(lived.path, 1).read_bytes()
    compact_pack(lived.store, 1)
    forget(lived.store)
    second = pack_path(lived.path, 2).read_bytes()
    for damaged, whole in ((1, first), (2, second)):
        spoiled = bytearray(whole)
        for offset, length in _stored_forms(lived.path, damaged):
            spoiled[offset + length // 2] ^= 1
        pack_path(lived.path, damaged).write_bytes(spoiled)
        shutil.rmtree(_folder(lived))
        ws = _rebuilt(lived)
        assert catalogue_of(ws) == before
        assert_sound(ws)
        forget(ws.store)
        pack_path(lived.path, damaged).write_bytes(whole)


def _stored_forms(path: Path, number: int) -> Iterator[tuple[int, int]]:
    for segment in read_segments(pack_path(path, number)):
        for entry in segment:
            if entry.stored:
                yield entry.offset, entry.stored


# -- what is lost ------------------------------------------------------------------------------------------------------


def test_lost_content_is_named_and_the_rest_comes_back(lived: Workspace, tmp_path: Path) -> None:
    """A file whose stored form is a hole costs itself and no other, and comes back when it is put again."""
    before = catalogue_of(lived)
    with lived.store.snapshot() as snapshot:
        entry = snapshot.resolve(lived.version("alone:v1").record.root, b"deep/run")
        assert entry is not None
        extent = content_record(snapshot.transaction, entry.node).extent
    forget(lived.store)
    fd = os.open(pack_path(lived.path, extent.pack), os.O_RDWR)
    assert disk.punch_hole(fd, extent.offset // 4096 * 4096 + 4096, 4096)
    os.close(fd)
    (_folder(lived) / "data.mdb").unlink()
    report = rebuild(lived.path)
    assert [problem.kind for problem in report.problems] == ["chunk"]
    ws = Workspace(Store.open(lived.path))
    with raises(DamageError, reason="lost"):
        ws.version("alone:v1").read_bytes("deep/run")
    assert ws.version("alone:v1").read_bytes("many/007") == b"7 of many"
    ws.put(tmp_path / "second", "healing")
    after = catalogue_of(ws)
    assert {name: after[name] for name in before} == before
    assert_sound(ws)


def test_where_content_is_lost_nothing_is_freed(lived: Workspace) -> None:
    """What nothing refers to may be what a damaged pack's index would tell of: put back, it brings everything back."""
    before = catalogue_of(lived)
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    pack = pack_path(lived.path, 1)
    kept = pack.read_bytes()
    spoiled = bytearray(kept)
    spoiled[spoiled.index(b"ARTFIDX1") + 20] ^= 1
    pack.write_bytes(spoiled)
    report = rebuild(lived.path)
    assert {"packed", "catalogue"} <= {problem.kind for problem in report.problems}
    ws = Workspace(Store.open(lived.path))
    ws.gc(now=True)
    forget(ws.store)
    assert pack.read_bytes() == bytes(spoiled)
    pack.write_bytes(kept)
    (_folder(lived) / "data.mdb").unlink()
    assert catalogue_of(_rebuilt(lived)) == before


def test_a_damaged_journal_gives_what_can_be_read(lived: Workspace) -> None:
    """An event in the middle is lost, and named; those after it hold; the journal is whole again."""
    before = catalogue_of(lived)
    path = journal.journal_path(lived.path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"event":"tags"') + 40] ^= 1
    forget(lived.store)
    path.write_bytes(data)
    (_folder(lived) / "data.mdb").unlink()
    report = rebuild(lived.path)
    assert [problem.kind for problem in report.problems] == ["journal"]
    ws = Workspace(Store.open(lived.path))
    assert ws.tags.of("team/vision/data:v1") == []
    assert catalogue_of(ws)["alone"] == before["alone"]
    assert_sound(ws)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(data)


def test_without_a_journal_nothing_is_done(lived: Workspace) -> None:
    """Nobody knows a version then: the rebuild says so and leaves everything."""
    forget(lived.store)
    shutil.rmtree(lived.path / "journal")
    with raises(DamageError, names=["journal"]):
        rebuild(lived.path)
    assert (lived.path / "manifest.1").exists()
    reopened(lived)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_end_of_the_journal_is_passed_over(lived: Workspace, cut: int) -> None:
    """What was being appended when the power went counts as never said."""
    before = catalogue_of(lived)
    path = journal.journal_path(lived.path)
    forget(lived.store)
    with path.open("ab") as file:
        file.write(encode_records([{"event": "tags", "name": "alone", "version": 1, "tags": ["x"]}])[:-cut])
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == before
    ws.tags.add("alone:v1", "later")
    assert_sound(ws)


def test_a_torn_pack_is_passed_over(lived: Workspace) -> None:
    """What was being appended when the power went belongs to no one."""
    before = catalogue_of(lived)
    forget(lived.store)
    with pack_path(lived.path, 1).open("ab") as file:
        file.write(pack_path(lived.path, 1).read_bytes()[40:3000])
    (_folder(lived) / "data.mdb").unlink()
    ws = _rebuilt(lived)
    assert catalogue_of(ws) == before
    assert_sound(ws)


# -- being alone -------------------------------------------------------------------------------------------------------


def test_processes_that_use_the_workspace_are_named(lived: Workspace) -> None:
    """This one has the manifest open: nothing is done."""
    with raises(BusyError, names=[f"process {os.getpid()}"]):
        rebuild(lived.path)
    assert _folder(lived).name == "manifest.1"


@pytest.mark.parametrize("gone", [False, True])
def test_another_process_is_named_even_if_the_manifest_is_gone(lived: Workspace, gone: bool) -> None:
    """Its files are open, though they have no name any more."""
    forget(lived.store)
    script = "import sys; from artstore.workspace import *; open_workspace(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, lived.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        if gone:
            shutil.rmtree(_folder(lived))
        with raises(BusyError, names=[f"process {other.pid}"]):
            rebuild(lived.path)
        other.communicate(b"")
    assert catalogue_of(_rebuilt(lived)).keys() == {"alone", "team/vision/data"}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_killed_rebuild_is_begun_again(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception anywhere leaves the workspace as it was, or rebuilt; the next run does the whole."""
    before = catalogue_of(lived)
    forget(lived.store)
    (_folder(lived) / "data.mdb").unlink()
    killed = 0
    while _is_killed(lived.path, killed, monkeypatch):
        killed += 1
    assert killed > 3
    ws = Workspace(Store.open(lived.path))
    assert catalogue_of(ws) == before
    assert_sound(ws)
    assert not (ws.path / "run" / "rebuild").exists()


def _is_killed(path: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Rebuild, and end it at the call after some that write or sync; return whether it came so far."""
    calls = iter(range(after))

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(*args)

        return call

    with monkeypatch.context() as patched:
        for name in ("write_file", "sync_folder"):
            patched.setattr(disk, name, dying(getattr(disk, name)))
        try:
            rebuild(path)
        except KeyboardInterrupt:
            return True
    return False
