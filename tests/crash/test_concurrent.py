"""Several processes use one workspace: all succeed, numbers are consecutive, and everything adds up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from artstore.storage.environment import Environment
from artstore.workspace import Workspace, init_workspace, open_workspace
from corpora import folders
from corpora.folders import Content, content_of
from crash.scenes import command, environment, run
from crash.states import content_of_version, faults, opened

TOGETHER = 4


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def all_said(children: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for processes that must succeed; return the first output of each."""
    said = []
    for child in children:
        out, complained = child.communicate(timeout=120)
        assert child.returncode == 0, complained
        said.append(out.split()[0])
    return said


def same(folder: Path, number: int) -> None:
    """The same content for all."""
    folders.small(folder, seed=1, files=200)


def overlapping(folder: Path, number: int) -> None:
    """Mostly the same content for all."""
    folders.small(folder, seed=1, files=200)
    folders.change_some(folder, seed=number)


def different(folder: Path, number: int) -> None:
    """Different content for each."""
    folders.small(folder, seed=100 + number, files=200)


@pytest.mark.parametrize("make", [same, overlapping, different])
@pytest.mark.parametrize("together", [2, TOGETHER])
def test_puts_to_one_artifact(quick_dir: Path, make: Callable[[Path, int], None], together: int) -> None:
    """Puts that run at once all succeed; different contents get consecutive numbers, equal ones one version."""
    workspace = quick_dir / "workspace"
    init_workspace(workspace)
    contents: list[Content] = []
    for number in range(together):
        source = quick_dir / f"source-{number}"
        source.mkdir()
        make(source, number)
        contents.append(content_of(source))
    children = [
        start(command(workspace, ["put", str(quick_dir / f"source-{number}"), "data"], nodes=25))
        for number in range(together)
    ]
    said = all_said(children)
    expected = dict(zip(said, contents, strict=True))
    versions = 1 if make is same else together
    assert sorted(expected) == [f"data:v{number}" for number in range(versions)]
    assert faults(workspace, expected) == []
    with opened(workspace) as after:
        assert after.drafts.states() == []


def test_the_same_chunks_at_once(quick_dir: Path, tmp_path: Path) -> None:
    """Of two puts that store the same chunks at the same moment, the loser's bytes are counted, and given back by gc.

    The second put runs between the first one's pack and its transaction, where no look-up can prevent it.
    """
    workspace = init_workspace(quick_dir / "workspace")
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=7)
    from artstore.storage.packs import PackWriter

    write_segment = PackWriter.write_segment
    others = []

    def overtaken(writer: PackWriter, segment: object) -> None:
        write_segment(writer, segment)  # type: ignore[arg-type]
        if not others:
            others.append(run(command(workspace.path, ["put", str(source), "other"])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackWriter, "write_segment", overtaken)
        version = workspace.put(source, "data")
    assert others and version.receipt is not None and version.receipt.new_bytes == 0
    before = workspace.usage()
    assert before.condemned_bytes > 1_500_000
    assert workspace.gc().condemned_bytes == 0
    assert workspace.usage().disk_bytes < before.disk_bytes - 1_500_000
    content = content_of(source)
    assert faults(workspace.path, {"data:v0": content, "other:v0": content}) == []


def test_a_name_is_made_once(quick_dir: Path, tmp_path: Path) -> None:
    """Of puts to `team/x` and `team/x/y` at once, one is refused in a sentence, and leaves nothing behind."""
    workspace = quick_dir / "workspace"
    init_workspace(workspace)
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=1)
    names = ["team/x", "team/x/y"]
    children = [
        start([sys.executable, "-m", "artfs", "-w", str(workspace), "put", str(source), name]) for name in names
    ]
    complaints = [child.communicate(timeout=60)[1] for child in children]
    codes = [child.returncode for child in children]
    assert sorted(codes) == [0, 2], complaints
    won = names[codes.index(0)]
    assert faults(workspace, {f"{won}:v0": content_of(source)}) == []


