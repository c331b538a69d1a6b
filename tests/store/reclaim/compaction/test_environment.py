"""Compacting the LMDB environment beside processes that read, write, idle or die: nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from artstore.errors import ArtfsError, BusyError, DamageError, OutOfSpaceError
from artstore.reclaim import compaction
from artstore.reclaim.compaction import compact_environment, environment, retire_replaced
from artstore.records.tables import Table, key64
from artstore.storage import disk, manifest, manifest_folders
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from corpora.folders import content_of
from crash.kill import environment as child_environment
from crash.recount import contradictions
from crash.states import content_of_version
from store.reclaim.compaction.conftest import Faults

Rows = dict[Table, list[tuple[bytes, bytes]]]


@pytest.fixture
def grown(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace whose environment is mostly free pages; ``keep:v0`` is what is left."""
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_bytes(b"kept %d" % number)
    workspace.put(folder, "keep", aliases=["good"])
    noise = random.Random(1)
    for number in range(1200):
        (folder / f"more{number:04}").write_bytes(noise.randbytes(30))
    workspace.put(folder, "gone")
    workspace.delete("gone:v0", now=True)
    return workspace


def rows(workspace: Workspace) -> Rows:
    """Return all rows as they are stored, but the counters, which every transaction writes again."""
    found: Rows = {}
    with manifest.read(workspace.path) as transaction:
        for table in Table:
            with transaction.raw.cursor(transaction.handles[table]) as cursor:
                found[table] = [(bytes(key), bytes(value)) for key, value in cursor]
    return found


def folders_of(workspace: Workspace) -> list[str]:
    return sorted(name for name in os.listdir(workspace.path) if name.startswith("manifest"))


def number_of(workspace: Workspace) -> int:
    with manifest.read(workspace.path) as transaction:
        return transaction.number


def hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(environment, "READER_SECONDS", 0.3)


@contextmanager
def child(workspace: Workspace, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process that has the workspace as ``ws``; its first line says that it is ready."""
    head = f"import sys\nfrom artstore.workspace import open_workspace\nws = open_workspace({str(workspace.path)!r})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    try:
        assert line(process) == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream and stream.close()


def line(process: subprocess.Popen[str]) -> str:
    return _stream(process.stdout).readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    stream = _stream(process.stdin)
    stream.write("go\n")
    stream.flush()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


# -- the copy ----------------------------------------------------------------------------------------------------------


def test_the_same_rows_in_fewer_pages(grown: Workspace, tmp_path: Path) -> None:
    """Transaction numbers go on, modes are kept, and what was replaced is gone; again, it is not worth it."""
    before, number = rows(grown), number_of(grown)
    old, new = compact_environment(grown.store)
    assert new < old / 2
    assert rows(grown) == before
    assert number_of(grown) > number
    assert folders_of(grown) == ["manifest.2"]
    assert (grown.path / "current").read_text() == "1 manifest.2\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [grown.path / "manifest.2", grown.path / "current"]}
    modes |= {path.name: path.stat().st_mode & 0o777 for path in (grown.path / "manifest.2").iterdir()}
    expected = {"manifest.2": 0o700, "current": 0o600, "data.mdb": 0o600, "lock.mdb": 0o600, "lease": 0o600}
    assert modes == expected
    assert contradictions(grown.path) == []
    assert set(content_of_version(grown.version("keep:good"))) == {b"%d" % number for number in range(20)}
    again = compact_environment(grown.store)
    assert new <= again[0] == again[1] < new + 65536
    assert folders_of(grown) == ["manifest.2"]


@pytest.mark.parametrize("commits", [0, 1, 60, 61])
def test_numbers_go_on(grown: Workspace, commits: int) -> None:
    """Odd or even, few or many: the copy shows a number that is not lower, and every commit after it a higher one."""
    for step in range(commits):
        grown.aliases.set("keep:v0", f"before{step}")
    number = number_of(grown)
    compact_environment(grown.store)
    assert number_of(grown) <= max(number, 40) + 5
    for step in range(4):
        assert number_of(grown) >= number + 1 + step
        grown.aliases.set("keep:v0", f"step{step}")
    assert contradictions(grown.path) == []


def test_modes_of_a_group(grown: Workspace) -> None:
    """What a group may use stays so, whatever the umask."""
    for path in [grown.path / "manifest.1", *(grown.path / "manifest.1").iterdir(), grown.path / "current"]:
        path.chmod(0o2770 if path.is_dir() else 0o660)
    before = os.umask(0o077)
    try:
        compact_environment(grown.store)
    finally:
        os.umask(before)
    new = grown.path / "manifest.2"
    assert new.stat().st_mode & 0o7777 == 0o2770
    assert {path.stat().st_mode & 0o777 for path in [*new.iterdir(), grown.path / "current"]} == {0o660}


def test_a_table_that_is_not_known_is_not_dropped(grown: Workspace) -> None:
    """Refused before anything is copied."""
    grown_manifest = Environment.of(grown.path)
    grown_manifest.env.open_db(b"of tomorrow")
    with pytest.raises(DamageError, match="does not know"):
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]


def test_a_copy_that_lacks_rows_is_dropped(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied is counted before it is put in place."""
    original = environment._pieces

    def lossy(transaction: Any, table: Table) -> Iterator[list[tuple[bytes, bytes]]]:
        for piece in original(transaction, table):
            yield piece[1:] if table is Table.INDEX else piece

    monkeypatch.setattr(environment, "_pieces", lossy)
    with pytest.raises(DamageError, match="rows"):
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]
    assert contradictions(grown.path) == []


