"""A lease of a mount is seen by every process that may read the run file, and ends with the last that has it open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artstore import byte_locks
from artstore.mount_leases import DeletedVersion, MountLeases, leased


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "daemons" / "a.json"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def leases_of(run_file: Path) -> MountLeases:
    with run_file.open("rb") as file:
        return MountLeases.of_run_file(file.fileno())


def version(artifact: int, number: int) -> DeletedVersion:
    return DeletedVersion(artifact, number, 0)


def test_a_lease_is_of_one_version(run_file: Path) -> None:
    """Not of its neighbours, nor of a version of another artifact with that number."""
    leases = leases_of(run_file)
    leases.take(3, 5, 5)
    leases.take(3, 7, 9)
    leases.take((1 << 32) - 1, (1 << 31) - 1, (1 << 31) - 1)
    asked = [version(artifact, number) for artifact in (2, 3, 4) for number in range(12)]
    last = version((1 << 32) - 1, (1 << 31) - 1)
    taken = [version(3, number) for number in (5, 7, 8, 9)]
    assert leased(run_file, [*asked, last]) == [*taken, last]
    assert [leases.has(3, number) for number in range(4, 8)] == [False, True, False, True]
    leases.release(3, 8)
    assert leased(run_file, asked) == [version(3, number) for number in (5, 7, 9)]
    leases.close()
    assert leased(run_file, [*asked, last]) == []


def test_a_guard_keeps_a_version_and_is_no_lease(run_file: Path) -> None:
    leases = leases_of(run_file)
    leases.guard(3, 5)
    assert not leases.has(3, 5)
    assert leased(run_file, [version(3, 5)]) == [version(3, 5)]
    leases.take(3, 5, 5)
    leases.unguard(3, 5)
    assert leases.has(3, 5)
    leases.close()


def test_a_lease_outlives_the_process_that_took_it(run_file: Path) -> None:
    """All processes of a daemon share it, and it ends when the last one does, however that ends."""
    code = (
        "import os, sys, time; from artstore.mount_leases import MountLeases\n"
        "leases = MountLeases.of_run_file(os.open(sys.argv[1], os.O_RDONLY))\n"
        "if not os.fork(): leases.take(3, 5, 5); os._exit(0)\n"
        "os.wait(); print('taken', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, run_file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "taken\n"
        assert leased(run_file, [version(3, 5)]) == [version(3, 5)]
        process.kill()
        process.wait()
    assert leased(run_file, [version(3, 5)]) == []


def test_numbers_that_no_version_has_are_refused(run_file: Path) -> None:
    leases = leases_of(run_file)
    for artifact, number in ((-1, 0), (0, -1), (0, 1 << 31), (1 << 32, 0)):
        with pytest.raises(OverflowError):
            leases.take(artifact, number, number)
    leases.close()


def test_without_a_run_file_there_are_no_leases(tmp_path: Path) -> None:
    (tmp_path / "run" / "daemons").mkdir(parents=True)
    assert leased(tmp_path / "run" / "daemons" / "a.json", [version(1, 1)]) == []


def test_neighbours_are_one_range_for_the_kernel(run_file: Path) -> None:
    """Else the kernel would search a hundred thousand locks at each look-up."""
    leases = leases_of(run_file)
    leases.take(3, 0, 40_000)
    for number in range(40_001, 50_000):
        leases.take(3, number, number)
    inode = run_file.stat().st_ino
    locks = [line for line in Path("/proc/locks").read_text().splitlines() if f":{inode} " in line]
    assert len(locks) == 1
    leases.close()


def test_byte_locks_of_one_open_file_do_not_conflict(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    one, same, other = os.open(tmp_path / "f", os.O_RDWR), 0, os.open(tmp_path / "f", os.O_RDWR)
    same = os.dup(one)
    byte_locks.share(one, 10, 5)
    assert not byte_locks.is_shared_by_others(same, 12)
    assert byte_locks.is_shared_by_others(other, 0, 11) and not byte_locks.is_shared_by_others(other, 0, 10)
    byte_locks.unlock(same, 12, 1)
    assert [byte_locks.is_shared_by_others(other, byte) for byte in (11, 12, 13)] == [True, False, True]
    for descriptor in (one, same, other):
        os.close(descriptor)
