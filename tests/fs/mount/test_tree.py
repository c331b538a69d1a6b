"""The serving core over a store in memory: its answers equal the folder that was put, for every kind of request."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.mount import inodes
from artfs.mount.attributes import ABOVE_SECONDS, FOREVER, Modes
from artfs.mount.counters import Epoch
from artfs.mount.errnos import NoAttributeError, errno_of
from artfs.mount.nodetable import NodeTable
from artfs.mount.tree import Tree
from artstore.errors import ArtfsError, DamageError, NotFoundError

names = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)
names = names.filter(lambda name: name not in (b".", b".."))
leaves = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.binary(max_size=40)),
    st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=8),
)
folders = st.dictionaries(
    names,
    st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=7), max_leaves=30),
    max_size=30,
)


def enter(tree: Tree, *path: bytes) -> int:
    """Return the inode at a path, by one look-up per name."""
    inode = inodes.ROOT
    for name in path:
        found = tree.lookup(inode, name)
        assert found is not None, name
        inode = found.inode
    return inode


def listing(tree: Tree, inode: int, *, page: int = 1000) -> dict[bytes, Any]:
    """Return name -> attributes, taken in pages of ``page`` entries."""
    found: dict[bytes, Any] = {}
    cookie = 0
    while True:
        taken = 0
        entries = tree.page(inode, cookie)
        for entry in entries:
            found[entry.name] = entry.attributes
            cookie = entry.cookie
            taken += 1
            if taken == page:
                break
        entries.close()
        if taken < page:
            return {name: value for name, value in found.items() if name not in (b".", b"..")}


def observed(tree: Tree, inode: int, seen: set[int]) -> Any:
    """Return what the core shows at an inode in the form of the folder that was put, checking it on the way."""
    assert inode not in seen, "no two paths share an inode"
    seen.add(inode)
    attributes = tree.attributes(inode)
    assert attributes.inode == inode
    if stat.S_ISLNK(attributes.mode):
        text = tree.link_target(inode)
        assert len(text) == attributes.size
        return text.decode()
    if stat.S_ISREG(attributes.mode):
        data = b"".join(tree.read(inode, 0, 1 << 20))
        assert len(data) == attributes.size
        assert b"".join(tree.read(inode, 3, 4)) == data[3:7]
        return (data,) if attributes.mode & 0o111 else data
    children = listing(tree, inode, page=3)
    for name, found in children.items():
        assert tree.lookup(inode, name) == found
        assert tree.attributes(found.inode)[:5] == found[:5]
    return {name: observed(tree, found.inode, seen) for name, found in children.items()}


@settings(max_examples=60)
@given(folder=folders)
def test_a_version_is_the_folder_that_was_put(new_store: Any, folder: Any) -> None:
    """Walking by pages, looking up by name and asking by inode all agree with what was put.

    The inodes of a version are consecutive, and those of another one with the same content are others.
    """
    store = new_store()
    versions = [store.put("a", folder) for _ in range(2)]
    seen: set[int] = set()
    for number, version in enumerate(versions):
        root = enter(Tree(store, Epoch()), b"a", b"v%d" % number)
        before = len(seen)
        assert observed(Tree(store, Epoch()), root, seen) == folder
        assert root == inodes.entry(version.mount, 0)
        assert seen >= set(range(root, root + len(seen) - before))


@settings(max_examples=30)
@given(folder=folders, order=st.randoms(use_true_random=False))
def test_an_inode_is_found_again_by_a_worker_that_knows_nothing(new_store: Any, folder: Any, order: Any) -> None:
    """Inodes that one worker gave out mean the same to another, which has never seen the path to them.

    And to one that has been asked for any others before, in any order, whose walks begin where the last one ended.
    """
    store = new_store()
    store.put("b", folder)
    store.put("a", folder)
    warm = Tree(store, Epoch())
    waiting = [enter(warm, b"a", b"v0"), enter(warm, b"b", b"v0")]
    known: dict[int, Any] = {}
    while waiting:
        inode = waiting.pop()
        cold = Tree(store, Epoch())
        assert listing(cold, inode) == listing(warm, inode)
        assert next(iter(Tree(store, Epoch()).page(inode, 1))).attributes == next(iter(warm.page(inode, 1))).attributes
        known |= {found.inode: found for found in listing(warm, inode).values()}
        waiting += [found.inode for found in listing(warm, inode).values() if stat.S_ISDIR(found.mode)]
    mixed = Tree(store, Epoch())
    shuffled = list(known)
    order.shuffle(shuffled)
    for inode in shuffled:
        assert mixed.attributes(inode) == known[inode]
        if stat.S_ISREG(known[inode].mode):
            assert mixed.read(inode, 0, 100) == Tree(store, Epoch()).read(inode, 0, 100)


def raises(number: int, call: Any, *args: Any) -> None:
    with pytest.raises(ArtfsError) as caught:
        call(*args)
    assert errno_of(caught.value) == number


def test_above_versions_are_projects_artifacts_versions_and_aliases(fake_store: Any) -> None:
    fake_store.put("team/vision/imagenet", {b"x": b"1"})
    fake_store.put("team/vision/imagenet", {b"x": b"2"})
    fake_store.put("top", {})
    fake_store.set_alias("team/vision/imagenet", "production", 0)
    tree = Tree(fake_store, Epoch())
    assert set(listing(tree, inodes.ROOT)) == {b"team", b"top"}
    artifact = enter(tree, b"team", b"vision", b"imagenet")
    shown = listing(tree, artifact, page=1)
    assert list(shown) == [b"v0", b"v1", b"latest", b"production"]
    assert tree.link_target(enter(tree, b"team", b"vision", b"imagenet", b"latest")) == b"v1"
    assert tree.link_target(shown[b"production"].inode) == b"v0"
    for name, found in shown.items():
        assert tree.lookup(artifact, name) == found
        assert tree.attributes(found.inode)[:5] == found[:5]
        assert found.entry_seconds == ABOVE_SECONDS
    assert next(tree.page(artifact, 1)).attributes.inode == enter(tree, b"team", b"vision")


def test_names_that_are_not_there(fake_store: Any) -> None:
    """Inside a version absence is an answer, to be kept for ever; above versions it is an error, never to be kept."""
    fake_store.put("a", {b"x": b"1", b"d": {}})
    tree = Tree(fake_store, Epoch())
    version = enter(tree, b"a", b"v0")
    assert tree.lookup(version, b"y") is None
    assert tree.lookup(enter(tree, b"a", b"v0", b"d"), b"y") is None
    for parent, name in [
        (inodes.ROOT, b"b"),
        (inodes.ROOT, b"\xff"),
        (enter(tree, b"a"), b"v1"),
        (enter(tree, b"a"), b"v00"),
        (enter(tree, b"a"), b"nobody"),
        (enter(tree, b"a"), b"\xff"),
    ]:
        raises(errno.ENOENT, tree.lookup, parent, name)
    raises(errno.ENOTDIR, tree.lookup, enter(tree, b"a", b"v0", b"x"), b"y")
    for parent in (inodes.ROOT, version):
        raises(errno.ENAMETOOLONG, tree.lookup, parent, b"n" * 256)


def test_what_has_gone_is_stale(fake_store: Any) -> None:
    version = fake_store.put("a", {b"x": b"1"})
    alias = fake_store.set_alias("a", "p", 0)
    fake_store.set_alias("a", "p", 0)
    fake_store.delete(version.serial)
    tree = Tree(fake_store, Epoch())
    for inode in (
        inodes.entry(version.mount, 5),
        inodes.entry(77, 0),
        inodes.entry(77, 1),
        inodes.alias(alias.serial),
        inodes.latest(version.serial),
        inodes.artifact(77),
        inodes.project(77),
    ):
        raises(errno.ESTALE, tree.attributes, inode)
    raises(errno.ENOENT, tree.attributes, 7)


def test_times_and_modes(fake_store: Any) -> None:
    """Each entry has its own time and permission bits, and its version's creation as the time of its last change."""
    folder = {
        b"x": (b"12", 0o640, -1),
        b"run": ((b"12",), 0o711),
        b"d": ({b"e": ({}, 0, -(2**63))}, 0o750, 2**63 - 1),
        b"l": "x",
    }
    version = fake_store.put("a", folder)
    tree = Tree(fake_store, Epoch())
    top = enter(tree, b"a", b"v0")
    shown = listing(tree, top) | listing(tree, enter(tree, b"a", b"v0", b"d"))
    assert {name: oct(found.mode) for name, found in shown.items()} == {
        b"x": "0o100640",
        b"run": "0o100711",
        b"d": "0o40750",
        b"e": "0o40000",
        b"l": "0o120777",
    }
    assert (shown[b"x"].mtime_ns, shown[b"d"].mtime_ns, shown[b"e"].mtime_ns) == (-1, 2**63 - 1, -(2**63))
    assert {found.ctime_ns for found in shown.values()} == {version.created_ns}
    assert {found.entry_seconds for found in shown.values()} == {FOREVER}
    root = tree.lookup(enter(tree, b"a"), b"v0")
    assert root is not None
    assert root == listing(tree, enter(tree, b"a"))[b"v0"]
    assert (root.entry_seconds, root.attribute_seconds) == (ABOVE_SECONDS, FOREVER)
    assert (oct(root.mode), root.mtime_ns, root.ctime_ns) == ("0o40755", version.mtime_ns, version.created_ns)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"umask": 0o027}, ["0o100640", "0o40700", "0o40750", "0o120777", "0o40550"]),
        ({"readable": True}, ["0o100644", "0o40755", "0o40755", "0o120777", "0o40555"]),
        ({"readable": True, "umask": 0o077}, ["0o100600", "0o40700", "0o40700", "0o120777", "0o40500"]),
        ({"umask": 0o777}, ["0o100000", "0o40000", "0o40000", "0o120777", "0o40000"]),
    ],
)
def test_options_that_change_the_modes(fake_store: Any, options: Any, expected: list[str]) -> None:
    """Of a file, a folder, a version, a link and the mount's root; the kind of an entry is never changed."""
    fake_store.put("a", {b"x": (b"12", 0o640), b"d": ({}, 0o700), b"l": "x"})
    tree = Tree(fake_store, Epoch(), modes=Modes(**options))
    version = enter(tree, b"a", b"v0")
    shown = listing(tree, version)
    places = [shown[b"x"].inode, shown[b"d"].inode, version, shown[b"l"].inode, inodes.ROOT]
    assert [oct(tree.attributes(inode).mode) for inode in places] == expected


