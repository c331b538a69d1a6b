"""Fetching spans ahead: who has read some spans of a version is likely to read more of them.

A walk over a version, and a push that compares many places of its base, would else ask for each span alone.  The first
span is fetched alone, the next one with three neighbours, then with fifteen, up to 8 MiB: the records of 200,000 files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from artstore.ids import content_id
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.places import Fetch
from artstore.remotes.packs.ranges import LONGEST, joined

__all__ = ["SpansAhead"]

_GROWTH: Final = 4
_KEPT: Final = 16 << 20
"""Bytes that wait for their use, at most."""
_MOST_NAMED: Final = 1 << 16


class SpansAhead:
    """The spans that those read so far lead to: fetched with their neighbours, and kept until they are read."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._named: dict[bytes, FormPlace] = {}
        self._taken: set[bytes] = set()
        self._waiting: OrderedDict[bytes, bytes] = OrderedDict()
        self._held = 0
        self._count = 1

    def expect_many(self) -> None:
        """Fetch neighbours with the first span too: for who compares many places of a version."""
        self._count = max(self._count, _GROWTH)

    def name(self, spans: Iterable[FormPlace]) -> None:
        """Take note of the spans that a span leads to."""
        if max(len(self._named), len(self._taken)) > _MOST_NAMED:
            self._named, self._taken = {}, set()
        self._named.update([(span.hash, span) for span in spans if span.hash not in self._taken])

    def take(self, form: FormPlace) -> bytes | None:
        """Return the stored bytes of a span, which have its hash, or None if they must be asked for alone."""
        if form.hash not in self._waiting:
            if form.hash not in self._named:
                return None
            self._fetch_around(form)
        self._named.pop(form.hash, None)
        self._taken.add(form.hash)
        data = self._waiting.pop(form.hash, None)
        self._held -= len(data or b"")
        return data

    def _fetch_around(self, form: FormPlace) -> None:
        """Fetch a span and those that lie next to it in the same object, the later ones first."""
        group = self._neighbours(form)
        self._count *= _GROWTH
        wanted = next(each for each in joined([each.place for each in group]) if 0 in each.members)
        data = self._fetch(wanted.pack, wanted.offset, wanted.length)
        for number in wanted.members:
            each = group[number]
            start = each.place.offset - wanted.offset
            stored = data[start : start + each.place.stored]
            if len(stored) == each.place.stored and content_id(stored) == each.hash:
                self._waiting[each.hash] = stored
                self._held += len(stored)
        if form.hash in self._waiting:
            self._waiting.move_to_end(form.hash)
        while self._held > _KEPT:
            self._held -= len(self._waiting.popitem(last=False)[1])

    def _neighbours(self, form: FormPlace) -> list[FormPlace]:
        """Return a span, and then others in the same object that are not here yet, the nearest later ones first."""
        place = form.place
        others = [
            each
            for each in self._named.values()
            if each.place.pack == place.pack and each.hash not in self._waiting and each.hash != form.hash
        ]
        others.sort(key=lambda each: (each.place.offset < place.offset, abs(each.place.offset - place.offset)))
        group, length = [form], place.stored
        for each in others[: self._count - 1]:
            length += each.place.stored
            if length > LONGEST:
                break
            group.append(each)
        return group
