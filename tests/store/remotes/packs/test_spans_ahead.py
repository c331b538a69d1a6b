"""Spans are fetched alone at first, and then more and more of them together."""

from __future__ import annotations

import random

from artstore.remotes.packs.containers import SPAN
from artstore.store import Store
from store.conftest import CommitTree
from store.remotes.packs.memory_remote import MemoryRemote
from store.remotes.packs.test_writing import folders, forms


def test_a_walk_takes_few_requests(store: Store, commit_tree: CommitTree) -> None:
    """The root, 1, 4, 16, and the rest of the spans: in the order of the tree, or in any order, each byte once."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(folders(120, 20)), span_target=2500)
    spans = forms(remote, SPAN)
    assert len(spans) > 25
    remote.requests.clear()
    assert len(list(remote.tree(written).walk())) == 2520
    assert len(remote.requests) <= 6
    assert sum(length for _, _, length in remote.requests) == sum(span.stored for span in spans)
    remote.requests.clear()
    tree, chance = remote.tree(written), random.Random(1)
    for _ in range(400):
        path = b"%03d/%03d" % (chance.randrange(120), chance.randrange(20))
        assert tree.resolve(path) is not None
    assert len(remote.requests) <= 8
    assert sum(length for _, _, length in remote.requests) <= sum(span.stored for span in spans)


def test_the_first_look_at_a_version_takes_what_it_needs(store: Store, commit_tree: CommitTree) -> None:
    """The root's span and that of the folder, and nothing ahead."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(folders(120, 20)), span_target=2500)
    remote.requests.clear()
    assert remote.tree(written).resolve(b"060/010") is not None
    assert len(remote.requests) == 2
    assert (
        sum(length for _, _, length in remote.requests)
        < 16_000
        < 60_000
        < sum(span.stored for span in forms(remote, SPAN))
    )


def test_a_wrong_neighbour_is_asked_for_alone(store: Store, commit_tree: CommitTree) -> None:
    """What comes with others and is not right is fetched again when it is needed, fresh or not."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(folders(120, 20)), span_target=2500)
    tree = remote.tree(written)
    alone = {entry.stored for entry in forms(remote, SPAN)}
    fetch = tree._fetch

    def wrong(*args: int, **more: bool) -> bytes:
        data = fetch(*args, **more)  # type: ignore[arg-type]
        return data if len(data) in alone else bytes(len(data))

    tree._fetch = tree._ahead._fetch = wrong  # type: ignore[assignment]
    assert len(list(tree.walk())) == 2520


def test_who_compares_many_places_begins_with_more(store: Store, commit_tree: CommitTree) -> None:
    """A push on a base: the root and the set, four spans, and the rest."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(folders(40, 20)), span_target=2500)
    assert 8 < len(forms(remote, SPAN)) < 20
    remote.requests.clear()
    tree = remote.tree(written)
    tree.expect_many()
    assert len(list(tree.walk())) == 840
    assert len(remote.requests) == 3