def test_what_lists_versions_and_names_has_another_time_after_each_change(fake_store: Any) -> None:
    """The kernel compares the time before it shows a listing that it has kept: an alias changes no version's time."""
    fake_store.put("team/a", {b"x": b"12"})
    tree = Tree(fake_store, Epoch())
    folders = [inodes.ROOT, enter(tree, b"team"), enter(tree, b"team", b"a")]
    before = [tree.attributes(folder).mtime_ns for folder in folders]
    assert [tree.attributes(folder).mtime_ns for folder in folders] == before
    fake_store.set_alias("team/a", "best", 0)
    for folder, earlier in zip(folders, before, strict=True):
        now = tree.attributes(folder).mtime_ns
        assert now != earlier and now // 1_000_000 == earlier // 1_000_000


def test_a_moved_alias_is_a_new_inode(fake_store: Any) -> None:
    fake_store.put("a", {b"x": b"1"})
    fake_store.put("a", {b"x": b"2"})
    tree = Tree(fake_store, Epoch())
    latest = enter(tree, b"a", b"latest")
    fake_store.put("a", {})
    assert enter(tree, b"a", b"latest") != latest
    fake_store.set_alias("a", "p", 0)
    before = enter(tree, b"a", b"p")
    fake_store.set_alias("a", "p", 1)
    assert enter(tree, b"a", b"p") != before