def test_without_room_nothing_changes(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is kept."""
    with monkeypatch.context() as patch, pytest.raises(OutOfSpaceError):
        patch.setattr(disk, "free_bytes", lambda _: 1 << 20)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]
    compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.2"]


# -- beside others -----------------------------------------------------------------------------------------------------


def test_idle_processes_are_no_obstacle(grown: Workspace, tmp_path: Path) -> None:
    """They have the old environment open; it goes at once, and what they do next is in the new one."""
    code = (
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        f"print(ws.put({str(tmp_path / 'f')!r}, 'theirs').name, len(ws.versions('ours')), flush=True)\nsys.stdin.read()"
    )
    with child(grown, code) as one, child(grown, code.replace("'theirs'", "'theirs too'")) as two:
        start = time.monotonic()
        compact_environment(grown.store)
        assert time.monotonic() - start < 5
        assert folders_of(grown) == ["manifest.2"]
        grown.put(tmp_path / "f", "ours")
        for process, name in ((one, "theirs"), (two, "theirs too")):
            tell(process)
            assert line(process) == f"{name}:v0 1"
    assert {artifact.name for artifact in grown.artifacts()} == {"keep", "ours", "theirs", "theirs too"}
    assert contradictions(grown.path) == []


LONG = """
with ws.store.snapshot() as snapshot:
    print('ready', flush=True)
    sys.stdin.readline()
    print(sum(1 for _ in snapshot.transaction.numbered_rows(2)), flush=True)
sys.stdin.readline()
print(ws.version('keep:good').name, flush=True)
sys.stdin.read()
"""


def test_a_long_reader_is_named(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has been reading since before refuses the compaction, and nothing has changed."""
    hurry(monkeypatch)
    with child(grown, LONG) as process:
        with pytest.raises(BusyError, match=rf"\({process.pid}\)"):
            compact_environment(grown.store)
        assert folders_of(grown) == ["manifest.1"]
        tell(process)
        assert int(line(process))
        compact_environment(grown.store)
        assert folders_of(grown) == ["manifest.2"]
        tell(process)
        assert line(process) == "keep:v0"


def test_a_dead_reader_is_none(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed in the middle of reading holds nothing up."""
    hurry(monkeypatch)
    with child(grown, LONG) as process:
        process.kill()
        process.wait()
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.2"]


def between(patch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do something after the copy was made and before the switch."""
    original = environment._switch

    def late(*arguments: Any) -> None:
        patch.setattr(environment, "_switch", original)
        action()
        original(*arguments)

    patch.setattr(environment, "_switch", late)


READS_ON = """
print('ready', flush=True)
sys.stdin.readline()
with ws.store.snapshot() as snapshot:
    root = snapshot.version(1).root
    print('reads', flush=True)
    sys.stdin.readline()
    print(sorted(snapshot.read(entry.node, 0, 99) for _, entry in snapshot.walk(root)), flush=True)
sys.stdin.read()
"""


def test_who_reads_on_in_the_old_one_is_safe(grown: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted, reaped and collected in the new one: the old reader still has every byte; afterwards the space goes."""
    hurry(monkeypatch)
    with child(grown, READS_ON) as reader:

        def begin() -> None:
            tell(reader)
            assert line(reader) == "reads"

        between(monkeypatch, begin)
        compact_environment(grown.store)
        assert folders_of(grown) == ["manifest.1", "manifest.2"]
        assert retire_replaced(grown.store) == [reader.pid]
        assert manifest.oldest_reader(grown.path) == 0
        with pytest.raises(BusyError, match=rf"\({reader.pid}\)"):
            compact_environment(grown.store)
        (tmp_path / "f" / "other").write_bytes(b"other")
        grown.put(tmp_path / "f", "new")
        grown.delete("keep:v0", "new:v0", force=True, now=True)
        grown.gc(now=True)
        tell(reader)
        assert line(reader) == str(sorted(b"kept %d" % number for number in range(20)))
        while retire_replaced(grown.store):
            time.sleep(0.01)
    assert folders_of(grown) == ["manifest.2"]
    assert manifest.oldest_reader(grown.path) > 0
    grown.gc(now=True)
    with manifest.read(grown.path) as transaction:
        assert transaction.counters().stored_bytes == transaction.counters().condemned_bytes == 0
    assert list((grown.path / "packs").iterdir()) == []
    assert contradictions(grown.path) == []


def test_a_thread_that_reads_on_keeps_no_other_waiting(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has a transaction in the old environment; its other threads go on in the new one at once."""
    hurry(monkeypatch)
    started, ended = threading.Event(), threading.Event()
    found: list[int] = []

    def read_on() -> None:
        with grown.store.snapshot() as snapshot:
            started.set()
            ended.wait(30)
            found.append(sum(1 for _ in snapshot.transaction.numbered_rows(Table.NODES)))

    thread = threading.Thread(target=read_on)
    between(monkeypatch, lambda: (thread.start(), started.wait(30), None)[2])
    compact_environment(grown.store)
    assert retire_replaced(grown.store) == [os.getpid()]
    start = time.monotonic()
    grown.aliases.set("keep:v0", "meanwhile")
    assert time.monotonic() - start < 5
    ended.set()
    thread.join()
    assert found and found[0] == len(rows(grown)[Table.NODES])
    assert retire_replaced(grown.store) == []
    assert folders_of(grown) == ["manifest.2"]


def test_two_that_write_and_one_that_reads(grown: Workspace, tmp_path: Path) -> None:
    """Five compactions in a row: every acknowledged version and alias is there, and every read was right."""
    write = (
        "from pathlib import Path\nname = {name!r}\nfolder = Path({folder!r}) / name\nfolder.mkdir()\n"
        "print('ready', flush=True)\nnumber = 0\n"
        "while True:\n"
        "    (folder / 'file').write_bytes(b'%d' % number)\n"
        "    version = ws.put(folder, name, aliases=['newest'])\n"
        "    print(version.name, flush=True)\n    number += 1\n"
    )
    read = (
        "print('ready', flush=True)\nwhile True:\n"
        "    print(ws.version('keep:good').read_bytes('7').decode(), flush=True)\n"
    )
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(child(grown, write.format(name=name, folder=str(tmp_path))))
            for name in ("one", "two")
        }
        reader = stack.enter_context(child(grown, read))
        said: dict[str, list[str]] = {"one": [], "two": [], "": []}
        listeners = [
            threading.Thread(target=_listen, args=(process, said[name]), daemon=True)
            for name, process in [*writers.items(), ("", reader)]
        ]
        for listener in listeners:
            listener.start()
        for step in range(5):
            time.sleep(0.3)
            _loosen(grown, step)
            assert compact_environment(grown.store)
        for process in [*writers.values(), reader]:
            process.kill()
        for listener in listeners:
            listener.join()
    assert folders_of(grown) == ["manifest.6"]
    assert set(said[""]) == {"kept 7"}
    for name in writers:
        versions = {version.name: version for version in grown.versions(name)}
        assert len(said[name]) > 5 and set(said[name]) <= versions.keys()
        for version in versions.values():
            assert version.read_bytes("file") == b"%d" % version.number
        assert grown.version(f"{name}:newest").number >= len(said[name]) - 1
    assert contradictions(grown.path) == []


def _loosen(workspace: Workspace, step: int) -> None:
    """Make free pages, so that a compaction is worth it."""
    with workspace.store.write() as transaction:
        for number in range(1500):
            transaction.put_numbered(Table.COUNTS, 1 << 40 | number, b"\1\1\0\0\0" * 20)
    with workspace.store.write() as transaction:
        for number in range(1500):
            transaction.delete(Table.COUNTS, key64(1 << 40 | number))


def _listen(process: subprocess.Popen[str], said: list[str]) -> None:
    said.extend(text.strip() for text in _stream(process.stdout) if text.endswith("\n"))


def test_opening_while_it_is_replaced(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who read `current` a moment too early finds the old environment gone, and looks again."""
    stale = manifest_folders.read_current(grown.path)
    compact_environment(grown.store)
    Environment.of(grown.path).drop()
    answers = [stale, stale]

    def early(workspace: Path) -> tuple[tuple[int, int], str]:
        return answers.pop() if answers else manifest_folders.read_current(workspace)

    monkeypatch.setattr("artstore.storage.environment.read_current", early)
    assert grown.version("keep:good").name == "keep:v0"
    assert not answers


def test_an_idle_reaper_asks_the_environment_that_is_in_use(grown: Workspace) -> None:
    """Its own may have been replaced since its last transaction; no one reads there any more, and that says nothing."""
    with child(
        grown,
        "from artstore.storage import manifest\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "print(manifest.oldest_reader(ws.path), flush=True)\nsys.stdin.read()",
    ) as process:
        compact_environment(grown.store)
        with manifest.read(grown.path) as transaction:
            number = transaction.number
            for step in range(3):
                grown.aliases.set("keep:v0", f"step{step}")
            tell(process)
            assert int(line(process)) == number


def test_who_begins_later_is_no_reason_to_free_more(grown: Workspace) -> None:
    """Where no one reads, the last transaction is what counts: whoever begins now may look at that one."""
    assert manifest.oldest_reader(grown.path) == number_of(grown)
    with manifest.read(grown.path) as transaction:
        grown.aliases.set("keep:v0", "later")
        assert manifest.oldest_reader(grown.path) == transaction.number


# -- cut short ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_faults_at_every_call(grown: Workspace, faults: Faults, number: int, after: bool) -> None:
    """Before or after each call of the disk: all rows are there, and the next run leaves one environment."""
    before = rows(grown)
    nth, failed = 0, 0
    while True:
        nth += 1
        _loosen(grown, nth)
        faults.arm(nth, OSError(number, os.strerror(number)), after=after)
        try:
            compact_environment(grown.store)
        except (ArtfsError, OSError):
            failed += 1
        reached = faults.disarm() >= nth
        assert _without_counters(rows(grown)) == _without_counters(before)
        retire_replaced(grown.store)
        assert len(folders_of(grown)) == 1
        if not reached:
            break
    assert failed > 5
    assert contradictions(grown.path) == []


def _without_counters(found: Rows) -> Rows:
    return {**found, Table.META: [row for row in found[Table.META] if row[0] != b"counters"]}


class Killed(BaseException):
    """Stand for a SIGKILL: nothing is cleaned up."""


def test_leftovers_of_the_killed_go(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was never put in place, and one that was and left the old; `gc` sees to both."""

    def killed(*_: object) -> None:
        raise Killed

    before = rows(grown)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(environment, "_switch", killed)
        patch.setattr(environment, "_discard", lambda *_: None)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1", "manifest.2"]
    assert _without_counters(rows(grown)) == _without_counters(before)
    grown.gc()
    assert folders_of(grown) == ["manifest.1"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(environment, "_remove_folder", killed)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1", "manifest.2"]
    (grown.path / "manifest.1" / "data.mdb").unlink()  # killed once more, while it was removed
    grown.gc()
    assert folders_of(grown) == ["manifest.2"]
    assert _without_counters(rows(grown)) == _without_counters(before)


def test_a_replaced_one_that_does_not_open_goes_when_nobody_has_it(grown: Workspace) -> None:
    """As a killed rebuild leaves it; as long as somebody has it open, nothing is freed."""
    old = grown.path / "manifest.1"
    kept = (old / "data.mdb").read_bytes()
    compact_environment(grown.store)
    old.mkdir()
    (old / "data.mdb").write_bytes(b"\xff" * len(kept))
    (old / "lease").write_bytes(b"")
    holder = os.open(old / "lease", os.O_RDWR)
    assert disk.try_lock(holder, shared=True)
    with pytest.raises(DamageError, match=r"manifest\.1"):
        compaction.retire_replaced(grown.store)
    os.close(holder)
    assert compaction.retire_replaced(grown.store) == []
    assert folders_of(grown) == ["manifest.2"]


def test_the_folder_that_was_put_stays_as_it_was(grown: Workspace, tmp_path: Path) -> None:
    """A put after a compaction finds all content that is there."""
    compact_environment(grown.store)
    for path in (tmp_path / "f").glob("more*"):
        path.unlink()
    version = grown.put(tmp_path / "f", "again")
    assert version.receipt is not None and version.receipt.new_bytes == 0
    assert content_of_version(version) == content_of(tmp_path / "f")