def test_first_puts_make_one_workspace(quick_dir: Path, tmp_path: Path) -> None:
    """Commands that all find no workspace make one together, and all put."""
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=1)
    workspace = quick_dir / "below" / "workspace"
    words = [sys.executable, "-m", "artfs", "-w", str(workspace), "put", str(source)]
    children = [start([*words, f"data-{number}"]) for number in range(TOGETHER)]
    assert sorted(all_said(children)) == [f"data-{number}:v0" for number in range(TOGETHER)]
    assert faults(workspace, {f"data-{number}:v0": content_of(source) for number in range(TOGETHER)}) == []
    assert [path.name for path in workspace.parent.iterdir()] == ["workspace"]


def test_readers_while_versions_come(quick_dir: Path, tmp_path: Path) -> None:
    """Processes that read all versions in a loop see only whole ones while others put."""
    workspace = quick_dir / "workspace"
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=1, files=100)
    expected = {init_workspace(workspace).put(source, "data").name: content_of(source)}
    code = (
        "import sys; from pathlib import Path; from artstore.workspace import open_workspace;"
        "from crash.states import content_of_version\n"
        "workspace, seen = open_workspace(sys.argv[1]), 0\n"
        "while not Path(sys.argv[2]).exists():\n"
        "    for version in workspace.versions('data'):\n"
        "        content = content_of_version(version)\n"
        "        assert version.file_count == sum(1 for entry in content.values() if entry.kind != 'directory')\n"
        "        assert all(not entry.kind.startswith('file ') for entry in content.values())\n"
        "        seen += 1\n"
        "print(seen)"
    )
    stop = tmp_path / "stop"
    readers = [start([sys.executable, "-c", code, str(workspace), str(stop)]) for _ in range(2)]
    try:
        for number in range(8):
            folders.change_some(source, seed=number)
            [name] = all_said([start(command(workspace, ["put", str(source), "data"], nodes=20))])
            expected[name] = content_of(source)
    finally:
        stop.touch()
    assert all(int(seen) > 0 for seen in all_said(readers))
    assert len(expected) == 9
    assert faults(workspace, expected) == []


def test_a_stopped_put_stops_no_reader(quick_dir: Path, tmp_path: Path) -> None:
    """While a writer is suspended inside its transaction, processes that have the workspace open can still read."""
    workspace = init_workspace(quick_dir / "workspace")
    (tmp_path / "file").write_bytes(b"content")
    version = workspace.put(tmp_path / "file", "data")
    code = (
        "import os, signal, sys; from pathlib import Path; from artstore.storage import manifest\n"
        "with manifest.write(Path(sys.argv[1])):\n"
        "    print('inside', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)"
    )
    writer = start([sys.executable, "-c", code, str(workspace.path)])
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "inside\n"
        wait_until_stopped(writer.pid)
        assert version.read_bytes("file") == b"content"
        assert [found.name for found in workspace.versions("data")] == ["data:v0"]
    finally:
        writer.send_signal(signal.SIGCONT)
        complained = writer.communicate(timeout=20)[1]
    assert writer.returncode == 0, complained


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_threads_read_while_the_environment_is_replaced(quick_dir: Path, tmp_path: Path) -> None:
    """A write that fails ends this process's environment; other threads that read at that moment notice nothing."""
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=1)
    workspace = init_workspace(quick_dir / "workspace")
    version = workspace.put(source, "data")
    expected = content_of(source)
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                assert content_of_version(version) == expected
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and not failures:
        Environment.of(workspace.path).drop()
        time.sleep(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_forked_child_reads_and_puts(quick_dir: Path, tmp_path: Path) -> None:
    """A child forked from a process that has the workspace open uses it as well, and so does its parent afterwards."""
    source = tmp_path / "source"
    source.mkdir()
    folders.small(source, seed=1)
    workspace: Workspace = init_workspace(quick_dir / "workspace")
    first = workspace.put(source, "data")
    expected = content_of(source)
    child = os.fork()
    if child == 0:
        try:
            right = content_of_version(first) == expected and open_workspace(workspace.path).put(source, "forked")
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    workspace.put(source, "parent")
    assert faults(workspace.path, {"data:v0": expected, "forked:v0": expected, "parent:v0": expected}) == []