def test_a_page_costs_what_it_holds(fake_store: Any) -> None:
    """A page from the middle of a big directory reads the records on the way to it, not those before."""
    fake_store.put("a", {b"%06d" % number: b"" for number in range(4000)})
    tree = Tree(fake_store, Epoch())
    version = enter(tree, b"a", b"v0")
    before = fake_store.tree_reads
    entries = tree.page(version, 3002)
    assert [next(entries).name for _ in range(3)] == [b"003000", b"003001", b"003002"]
    entries.close()
    assert fake_store.tree_reads - before < 10


def test_a_listing_goes_on_while_versions_come_and_go(fake_store: Any) -> None:
    """A cookie keeps its place: nothing that stays is skipped or shown twice."""
    versions = [fake_store.put("a", {}) for _ in range(6)]
    tree = Tree(fake_store, Epoch())
    artifact = enter(tree, b"a")
    first = [next(entries) for entries in [tree.page(artifact, 0)] for _ in range(5)]
    assert [entry.name for entry in first] == [b".", b"..", b"v0", b"v1", b"v2"]
    fake_store.delete(versions[1].serial)
    fake_store.delete(versions[4].serial)
    fake_store.put("b", {})
    rest = [entry.name for entry in tree.page(artifact, first[-1].cookie)]
    assert rest == [b"v3", b"v5", b"latest"]


