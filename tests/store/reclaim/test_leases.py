"""Leases: what a reaper sees of them, however their files are used again, and in forked children."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from artstore.reclaim import leases
from artstore.reclaim.leases import VERSIONS, Lease, is_held
from artstore.store import Store


@pytest.fixture(autouse=True)
def without_spares() -> Iterator[None]:
    leases._close_spares()
    yield
    leases._close_spares()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_lease_is_held_until_its_last_holder_closes_it(store: Store) -> None:
    first, second, other = Lease(store, 7), Lease(store, 7), Lease(store, 8)
    first.close()
    assert is_held(store, 7) and is_held(store, 8)
    second.close()
    second.close()
    assert not is_held(store, 7) and is_held(store, 8)
    again = Lease(store, 9)
    assert is_held(store, 9) and not is_held(store, 7)
    for lease in (other, again):
        lease.close()
    assert not is_held(store, 8) and not is_held(store, 9)


def test_files_are_used_again_and_few_are_kept(store: Store) -> None:
    before = descriptors()
    for number in range(100):
        Lease(store, number).close()
    assert descriptors() == before + 1
    many = [Lease(store, number) for number in range(50)]
    assert descriptors() == before + 50
    for lease in many:
        lease.close()
    assert descriptors() <= before + leases._MOST_SPARES
    store.close()
    assert descriptors() <= before
    Lease(store, 1).close()


def test_a_lease_that_is_dropped_ends(store: Store) -> None:
    lease = Lease(store, 7)
    assert is_held(store, 7)
    del lease
    assert not is_held(store, 7)


def test_a_file_of_leases_that_was_replaced(store: Store) -> None:
    """A reaper opens the file at the path, so a lease is never taken on another one."""
    Lease(store, 7).close()
    path = store.run_dir / VERSIONS
    path.unlink()
    lease = Lease(store, 7)
    assert path.exists() and is_held(store, 7)
    lease.close()


@pytest.mark.parametrize("first", ["parent", "child"])
def test_a_lease_from_before_a_fork_lasts_until_both_close_it(store: Store, first: str) -> None:
    lease = Lease(store, 7)
    go, gone = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go[0], 1)
        lease.close()
        Lease(store, 9).close()  # with a file of its own, not with one that the parent has too
        os.write(gone[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    if first == "parent":
        lease.close()
        assert is_held(store, 7)
        os.write(go[1], b"x")
        os.read(gone[0], 1)
    else:
        os.write(go[1], b"x")
        os.read(gone[0], 1)
        assert is_held(store, 7)
        lease.close()
    assert not is_held(store, 7)
    os.write(go[1], b"x")
    os.waitpid(child, 0)


def test_a_child_holds_nothing_of_its_parents_later_leases(store: Store) -> None:
    """A child that lives on does not keep what its parent opens and closes after the fork."""
    Lease(store, 7).close()
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lease = Lease(store, 7)
    assert is_held(store, 7)
    os.close(os.dup(lease._fd))
    lease.close()
    assert not is_held(store, 7)
    held = Lease(store, 8)
    os.close(held._fd)  # as the end of this process would
    held._fd = -1
    assert not is_held(store, 8)
    os.write(go[1], b"x")
    os.waitpid(child, 0)
