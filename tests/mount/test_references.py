"""Files outside are files under a mount: read in ranges, cached, never with other bytes, and in no one's way."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from artstore.workspace import Workspace
from mount.conftest import Mounts, children, eventually
from reasons import has_reason
from servers.s3 import S3
from servers.web import Web

MIB = 1 << 20
DATA = random.Random(3).randbytes(5 * MIB + 777)


def read_again(path: Path) -> bytes:
    """Read a file, not from the kernel's memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    return path.read_bytes()


def test_they_are_ordinary_files(workspace: Workspace, mounts: Mounts, s3: S3, tmp_path: Path) -> None:
    s3.put("d/big", DATA)
    s3.put("d/sub/small", b"small")
    s3.put("d/zero", b"")
    workspace.refer(s3.uri("d/"), "ref")
    place = mounts().directory / "ref" / "v0"
    assert sorted(os.listdir(place)) == ["big", "sub", "zero"]
    status = (place / "big").stat()
    assert (status.st_size, status.st_mode, status.st_nlink) == (len(DATA), 0o100644, 1)
    assert (place / "zero").read_bytes() == b"" and (place / "sub" / "small").read_bytes() == b"small"
    with (place / "big").open("rb") as file:
        file.seek(3 * MIB - 5)
        assert file.read(10) == DATA[3 * MIB - 5 :][:10]
    assert (place / "big").read_bytes() == DATA
    with pytest.raises(OSError) as refused:
        (place / "big").open("r+b")
    assert refused.value.errno == errno.EROFS
    assert os.listxattr(place / "big") == []
    assert int(os.getxattr(place / "big", "user.artfs.stored_bytes")) > 0
    said = os.getxattr(place / "big", "user.artfs.reference")
    assert s3.uri("d/big").encode() in said and b"secret" not in said
    shutil.copytree(place, tmp_path / "copy")
    assert (tmp_path / "copy" / "big").read_bytes() == DATA


