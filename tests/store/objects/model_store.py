"""An object store in memory, with faults drawn from a seed; it keeps the promises of `ObjectStore`.

Each request first calls ``step``, where a rig stops its caller, lets others run, or kills it.  Faults are

``before``    the request is lost: nothing is stored, the caller learns nothing
``after``     the answer is lost: it is stored, the caller learns nothing
``late``      the caller learns nothing, and the object is stored at a later request, if its name is still free
``conflict``  a creation is refused although nothing has its name
``denied``    a creation that took place is refused: a retry below the client met its own object
``missing``   an object that exists is not given once (a cached 404)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from artstore.objects.failures import ObjectMissingError, UnknownOutcomeError, UnreachableError, WrongAnswerError
from artstore.objects.protocol import ObjectInfo, checked_name, checked_prefix, checked_range

__all__ = ["Bucket", "ModelStore"]


@dataclass
class Bucket:
    """What a store holds: bodies and times by name, the creations that have not landed yet, and the clock."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    now: float = 1_800_000_000.0
    requests: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Bucket:
        """Return a copy, as a back-up of a bucket is."""
        return Bucket(dict(self.objects), [], self.now)

    def put_new(self, name: str, body: bytes) -> bool:
        """Store an object unless there is one of its name; return whether it was stored."""
        row = (body, self.now)
        return self.objects.setdefault(name, row) is row


def _go_on(kind: str) -> None:
    """Make a request at once."""


class ModelStore:
    """One client's view of a bucket; ``odds`` are the chances of faults, 0 where none is given."""

    url = "model://bucket"

    def __init__(
        self,
        bucket: Bucket,
        chance: random.Random | None = None,
        odds: Mapping[str, float] | None = None,
        step: Callable[[str], None] = _go_on,
    ) -> None:
        self.bucket = bucket
        self._chance = chance or random.Random(0)
        self._odds = odds or {}
        self._step = step

    def create(self, name: str, body: bytes) -> bool:
        """See `ObjectStore.create`."""
        checked_name(name)
        self._request("create")
        if self._fault("before"):
            raise UnknownOutcomeError(f"no answer for {name}")
        if self._fault("late"):
            self.bucket.late.append((name, body))
            raise UnknownOutcomeError(f"no answer for {name}")
        if self._fault("conflict"):
            return False
        is_new = self.bucket.put_new(name, body)
        if self._fault("after"):
            raise UnknownOutcomeError(f"no answer for {name}")
        if is_new and self._fault("denied"):
            return False
        return is_new or self.bucket.objects[name][0] == body

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        """See `ObjectStore.read`."""
        checked_name(name)
        checked_range(start, length)
        self._request("read")
        if name not in self.bucket.objects or self._fault("missing"):
            raise self._missing(name)
        self._lose()
        body = self.bucket.objects[name][0]
        end = len(body) if length is None else start + length
        if not start <= end <= len(body):
            raise WrongAnswerError(f"{self.url}/{name} has {len(body)} bytes and not those from {start} on")
        return body[start:end]

    def head(self, name: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        checked_name(name)
        self._request("head")
        self._lose()
        if name not in self.bucket.objects:
            raise self._missing(name)
        return self._info(name)

    def replace(self, name: str, body: bytes) -> None:
        """See `ObjectStore.replace`."""
        checked_name(name)
        self._request("replace")
        if not self._fault("before"):
            self.bucket.objects[name] = (body, self.bucket.now)
        self._lose()

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        checked_prefix(prefix)
        self._request("list")
        self._lose()
        names = sorted(name for name in self.bucket.objects if name.startswith(prefix) and name > after)
        return iter([self._info(name) for name in names])

    def delete(self, names: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        for name in map(checked_name, names):
            self._request("delete")
            if not self._fault("before"):
                self.bucket.objects.pop(name, None)
            self._lose()

    def remarks(self, name: str) -> Sequence[str]:
        """See `ObjectStore.remarks`."""
        return ()

    def date(self) -> float | None:
        """See `ObjectStore.date`."""
        return self.bucket.now

    def _missing(self, name: str) -> ObjectMissingError:
        return ObjectMissingError(f"there is no object {self.url}/{name}")

    def rest(self, steps: int) -> None:
        """Let others go on for some steps, as a slow process does."""
        for _ in range(steps):
            self._step("rest")

    def _info(self, name: str) -> ObjectInfo:
        body, modified = self.bucket.objects[name]
        return ObjectInfo(name, len(body), modified)

    def _request(self, kind: str) -> None:
        self._step(kind)
        bucket = self.bucket
        bucket.now += 1.0
        bucket.requests[kind] = bucket.requests.get(kind, 0) + 1
        while bucket.late and self._chance.random() < 0.2:
            bucket.put_new(*bucket.late.pop(self._chance.randrange(len(bucket.late))))

    def _lose(self) -> None:
        if self._fault("after"):
            raise UnreachableError(f"{self.url} does not answer")

    def _fault(self, kind: str) -> bool:
        odds = self._odds.get(kind)
        return odds is not None and self._chance.random() < odds
