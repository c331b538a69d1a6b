"""UBJSON as XGBoost writes it: every length is a count in 8 bytes, and an array of one type has its type once.

A file in any other form is refused, so that XGBoost reads what was read here.
"""

from __future__ import annotations

from typing import Any, Final, Never

from artfs.registry.serializers.libraries import require

__all__ = ["read_ubjson"]

_DEEPEST: Final = 20
_NUMBERS: Final = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_LENGTH: Final = 8


def read_ubjson(data: bytes) -> Any:
    """Return the value in *data*, arrays of one type as arrays of NumPy; raise ValueError for any other form."""
    reader = _Reader(data)
    value = reader.value(reader.take(1), 0)
    if reader.place != len(data):
        reader.fail("bytes after the end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._numpy = require("numpy", "a model of XGBoost")
        self.place = 0

    def fail(self, what: str) -> Never:
        raise ValueError(f"{what}, at byte {self.place}")

    def take(self, count: int) -> bytes:
        end = self.place + count
        if count < 0 or end > len(self._data):
            self.fail("an early end")
        taken = self._data[self.place : end]
        self.place = end
        return taken

    def expect(self, marker: bytes) -> None:
        if self.take(len(marker)) != marker:
            self.fail("another form")

    def length(self) -> int:
        self.expect(b"L")
        return int.from_bytes(self.take(_LENGTH), "big", signed=True)

    def text(self) -> str:
        return self.take(self.length()).decode()

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            self.fail("values nested too deeply")
        if marker == b"{":
            return self.mapping(depth)
        if marker == b"[":
            return self.array(depth)
        if marker == b"S":
            return self.text()
        if marker in (b"T", b"F"):
            return marker == b"T"
        dtype = _NUMBERS.get(marker.decode("latin-1"))
        if dtype is None:
            self.fail("a value of no known type")
        size = int(dtype[2])
        return self._numpy.frombuffer(self.take(size), dtype=dtype)[0].item()

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._data[self.place : self.place + 1] != b"}":
            key = self.text()
            if key in found:
                self.fail("a key twice")
            found[key] = self.value(self.take(1), depth + 1)
        self.expect(b"}")
        return found

    def array(self, depth: int) -> Any:
        if self._data[self.place : self.place + 1] == b"$":
            self.expect(b"$")
            dtype = _NUMBERS.get(self.take(1).decode("latin-1"))
            self.expect(b"#")
            count = self.length()
            if dtype is None or count < 0:
                self.fail("an array of no known type")
            return self._numpy.frombuffer(self.take(count * int(dtype[2])), dtype=dtype)
        self.expect(b"#")
        count = self.length()
        if not 0 <= count <= len(self._data) - self.place:
            self.fail("an array longer than the file")
        return [self.value(self.take(1), depth + 1) for _ in range(count)]
