"""The objects of a remote while it is checked: which there are, and whether each is what its push has stored.

With content, each object is fetched once, as a whole: ranges of it are answered from memory, and its hash and all its
forms are compared.  Without, its length and its footer are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from artstore.errors import DamageError, InvalidInputError
from artstore.ids import content_id
from artstore.interrupts import checkpoint
from artstore.objects.failures import ObjectMissingError, WrongAnswerError
from artstore.objects.protocol import ObjectStore
from artstore.remotes.packs.checking import check_pack_forms
from artstore.remotes.packs.containers import read_footer
from artstore.remotes.packs.manifests import AddedPack
from artstore.remotes.packs.places import PACK_LENGTH, Pack, PackDamageError, parse_object_name

__all__ = ["CheckedObjects"]

_KEPT: Final = PACK_LENGTH
"""Bytes of whole objects in memory, at most, but for the last one."""
_AT_ONCE: Final = 8
_MISSING: Final = "it is missing"


class CheckedObjects:
    """The objects in ``d/`` and ``t/``; ``damage`` says what is wrong with each that is not sound."""

    def __init__(self, store: ObjectStore, *, content: bool, on_bytes: Callable[[int], None]) -> None:
        """List the objects; ``on_bytes`` is called with the bytes of each that was fetched as a whole."""
        self._store = store
        self._content = content
        self._on_bytes = on_bytes
        self._bodies: OrderedDict[Pack, bytes] = OrderedDict()
        self._added: dict[Pack, AddedPack] = {}
        self._seen: set[Pack] = set()
        self.damage: dict[Pack, list[str]] = {}
        self.foreign: list[str] = []
        """Names that no pack has."""
        self.lengths: dict[Pack, int] = {}
        for folder in ("d/", "t/"):
            for info in store.list(folder):
                try:
                    self.lengths[parse_object_name(info.name)] = info.size
                except InvalidInputError:
                    self.foreign.append(info.name)

    def expect(self, added: Iterable[AddedPack]) -> None:
        """Take what a push says of the objects that it has stored."""
        self._added.update((each.pack, each) for each in added)

    def blame(self, pack: Pack, what: str) -> None:
        """Note what is wrong with an object."""
        known = self.damage.setdefault(pack, [])
        if what not in known:
            known.append(what)

    @property
    def lost(self) -> dict[Pack, str]:
        """The objects that are missing or have another length, with what is wrong: no content of theirs is there."""
        return {pack: whats[0] for pack, whats in self.damage.items() if pack not in self.lengths or self._is_cut(pack)}

    def _is_cut(self, pack: Pack) -> bool:
        return pack in self._added and self.lengths.get(pack) != self._added[pack].length

    def check_lengths(self, used: Iterable[Pack]) -> None:
        """Compare the objects that versions use with the list and with what their pushes say."""
        for pack in used:
            if pack not in self.lengths:
                self.blame(pack, _MISSING)
            elif self._is_cut(pack):
                self.blame(pack, f"it has {self.lengths[pack]:,} bytes instead of {self._added[pack].length:,}")

    def check_footers(self, used: Iterable[Pack], on_object: Callable[[int], None]) -> None:
        """Read the footers of objects, several at once; ``on_object`` is called with the number so far."""
        present = [pack for pack in used if pack in self.lengths]
        with ThreadPoolExecutor(_AT_ONCE, "artfs-check") as threads:
            try:
                for number, (pack, what) in enumerate(zip(present, threads.map(self._footer, present), strict=True), 1):
                    checkpoint()
                    if what:
                        self.blame(pack, what)
                    on_object(number)
            finally:
                threads.shutdown(cancel_futures=True)

    def _footer(self, pack: Pack) -> str:
        """Return what is wrong with an object's footer, "" if nothing."""
        try:
            read_footer(self.fetch_range, pack, self.lengths[pack])
        except PackDamageError as error:
            return error.what
        except DamageError as error:
            return error.message
        return ""

    def check_rest(self, used: Iterable[Pack]) -> None:
        """Fetch and compare the objects that no file has led to."""
        for pack in used:
            checkpoint()
            if pack in self.lengths and pack not in self._seen:
                self._whole(pack)

    def fetch(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        """Return a range of an object, which is fetched as a whole if content is checked; see `fetch_range`."""
        body = self._bodies.get(pack)
        is_new = pack in self.lengths and pack not in self._seen
        if body is None and is_new and self._content and self.lengths[pack] <= PACK_LENGTH:
            body = self._whole(pack)
        if body is not None and not fresh:
            return body[offset : offset + length]
        return self.fetch_range(pack, offset, length, fresh=fresh)

    def fetch_range(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        """Return a range of an object, a short one where it ends before; see `artstore.remotes.packs.places.Fetch`.

        Raises `PackDamageError` for an object that is missing, and the errors of the store.
        """
        if pack not in self.lengths:
            raise PackDamageError.of(pack, _MISSING, message=f"the object {pack.object_name} is missing")
        return self._read(pack, offset, length, fresh=fresh)

    def _read(self, pack: Pack, offset: int, length: int, *, fresh: bool) -> bytes:
        try:
            return self._store.read(pack.object_name, offset, length, fresh=fresh)
        except ObjectMissingError as error:
            raise PackDamageError.of(pack, _MISSING, message=error.message) from error
        except WrongAnswerError:
            return b""

    def _whole(self, pack: Pack) -> bytes:
        """Fetch an object and compare it, past caches if it is another than was stored; return its bytes."""
        self._seen.add(pack)
        body, wrong = b"", [_MISSING]
        for fresh in (False, True):
            try:
                body = self._read(pack, 0, self.lengths[pack], fresh=fresh)
            except PackDamageError:
                break
            wrong = self._compared(pack, body)
            if not wrong:
                break
        for what in wrong:
            self.blame(pack, what)
        self._on_bytes(len(body))
        while self._bodies and sum(map(len, self._bodies.values())) + len(body) > _KEPT:
            self._bodies.popitem(last=False)
        self._bodies[pack] = body
        return body

    def _compared(self, pack: Pack, body: bytes) -> list[str]:
        """Return what is wrong with an object's bytes."""
        added = self._added.get(pack)
        if added is not None and content_id(body) == added.hash:
            return []
        return check_pack_forms(body, pack) or (["it has other bytes than its push has stored"] if added else [])