def test_what_is_known_needs_no_snapshot(fake_store: Any) -> None:
    """Looking up in a directory that the worker has read opens no transaction, nor do attributes that are not ours."""
    fake_store.put("a", {b"d": {b"x": b"1"}})
    tree = Tree(fake_store, Epoch())
    directory = enter(tree, b"a", b"v0", b"d")
    tree.lookup(directory, b"x")
    before = fake_store.snapshots
    assert tree.lookup(directory, b"x") is not None
    assert tree.lookup(directory, b"absent") is None
    with pytest.raises(NoAttributeError):
        tree.xattr(directory, b"security.capability")
    assert fake_store.snapshots == before


def test_extended_attributes(fake_store: Any) -> None:
    version = fake_store.put("a", {b"x": b"12", b"d": {}}, type="dataset", metadata={"k": [1, "ü"]})
    fake_store.set_alias("a", "prod", 0)
    tree = Tree(fake_store, Epoch())
    root = enter(tree, b"a", b"v0")
    assert tree.xattr(root, b"user.artfs.digest").decode() == version.digest.hex()
    assert tree.xattr(root, b"user.artfs.type") == b"dataset"
    assert json.loads(tree.xattr(root, b"user.artfs.metadata")) == {"k": [1, "ü"]}
    assert tree.xattr(root, b"user.artfs.created_at") == b"2023-11-14T22:13:20.123456Z"
    assert tree.xattr(root, b"user.artfs.aliases") == b"latest,prod"
    raises(errno.ENODATA, tree.xattr, root, b"user.artfs.description")
    file = enter(tree, b"a", b"v0", b"x")
    assert tree.xattr(file, b"user.artfs.stored_bytes") == b"1"
    inner = enter(tree, b"a", b"v0", b"d")
    for inode in (inodes.ROOT, enter(tree, b"a"), root, inner):
        assert tree.xattr(inode, b"user.artfs.workspace").decode() == fake_store.uuid
    raises(errno.ENODATA, tree.xattr, file, b"user.artfs.workspace")
    raises(errno.ENODATA, tree.xattr, inner, b"user.artfs.digest")
    raises(errno.ENODATA, tree.xattr, root, b"user.other")


def test_statistics_are_those_of_the_disk(fake_store: Any) -> None:
    fake_store.put("a", {b"x": b"1" * 10_000})
    found = Tree(fake_store, Epoch()).statistics()
    assert found.block * (found.blocks - found.free) >= 10_000
    assert (
        found.free <= os.statvfs(fake_store.path).f_bavail * os.statvfs(fake_store.path).f_frsize // found.block + 1000
    )


