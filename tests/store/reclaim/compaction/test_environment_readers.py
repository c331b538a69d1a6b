"""Compacting an environment while other processes and threads read or write."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import BusyError
from artstore.reclaim.compaction import compact_environment, environment, retire_replaced
from artstore.records.tables import Table
from artstore.storage import manifest, manifest_folders
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import raises
from store.reclaim.compaction.environments import (
    child,
    folders_of,
    hurry,
    line,
    loosen,
    number_of,
    rows,
    stream_of,
    tell,
)


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
        with raises(BusyError, names=[str(process.pid)]):
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
        with raises(BusyError, names=[str(reader.pid)]):
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
            loosen(grown, step)
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


def _listen(process: subprocess.Popen[str], said: list[str]) -> None:
    said.extend(text.strip() for text in stream_of(process.stdout) if text.endswith("\n"))


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
    """Without readers the last transaction counts: a reader that begins now may look at that one."""
    assert manifest.oldest_reader(grown.path) == number_of(grown)
    with manifest.read(grown.path) as transaction:
        grown.aliases.set("keep:v0", "later")
        assert manifest.oldest_reader(grown.path) == transaction.number
