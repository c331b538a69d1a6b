"""Content-defined chunking: FastCDC, so that an insertion moves the boundaries of its neighbourhood only.

The gear table and the normalisation are those of the `pyfastcdc` package (FastCDC, Xia et al., 2016 and 2020).
Boundaries affect deduplication, not the bytes that are read back: a file's id is the BLAKE3 of its bytes, so other
sizes can be chosen later without touching a digest.

Sizes depend on the content, judged by a sample of the file's beginning.  Small chunks deduplicate better;
incompressible content can be read in part, so the chunk's length matters less there; repetitive content compresses
better and reads faster in large chunks.
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

import pyfastcdc
import zstandard

from artstore.errors import UnsupportedError
from artstore.ids import Buffer

__all__ = ["DENSE", "MAXIMUM", "MIXED", "REPETITIVE", "WHOLE", "Sizes", "boundaries", "require_native", "sizes_for"]


class Sizes(NamedTuple):
    """The minimum, mean and maximum length of chunks, in bytes; only the last of a file is shorter."""

    minimum: int
    average: int
    maximum: int


MIXED: Final = Sizes(16 * 1024, 64 * 1024, 256 * 1024)
"""For programs, text and whatever else is not one of the others."""
DENSE: Final = Sizes(64 * 1024, 128 * 1024, 256 * 1024)
"""For what zstd cannot make smaller: weights, images, archives."""
REPETITIVE: Final = Sizes(64 * 1024, 256 * 1024, 1024 * 1024)
"""For tables and logs."""
MAXIMUM: Final = max(sizes.maximum for sizes in (MIXED, DENSE, REPETITIVE))
WHOLE: Final = 64 * 1024
"""A file of up to this many bytes is one chunk."""

_SAMPLES: Final = 4
_SAMPLE: Final = 16 * 1024
_DENSE_BELOW: Final = 1.06
_REPETITIVE_ABOVE: Final = 6.0


def require_native() -> None:
    """Raise `UnsupportedError` if pyfastcdc lacks its compiled extension, which is 200 times as fast."""
    if ".cy." not in pyfastcdc.FastCDC.__module__:
        raise UnsupportedError(
            "the compiled module of the chunker is missing",
            hint="install a C compiler or use a wheel, and reinstall pyfastcdc",
        )


require_native()


@functools.cache
def _cutter(sizes: Sizes) -> pyfastcdc.FastCDC:
    return pyfastcdc.FastCDC(avg_size=sizes.average, min_size=sizes.minimum, max_size=sizes.maximum)


def sizes_for(data: Buffer) -> Sizes:
    """Return the chunk sizes for a file that begins with ``data``, by how well samples spread over it compress."""
    view = memoryview(data)
    step = max(_SAMPLE, len(view) // _SAMPLES)
    pieces = b"".join(view[start : start + _SAMPLE] for start in range(0, len(view), step))
    ratio = len(pieces) / len(zstandard.ZstdCompressor(level=1).compress(pieces))
    if ratio < _DENSE_BELOW:
        return DENSE
    return REPETITIVE if ratio > _REPETITIVE_ABOVE else MIXED


def boundaries(data: Buffer, sizes: Sizes) -> list[int]:
    """Return the end offset of each chunk of ``data``.

    The last is ``len(data)``; if more data follows, only that one may move.
    """
    if len(data) <= sizes.minimum:
        return [len(data)] if len(data) else []
    return [chunk.offset + chunk.length for chunk in _cutter(sizes).cut_buf(data)]
