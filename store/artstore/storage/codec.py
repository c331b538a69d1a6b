"""Encoding and verifying stored forms: zstd or raw, with a checksum for each block of stored bytes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import compress
from typing import Final, NamedTuple

import zstandard
from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError
from artstore.ids import Buffer
from artstore.records.nodes import BLOCK, FINE_BLOCK, LARGEST, block_length

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
"""Takes twice the time of `LEVEL` and stores programs and text in 5 % less; repetitive data gains nothing."""
_WORTHWHILE: Final = 0.94
"""A chunk is stored raw unless zstd saves 6 %: raw chunks are read without decompression, in part, and faster."""
_TINY: Final = 64
"""Below this many bytes a zstd frame cannot pay."""
_PROBED: Final = 16 * 1024
"""From this many bytes on, a look at samples shows first whether compression can pay."""
_SAMPLES: Final = 16
_SAMPLE: Final = 512


class Encoded(NamedTuple):
    """A stored form: its codec, its bytes, and one XXH3-64 per `block_length` of them."""

    codec: int
    data: Buffer
    checksums: tuple[int, ...]


class _Contexts(threading.local):
    """zstd contexts, one set for each thread: a context is not thread-safe."""

    def __init__(self) -> None:
        self.quick = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)
        self.thorough = zstandard.ZstdCompressor(compression_params=_THOROUGH)
        self.samples = zstandard.ZstdCompressor(level=1)
        self.repeats = zstandard.ZstdCompressor(level=-5)
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


def _noise(contents: Sequence[Buffer], *, thorough: bool) -> set[int]:
    """Return the indices of those of which zstd surely saves next to nothing, such as images and weights.

    Samples from all over show uneven bytes and short repetitions, a fast pass over everything long repetitions.  That
    pass is left out if not ``thorough``: then samples of the file have shown already that it is dense or repetitive.
    Both take a fifth of zstd's time for all, and let go of the interpreter's lock once each.
    """
    probed = [index for index, data in enumerate(contents) if len(data) >= _PROBED]
    dense = _not_smaller(_contexts.samples, probed, [_sample(contents[index]) for index in probed])
    return set(_not_smaller(_contexts.repeats, dense, [contents[index] for index in dense]) if thorough else dense)


def _sample(data: Buffer) -> bytes:
    step = len(data) // _SAMPLES
    return b"".join([data[start : start + _SAMPLE] for start in range(0, step * _SAMPLES, step)])


def _not_smaller(compressor: zstandard.ZstdCompressor, indices: list[int], contents: list[Buffer]) -> list[int]:
    """Return those indices whose contents, given in the same order, do not get smaller."""
    frames = iter(compressor.multi_compress_to_buffer(contents, threads=1) if contents else ())
    return [index for index, frame, data in zip(indices, frames, contents, strict=True) if len(frame) >= len(data)]


def encode(data: Buffer, *, thorough: bool = False) -> Encoded:
    """Return the stored form of ``data``: a zstd frame if that saves enough, else the raw bytes.

    With ``thorough``, compression takes longer and the frame is smaller; reading takes the same time.
    """
    if len(data) > _TINY and not _noise([data], thorough=thorough):
        frame = (_contexts.thorough if thorough else _contexts.quick).compress(data)
        if len(frame) < len(data) * _WORTHWHILE:
            return Encoded(ZSTD, frame, block_checksums(frame))
    return _raw(data)


def encode_all(contents: Sequence[Buffer], *, thorough: bool = False) -> list[Encoded]:
    """Return the stored form of each.

    One call into zstd compresses all, so the interpreter's lock is released and acquired only a few times.
    """
    noise = _noise(contents, thorough=thorough)
    promising = [len(data) > _TINY and index not in noise for index, data in enumerate(contents)]
    large = list(compress(contents, promising))
    compressor = _contexts.thorough if thorough else _contexts.quick
    frames = iter(compressor.multi_compress_to_buffer(large, threads=1) if large else ())
    encoded = []
    for data, promises in zip(contents, promising, strict=True):
        if promises and len(frame := next(frames)) < len(data) * _WORTHWHILE:
            stored = frame.tobytes()
            encoded.append(Encoded(ZSTD, stored, block_checksums(stored)))
        else:
            encoded.append(_raw(data))
    return encoded


def verify_stored(stored: Buffer, checksums: tuple[int, ...]) -> None:
    """Check a whole stored form against its checksums; raise `DamageError` if it differs."""
    if len(checksums) == 1 and 0 < len(stored) <= BLOCK:  # a small file
        if xxh3_64_intdigest(stored) != checksums[0]:
            raise DamageError("stored bytes fail their checksum")
        return
    verify_blocks(stored, 0, checksums, block_length(len(stored), len(checksums)))


def verify_blocks(data: Buffer, first_block: int, checksums: tuple[int, ...], block: int) -> None:
    """Check ``data``, the stored bytes from block number ``first_block`` on, against the form's checksums.

    Raises `DamageError` if a block differs, or if ``data`` does not consist of whole blocks.
    """
    actual = block_checksums(data, block)
    if actual != checksums[first_block : first_block + len(actual)]:
        raise DamageError("stored bytes fail their checksum")


def decode(codec: int, stored: bytes, size: int) -> bytes:
    """Decode ``stored`` into ``size`` bytes; raise `DamageError` if it does not decode to that length."""
    if size > LARGEST:
        raise DamageError(f"a stored chunk claims to have {size} bytes; none has more than {LARGEST}")
    if codec == RAW:
        data = stored
    elif codec == ZSTD:
        data = _decompress(stored, size)
    else:
        raise DamageError(f"a stored chunk has the unknown codec {codec}")
    if len(data) != size:
        raise DamageError(f"a stored chunk has {len(data)} bytes instead of {size}")
    return data


def _decompress(stored: bytes, size: int) -> bytes:
    """Return a frame's content; check its declared size first, since zstandard allocates that much memory."""
    try:
        frame_size = zstandard.frame_content_size(stored)
        if frame_size == size:
            return _contexts.decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise DamageError(f"a stored chunk does not decompress: {error}") from error
    raise DamageError(f"a stored chunk has {frame_size} bytes instead of {size}")