def test_a_large_file_is_read_to_its_end(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    """No thread that fetches ahead may wait for a worker that itself waits for a request."""
    web.files["/f"] = DATA * 9
    workspace.refer(f"{web.url}/f", "ref")
    path = mounts(workers=2).directory / "ref" / "v0" / "f"
    assert path.read_bytes() == DATA * 9


def test_large_files_side_by_side(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    """More of them are read on and on than memory has room for what was fetched last."""
    web.files.update({f"/{number}": DATA[number:] + DATA * 5 for number in range(5)})
    for number in range(5):
        workspace.refer(f"{web.url}/{number}", "ref", base="latest" if number else None)
    place = mounts().directory / "ref" / "latest"
    found: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({f"/{name}": (place / name).read_bytes()}))  # type: ignore[misc]
        for name in map(str, range(5))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == web.files
    web.stop()
    assert {name: read_again(place / name[1:]) for name in found} == found


def test_the_second_reading_is_local(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    data = DATA * 5
    web.files["/f"] = data
    workspace.refer(f"{web.url}/f", "ref")
    path = mounts().directory / "ref" / "v0" / "f"
    assert path.read_bytes() == data
    web.stop()
    assert read_again(path) == data


def test_the_next_mount_asks_nobody_for_what_this_one_has_read(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    """What is still being written when the mount ends is written."""
    data = DATA * 6
    web.files["/f"] = data
    workspace.refer(f"{web.url}/f", "ref")
    mount = mounts()
    assert (mount.directory / "ref" / "v0" / "f").read_bytes() == data
    mount.close()
    web.stop()
    assert (mounts().directory / "ref" / "v0" / "f").read_bytes() == data


def test_what_was_fetched_goes_with_the_last_version_that_refers_to_it(
    workspace: Workspace, mounts: Mounts, web: Web
) -> None:
    """The mount's reaper sees to it."""
    workspace.configure(undelete_seconds=0)
    web.files["/f"], web.files["/g"] = DATA, DATA[::-1]
    workspace.refer(f"{web.url}/f", "ref")
    workspace.refer(f"{web.url}/g", "stays")
    directory = mounts().directory
    assert (directory / "ref" / "v0" / "f").read_bytes() == DATA
    assert (directory / "stays" / "v0" / "g").read_bytes() == DATA[::-1]
    cached = workspace.path / "cache" / "references"
    assert len(list(cached.glob("??/*"))) == 2
    workspace.delete("ref:v0")
    eventually(lambda: len(list(cached.glob("??/*"))) == 1)
    web.stop()
    assert read_again(directory / "stays" / "v0" / "g") == DATA[::-1]


def test_what_has_changed_fails_and_is_told(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    web.files["/f"], web.files["/g"] = DATA, b"g"
    workspace.refer(f"{web.url}/f", "ref")
    workspace.refer(f"{web.url}/g", "ref", base="latest")
    mount = mounts()
    path = mount.directory / "ref" / "v1" / "f"
    with path.open("rb") as file:
        assert file.read(10) == DATA[:10]
    web.files["/f"] = DATA[::-1]
    del web.files["/g"]
    for name in ("f", "g"):
        with pytest.raises(OSError) as failed:
            (path.parent / name).read_bytes()
        assert failed.value.errno == errno.EIO
    log = "".join(file.read_text() for file in (workspace.path / "run" / "daemons").glob("*.log"))
    sentences = {name: [line for line in log.splitlines() if f"{web.url}/{name} " in line] for name in "fg"}
    assert sentences["f"] and all(has_reason(line, "changed outside") for line in sentences["f"])
    assert sentences["g"] and all(has_reason(line, "gone outside") for line in sentences["g"])
    assert [path for path, _ in workspace.references.failed("ref")] == [b"f", b"g"]
    with path.open("rb") as file:
        assert file.read(10) == DATA[:10]  # what was fetched is still what was logged


def test_a_slow_server_stalls_nobody_else(
    workspace: Workspace, mounts: Mounts, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    for number in range(50):
        (tmp_path / "own" / str(number)).write_bytes(b"own" * 1000)
    for number in range(6):
        web.files[f"/{number}"] = b"slow"
    workspace.put(tmp_path / "own", "own")
    for number in range(6):
        workspace.refer(f"{web.url}/{number}", "ref", base="latest" if number else None)
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "30")
    mount = mounts(workers=2)
    web.delay = 4
    place = mount.directory / "ref" / "v5"
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda n=n: found.append((place / str(n)).read_bytes())) for n in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1)  # by now all six wait
    begun = time.monotonic()
    for number in range(50):
        assert (mount.directory / "own" / "v0" / str(number)).read_bytes() == b"own" * 1000
    assert not found and time.monotonic() - begun < 3
    for thread in threads:
        thread.join(30)
    assert found == [b"slow"] * 6


def test_who_waits_can_be_killed(
    workspace: Workspace, mounts: Mounts, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/f"] = DATA
    workspace.refer(f"{web.url}/f", "ref")
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "20")
    path = mounts().directory / "ref" / "v0" / "f"
    web.delay = 6
    reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    reader.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert reader.wait(5) == -signal.SIGINT and time.monotonic() - begun < 3
    web.delay = 0
    assert path.read_bytes() == DATA


def test_a_server_that_does_not_answer_is_given_up(
    workspace: Workspace, mounts: Mounts, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/f"] = b"x"
    workspace.refer(f"{web.url}/f", "ref")
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "0.5")
    path = mounts().directory / "ref" / "v0" / "f"
    web.delay = 20
    with pytest.raises(OSError) as failed:
        path.read_bytes()
    assert failed.value.errno == errno.EIO
    web.delay = 0
    assert path.read_bytes() == b"x"


def test_without_credentials_the_log_says_what_is_missing(
    workspace: Workspace, mounts: Mounts, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("k", b"x")
    workspace.refer(s3.uri("k"), "ref")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    path = mounts().directory / "ref" / "v0" / "k"
    with pytest.raises(OSError) as failed:
        path.read_bytes()
    assert failed.value.errno == errno.EIO
    log = "".join(file.read_text() for file in (workspace.path / "run" / "daemons").glob("*.log"))
    sentences = [line for line in log.splitlines() if has_reason(line, "no credentials")]
    assert sentences and all(s3.uri("k") in line for line in sentences)


def test_a_killed_worker_costs_nothing(workspace: Workspace, mounts: Mounts, web: Web) -> None:
    web.files["/f"] = DATA
    workspace.refer(f"{web.url}/f", "ref")
    mount = mounts()
    path = mount.directory / "ref" / "v0" / "f"
    web.delay = 1
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    time.sleep(0.4)
    for worker in mounts.status(mount).workers:
        os.kill(worker.pid, signal.SIGKILL)
    web.delay = 0
    reader.join(30)
    assert found == [DATA]


def test_workers_that_are_killed_while_they_keep_what_they_fetched(
    workspace: Workspace, mounts: Mounts, web: Web
) -> None:
    """Slots that they own in shared memory become free again, and half-written data is never read."""
    data = DATA * 20
    web.files["/f"] = data
    workspace.refer(f"{web.url}/f", "ref")
    mount = mounts()
    path = mount.directory / "ref" / "v0" / "f"
    web.delay = 0.05
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    for _ in range(4):
        time.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            os.kill(children(mount.pid)[1], signal.SIGKILL)
    reader.join(60)
    assert found == [data]
    web.delay = 0
    assert read_again(path) == data


def test_files_of_this_machine(workspace: Workspace, mounts: Mounts, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    workspace.refer(str(tmp_path / "f"), "ref")
    path = mounts().directory / "ref" / "v0" / "f"
    assert path.read_bytes() == DATA
    (tmp_path / "f").write_bytes(DATA[::-1])
    with pytest.raises(OSError) as failed:
        read_again(path)
    assert failed.value.errno == errno.EIO
    assert has_reason(workspace.references.failed("ref")[0][1].message, "changed outside")
    (tmp_path / "f").unlink()
    with pytest.raises(OSError) as failed:
        read_again(path)
    assert failed.value.errno == errno.EIO
    assert has_reason(workspace.references.failed("ref")[0][1].message, "gone outside")