def test_a_deleted_version_is_gone_for_what_is_remembered_too(fake_store: Any) -> None:
    """Once the epoch has advanced, names in a deleted version are not found; what is open has attributes and bytes."""
    version = fake_store.put("a", {b"d": {b"e": {b"x": b"1"}}})
    other = fake_store.put("b", {b"d": {}})
    epoch = Epoch()
    tree = Tree(fake_store, epoch)
    inner = enter(tree, b"a", b"v0", b"d", b"e")
    opened = tree.lookup(inner, b"x")
    assert opened is not None
    kept = enter(tree, b"b", b"v0", b"d")
    snapshots = fake_store.snapshots
    assert tree.lookup(inner, b"x") == opened
    assert fake_store.snapshots == snapshots, "what is remembered costs no look at the store"
    fake_store.delete(version.serial)
    epoch.advance()
    for request in (
        lambda: tree.lookup(inner, b"x"),
        lambda: tree.lookup(inner, b"absent"),
        lambda: list(tree.page(inner, 0)),
        lambda: enter(tree, b"a", b"v0"),
    ):
        with pytest.raises(ArtfsError) as caught:
            request()
        assert errno_of(caught.value) in (errno.ESTALE, errno.ENOENT)
    for each in (tree, Tree(fake_store, Epoch())):
        assert b"".join(each.read(opened.inode, 0, 10)) == b"1"
        assert each.attributes(opened.inode) == opened
        raises(errno.ESTALE, each.attributes, inner)
        raises(errno.ESTALE, each.lookup, inner, b"x")
        assert each.attributes(kept).inode == inodes.entry(other.mount, 1)
    fake_store.undelete(version.serial)
    assert tree.lookup(inner, b"x") == opened
    fake_store.delete(version.serial)
    epoch.advance()
    raises(errno.ESTALE, tree.lookup, inner, b"x")
    del fake_store.deleted[version.serial]  # its reaping begins
    epoch.advance()
    for inode in (inner, opened.inode):
        raises(errno.ESTALE, tree.attributes, inode)
    raises(errno.ESTALE, tree.read, opened.inode, 0, 10)


def test_a_deletion_in_the_middle_of_a_request_is_seen_by_the_next(fake_store: Any) -> None:
    """What a request remembers from a snapshot that is older than the deletion lasts no longer than the request."""
    version = fake_store.put("a", {b"d": {b"x": b"1"}})
    epoch = Epoch()
    tree = Tree(fake_store, epoch)
    page = tree.page(inodes.entry(version.mount, 0), 0)
    next(page)
    fake_store.delete(version.serial)
    epoch.advance()
    fake_store.versions[version.serial] = fake_store.deleted.pop(version.serial)  # the request's own snapshot
    assert [entry.name for entry in page] == [b"..", b"d"]
    fake_store.delete(version.serial)
    raises(errno.ESTALE, tree.lookup, inodes.entry(version.mount, 1), b"x")


def test_a_purged_version_has_other_inodes(fake_store: Any) -> None:
    """The former ones are stale for every worker, what they have cached before included; node numbers are not."""
    version = fake_store.put("a", {b"d": {b"secret": b"1", b"x": b"2"}})
    epoch, nodes = Epoch(), NodeTable()
    trees = [Tree(fake_store, epoch, nodes=nodes) for _ in range(2)]
    folder = enter(trees[0], b"a", b"v0", b"d")
    secret, x = (enter(trees[0], b"a", b"v0", b"d", name) for name in (b"secret", b"x"))
    for tree in trees:
        assert (tree.read(secret, 0, 9), tree.read(x, 0, 9)) == ([b"1"], [b"2"])
    fake_store.purge(version.serial, {b"d": {b"x": b"2"}})
    epoch.advance()
    for tree in [*trees, Tree(fake_store, epoch)]:
        for inode in (folder, secret, x, inodes.entry(version.mount, 0)):
            raises(errno.ESTALE, tree.attributes, inode)
        raises(errno.ESTALE, tree.read, secret, 0, 9)
        raises(errno.ESTALE, tree.lookup, folder, b"secret")
        now = enter(tree, b"a", b"v0", b"d", b"x")
        assert now not in (secret, x) and tree.read(now, 0, 9) == [b"2"]


