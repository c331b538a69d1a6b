"""Content-defined chunking: FastCDC, so that an insertion moves the boundaries of its neighbourhood only.

The gear table and the normalisation are those of the `pyfastcdc` package (FastCDC, Xia et al., 2016 and 2020).
Boundaries decide what deduplicates with what, not what is read back: a file's id is the BLAKE3 of its bytes, so other
sizes can be chosen later without touching a digest.
"""

from __future__ import annotations

from typing import Final

import pyfastcdc

from artstore.errors import UnsupportedError
from artstore.ids import Buffer

__all__ = ["AVERAGE", "MAXIMUM", "MINIMUM", "boundaries", "require_native"]

MINIMUM: Final = 64 * 1024
AVERAGE: Final = 256 * 1024
MAXIMUM: Final = 1024 * 1024


def require_native() -> None:
    """Raise `UnsupportedError` where pyfastcdc came without its compiled form, which is 200 times as fast."""
    if ".cy." not in pyfastcdc.FastCDC.__module__:
        raise UnsupportedError(
            "the chunker's compiled form is missing",
            hint="install a wheel of pyfastcdc, or a C compiler, and install pyfastcdc again",
        )


require_native()
_cutter: Final = pyfastcdc.FastCDC(avg_size=AVERAGE, min_size=MINIMUM, max_size=MAXIMUM)


def boundaries(data: Buffer) -> list[int]:
    """Return the end offset of each chunk of ``data``.

    The last is ``len(data)``; with more data behind, only that one may move.
    """
    if len(data) <= MINIMUM:
        return [len(data)] if len(data) else []
    return [chunk.offset + chunk.length for chunk in _cutter.cut_buf(data)]
