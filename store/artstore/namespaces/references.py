"""``ws.references``: files of versions whose bytes stay outside the workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from artstore.errors import DamageError, InvalidInputError, NotFoundError
from artstore.ids import ID_LENGTH
from artstore.interrupts import deferring
from artstore.queries.resolving import resolve_version, version_of_reference
from artstore.records.references import LONGEST_REFERENCE, ReferenceRecord
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.drafting.reference_ops import CheckedReference, Reference
    from artstore.progress import Progress
    from artstore.queries.versions import Version
    from artstore.references.failures import Failure

__all__ = ["References"]


@deferring()
class References:
    """The references in a workspace's versions; `Workspace.refer` makes them."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, ref: str) -> list[Reference]:
        """Return the references in a version, or at or below a path in it."""
        from artstore.drafting.reference_ops import references

        def found(store: Store) -> list[Reference]:
            version, path = resolve_version(store, ref)
            return list(references(store, version.record, path))

        return self._store.confirmed(found)

    def uri(self, digest: str) -> str:
        """Return the URI of the reference with a digest, given in hex.

        Raises `InvalidInputError` if it is no digest, `NotFoundError` if the store has no reference with it.
        """
        try:
            ident = bytes.fromhex(digest)
        except ValueError:
            ident = b""
        if len(ident) != ID_LENGTH:
            raise InvalidInputError(f"{digest!r} is not a digest: {2 * ID_LENGTH} hexadecimal digits")
        with self._store.snapshot() as snapshot:
            node = snapshot.content_node(ident)
            data = snapshot.read(node, 0, LONGEST_REFERENCE)
        try:
            return ReferenceRecord.decode(data).uri
        except DamageError as error:  # its bytes passed their checks, so this is another file's content
            raise NotFoundError(f"the content with the digest {digest} is not a reference") from error

    def check(self, ref: str, *, progress: Callable[[Progress], None] | None = None) -> Iterator[CheckedReference]:
        """Check each reference in a version, or below a path in it, and yield whether its file is unchanged."""
        from artstore.drafting.reference_ops import check

        return check(self._store, self.of(ref), progress)

    def failed(self, ref: str) -> list[tuple[bytes, Failure]]:
        """Return (path, failure) of a version's references whose files a reader has found changed or gone."""
        from artstore.drafting.reference_ops import known_failures

        return self._store.confirmed(lambda store: known_failures(store, version_of_reference(store, ref).record))

    def fetch(self, ref: str, *, progress: Callable[[Progress], None] | None = None) -> Version:
        """Store the bytes of the references in a version, or below a path in it, as a new version; return it."""
        from artstore.drafting.reference_ops import fetch

        version, path = resolve_version(self._store, ref)
        return fetch(self._store, version, path, progress)
