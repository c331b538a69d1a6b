"""How stored forms are made and checked: zstd or raw, and a checksum for every block of what is stored."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

import zstandard
from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError
from artstore.ids import Buffer
from artstore.records.nodes import BLOCK, FINE_BLOCK, block_length

__all__ = [
    "RAW",
    "ZSTD",
    "Encoded",
    "block_checksums",
    "decode",
    "encode",
    "encode_all",
    "verify_blocks",
    "verify_stored",
]

RAW: Final = 0
ZSTD: Final = 1

LEVEL: Final = 3
_THOROUGH: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_GREEDY, window_log=18, hash_log=17, chain_log=16, search_log=4, min_match=4
)
"""Costs twice the time of `LEVEL` and stores 5 % less of programs and text; nothing less of what repeats much."""
_WORTHWHILE: Final = 0.94
"""A chunk is stored raw unless zstd saves 6 %: raw chunks are read without decompression, in part, and faster."""
_TINY: Final = 64
"""Below this many bytes a zstd frame cannot pay."""


class Encoded(NamedTuple):
    """A stored form: its codec, its bytes, and one XXH3-64 per `block_length` of them."""

    codec: int
    data: Buffer
    checksums: tuple[int, ...]


class _Contexts(threading.local):
    """zstd contexts, one pair a thread: they are not to be shared."""

    def __init__(self) -> None:
        self.quick = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)
        self.thorough = zstandard.ZstdCompressor(compression_params=_THOROUGH)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def block_checksums(data: Buffer, block: int = BLOCK) -> tuple[int, ...]:
    """Return one XXH3-64 for each ``block`` bytes of ``data``; none for no data."""
    if len(data) <= block:
        return (xxh3_64_intdigest(data),) if len(data) else ()
    view = memoryview(data)
    return tuple([xxh3_64_intdigest(view[start : start + block]) for start in range(0, len(view), block)])


def _raw(data: Buffer) -> Encoded:
    return Encoded(RAW, data, block_checksums(data, FINE_BLOCK if len(data) > BLOCK else BLOCK))


def encode(data: Buffer, *, thorough: bool = False) -> Encoded:
    """Return the stored form of ``data``: a zstd frame where that saves enough, the bytes themselves elsewhere.

    Where ``thorough``, compressing takes longer and the frame is smaller; reading takes the same time.
    """
    if len(data) > _TINY:
        frame = (_contexts.thorough if thorough else _contexts.quick).compress(data)
        if len(frame) < len(data) * _WORTHWHILE:
            return Encoded(ZSTD, frame, block_checksums(frame))
    return _raw(data)


def encode_all(contents: Sequence[Buffer], *, thorough: bool = False) -> list[Encoded]:
    """Return the stored form of each.

    One call into zstd does for all, so that the interpreter's lock is given up and taken again once.
    """
    large = [data for data in contents if len(data) > _TINY]
    compressor = _contexts.thorough if thorough else _contexts.quick
    frames = iter(compressor.multi_compress_to_buffer(large, threads=1) if large else ())
    done = []
    for data in contents:
        if len(data) > _TINY and len(frame := next(frames)) < len(data) * _WORTHWHILE:
            stored = frame.tobytes()
            done.append(Encoded(ZSTD, stored, block_checksums(stored)))
        else:
            done.append(_raw(data))
    return done


def verify_stored(stored: Buffer, checksums: tuple[int, ...]) -> None:
    """Check a whole stored form against its checksums; raise `DamageError` if it differs."""
    verify_blocks(stored, 0, checksums, block_length(len(stored), len(checksums)))


def verify_blocks(data: Buffer, first_block: int, checksums: tuple[int, ...], block: int) -> None:
    """Check ``data``, the stored bytes from the block with number ``first_block`` on, against a form's checksums.

    Raises `DamageError` if a block differs, or where ``data`` is not whole blocks of the stored form.
    """
    found = block_checksums(data, block)
    if found != checksums[first_block : first_block + len(found)]:
        raise DamageError("stored bytes fail their checksum")


def decode(codec: int, stored: bytes, size: int) -> bytes:
    """Return the ``size`` bytes whose stored form is ``stored``; raise `DamageError` if they do not come out."""
    if codec == RAW:
        data = stored
    elif codec == ZSTD:
        data = _decompress(stored, size)
    else:
        raise DamageError(f"a stored chunk has the unknown codec {codec}")
    if len(data) != size:
        raise DamageError(f"a stored chunk has {len(data)} bytes where {size} were put")
    return data


def _decompress(stored: bytes, size: int) -> bytes:
    """Return a frame's content; zstandard makes room for what the frame says of itself, so that is compared first."""
    try:
        told = zstandard.frame_content_size(stored)
        if told == size:
            return _contexts.decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise DamageError(f"a stored chunk does not decompress: {error}") from error
    raise DamageError(f"a stored chunk has {told} bytes where {size} were put")
