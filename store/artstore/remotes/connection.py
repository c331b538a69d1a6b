"""One remote as a process works with it: its objects, its log, and what this workspace knows of it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.objects.failures import WrongAnswerError
from artstore.objects.protocol import ObjectStore
from artstore.records.catalogue import load_json
from artstore.remotes.log.appending import Machine
from artstore.remotes.log.condemn_lists import decode_condemn_list
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Place as EntryPlace
from artstore.remotes.log.publishing import publish
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import CondemnRow, State, VersionRow
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.manifests import PushManifest, decode_manifest
from artstore.remotes.packs.places import TREES, Fetch, Pack, Place
from artstore.remotes.packs.reading import RemoteRoot, RemoteTree

__all__ = ["Connection", "decode_description", "encode_description", "form_of", "span_of"]

_PUBLISHED_EVERY: Final = 10.0
_TAIL: Final = 1 << 20
"""Bytes from a root to its manifest that are fetched at once, at most."""
_FIELDS: Final = {"description": str, "metadata": dict, "tags": list}


@dataclass(slots=True)
class Connection:
    """A remote that is open: its uuid, its objects, its log, and who works with it."""

    uuid: bytes
    store: ObjectStore
    log: Log
    machine: Machine
    lists: dict[EntryPlace, frozenset[Pack]] = field(default_factory=dict)
    published: float = -_PUBLISHED_EVERY

    @property
    def state(self) -> State:
        """The fold of the log as far as it was read."""
        return self.log.state

    def fetch(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        """Return a range of an object; see `artstore.remotes.packs.places.Fetch`."""
        return self.store.read(pack.object_name, offset, length, fresh=fresh)

    def tree(self, row: VersionRow, fetch: Fetch | None = None) -> RemoteTree:
        """Return the tree of a version."""
        place = Place(Pack(TREES, row.root.pack), row.root.offset, row.root.length)
        root = RemoteRoot(row.digest, place, row.root.hash, row.entries, row.files, row.bytes)
        return RemoteTree(fetch or self.fetch, root, self.state.title(row.artifact, row.number))

    def tree_and_packs(self, row: VersionRow) -> tuple[RemoteTree, FormPlace]:
        """Return the tree of a version, and where the set of its packs lies, from its manifest."""
        tree, manifest = self.tree_and_manifest(row)
        return tree, manifest.packs

    def tree_and_manifest(self, row: VersionRow, fetch: Fetch | None = None) -> tuple[RemoteTree, PushManifest]:
        """Return the tree of a version, and the manifest of its push.

        Both lie near the root, at the end of one object: one request fetches them all.
        """
        start, end = row.root.offset, row.manifest.offset + row.manifest.length
        fetch = fetch or self.fetch
        if row.root.pack == row.manifest.pack and 0 < end - start <= _TAIL:
            with suppress(WrongAnswerError):  # what is wrong is found by the hashes
                pack = Pack(TREES, row.root.pack)
                fetch = _Kept(fetch, pack, start, fetch(pack, start, end - start))
        tree = self.tree(row, fetch)
        return tree, decode_manifest(tree.form(form_of(row.manifest)))

    def condemned(self) -> set[Pack]:
        """Return the packs that the entries read so far have condemned; each list is read once."""
        packs: set[Pack] = set()
        for place, row in self.state.condemned.items():
            found = self.lists.get(place)
            if found is None:
                found = self.lists[place] = self._listed(row)
            packs |= found
        return packs

    def _listed(self, row: CondemnRow) -> frozenset[Pack]:
        pack = Pack(TREES, row.listed.pack)
        for fresh in (False, True):
            data = self.fetch(pack, row.listed.offset, row.listed.length, fresh=fresh)
            if content_id(data) == row.listed.hash:
                return frozenset([Pack(ord(kind), ident) for kind, ident in decode_condemn_list(data)])
        raise DamageError(
            f"the list of packs that entry {row.made.number} of the log of {self.store.url} gives up is damaged",
            hint=f"restore the object {pack.object_name} from a copy",
        )

    def publish(self) -> None:
        """Save others time after an append: best effort, and not more often than each 10 s but for checkpoints."""
        now = time.monotonic()
        if not self.state.number % self.log.every or now - self.published >= _PUBLISHED_EVERY:
            self.published = now
            publish(self.log)


class _Kept:
    """Fetch, but for a range of one object that is at hand."""

    def __init__(self, fetch: Fetch, pack: Pack, offset: int, data: bytes) -> None:
        self._fetch = fetch
        self._pack = pack
        self._offset = offset
        self._data = data

    def __call__(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        start = offset - self._offset
        if not fresh and pack == self._pack and start >= 0 and start + length <= len(self._data):
            return self._data[start : start + length]
        return self._fetch(pack, offset, length, fresh=fresh)


def form_of(span: Span) -> FormPlace:
    """Return the place of a record that an entry of the log names."""
    return FormPlace(span.hash, 0, Place(Pack(TREES, span.pack), span.offset, span.length))


def span_of(form: FormPlace) -> Span:
    """Return how an entry of the log names a record."""
    return Span(form.place.pack.id, form.place.offset, form.place.stored, form.hash)


def encode_description(description: str, metadata: dict[str, Any], tags: list[str]) -> bytes:
    """Return the record of a version's description, metadata and tags."""
    values = {"description": description, "metadata": metadata, "tags": tags}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode_description(data: bytes) -> dict[str, Any]:
    """Return description, metadata and tags; raise `DamageError` for a record that is none.  Other fields are left."""
    try:
        values = load_json(data)
        found = {name: values[name] for name in _FIELDS}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamageError("the record of a version in a remote is malformed") from error
    if any(type(found[name]) is not kind for name, kind in _FIELDS.items()):
        raise DamageError("the record of a version in a remote has fields of other types")
    if not all(isinstance(tag, str) for tag in found["tags"]):
        raise DamageError("the record of a version in a remote has tags that are no texts")
    return found