def test_a_purge_that_this_mount_did_not_hear_of(fake_store: Any) -> None:
    """Content that is gone, and was found without a walk, is no damage if the version was purged."""
    version = fake_store.put("a", {b"secret": b"1", b"x": b"2"})
    tree = Tree(fake_store, Epoch())
    secret, x = (enter(tree, b"a", b"v0", name) for name in (b"secret", b"x"))
    node = fake_store.tree(version.root).entry(1).node
    fake_store.lost.add(node)
    with pytest.raises(DamageError):
        tree.read(x, 0, 9)
    fake_store.purge(version.serial, {b"secret": b"1"})
    raises(errno.ESTALE, tree.read, x, 0, 9)
    raises(errno.ESTALE, tree.attributes, secret)


def test_a_read_after_a_look_up_walks_no_further(fake_store: Any) -> None:
    """Nor does one in another worker; one that knows nothing walks once, and finds the file's neighbours at once."""
    fake_store.put("a", {b"d": {b"e": {b"%d" % number: b"%d" % number for number in range(4)}}, b"f": {}})
    nodes = NodeTable()
    first, second, cold = Tree(fake_store, Epoch(), nodes=nodes), Tree(fake_store, Epoch(), nodes=nodes), None
    files = [enter(first, b"a", b"v0", b"d", b"e", b"%d" % number) for number in range(4)]
    before = fake_store.tree_reads
    for number, inode in enumerate(files):
        assert first.read(inode, 0, 9) == second.read(inode, 0, 9) == [b"%d" % number]
    assert fake_store.tree_reads == before
    cold = Tree(fake_store, Epoch())
    assert [cold.read(inode, 0, 9) for inode in files] == [[b"%d" % number] for number in range(4)]
    assert fake_store.tree_reads == before + 3


class Taken:
    """Leases that are remembered."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.strays = 0
        self.before: Callable[[], None] = lambda: None

    def take(self, artifact: int, first: int, last: int) -> None:
        self.before()
        self.ranges.append((first, last))

    def stray(self) -> None:
        self.strays += 1


def test_a_listing_takes_few_ranges_and_no_lease_of_a_deleted_version(fake_store: Any) -> None:
    """A gap of versions that were reaped separates nothing."""
    versions = [fake_store.put("data", {}) for _ in range(10)]
    artifact = inodes.artifact(versions[0].artifact)
    for number in (2, 3, 6):
        fake_store.delete(versions[number].serial)
    taken = Taken()
    tree = Tree(fake_store, Epoch(), leases=taken)
    assert len(list(tree.page(artifact, 0))) == 2 + 7 + 1
    assert taken.ranges == [(0, 1), (4, 5), (7, 9)]
    for number in (2, 3):
        del fake_store.deleted[versions[number].serial]
    fake_store.changes += 1
    taken.ranges.clear()
    list(tree.page(artifact, 0))
    list(tree.page(artifact, 5))
    assert taken.ranges == [(0, 5), (7, 9)]


@pytest.mark.parametrize("way", ["lookup", "listing"])
def test_a_version_that_is_deleted_while_its_lease_is_taken_is_not_given(fake_store: Any, way: str) -> None:
    versions = [fake_store.put("data", {}) for _ in range(2)]
    artifact = inodes.artifact(versions[0].artifact)
    taken = Taken()
    tree = Tree(fake_store, Epoch(), leases=taken)
    taken.before = lambda: fake_store.delete(versions[0].serial)
    if way == "lookup":
        with pytest.raises(NotFoundError):
            tree.lookup(artifact, b"v0")
    else:
        assert b"v0" not in [entry.name for entry in tree.page(artifact, 0)]
    assert taken.strays == 1
