"""What a file is, by its first bytes and its name; a kind says how it may be shown, never that it is harmless."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Kind", "kind_of"]


class Kind(NamedTuple):
    """How a file can be shown: ``form`` is image, audio, video, text, json, table, tensors or binary.

    ``media_type`` is what a browser may take it for; that of everything but images, sound and films is
    ``application/octet-stream``, so that nothing in a version is ever run.
    """

    form: str
    media_type: str = "application/octet-stream"


_BINARY: Final = Kind("binary")
_MAGIC: Final = (
    (0, b"\x89PNG\r\n\x1a\n", Kind("image", "image/png")),
    (0, b"\xff\xd8\xff", Kind("image", "image/jpeg")),
    (0, b"GIF87a", Kind("image", "image/gif")),
    (0, b"GIF89a", Kind("image", "image/gif")),
    (8, b"WEBP", Kind("image", "image/webp")),
    (4, b"ftypavif", Kind("image", "image/avif")),
    (0, b"BM", Kind("image", "image/bmp")),
    (8, b"WAVE", Kind("audio", "audio/wav")),
    (0, b"ID3", Kind("audio", "audio/mpeg")),
    (0, b"\xff\xfb", Kind("audio", "audio/mpeg")),
    (0, b"fLaC", Kind("audio", "audio/flac")),
    (0, b"OggS", Kind("audio", "audio/ogg")),
    (4, b"ftyp", Kind("video", "video/mp4")),
    (0, b"\x1aE\xdf\xa3", Kind("video", "video/webm")),
    (0, b"PAR1", Kind("table")),
    (0, b"ARROW1", Kind("table")),
    (0, b"\x93NUMPY", Kind("tensors")),
)
_WORDS: Final = {b"BM": ".bmp", b"ID3": ".mp3", b"WEBP": ".webp", b"WAVE": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}
"""Marks that are words a text may have at their place too, and the name of a file that means them."""
_TENSORS: Final = (".safetensors", ".npz", ".npy", ".pt", ".pth")
_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather")


def kind_of(name: str, beginning: bytes) -> Kind:
    """Return the kind of a file with a name and its first kilobyte."""
    lower = name.lower()
    for offset, magic, kind in _MAGIC:
        if beginning[offset:].startswith(magic) and _is_meant(magic, lower, beginning):
            return kind
    if lower.endswith(_TENSORS):
        return Kind("tensors")
    if not _is_text(beginning):
        return _BINARY
    if lower.endswith(_TABLES):
        return Kind("table")
    return Kind("json") if lower.endswith(".json") else Kind("text")


def _is_meant(magic: bytes, name: str, beginning: bytes) -> bool:
    """Return whether a mark says what the file is: of a word in a text, and of the two letters BM, the name decides."""
    if magic not in _WORDS or name.endswith(_WORDS[magic]):
        return True
    return magic != b"BM" and not _is_text(beginning)


def _is_text(beginning: bytes) -> bool:
    """Return whether the first bytes are UTF-8 without control characters; the last character may be cut."""
    if b"\0" in beginning:
        return False
    try:
        text = beginning.decode()
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 3 or not beginning[: error.start]:
            return False
        text = beginning[: error.start].decode()
    return not any(ord(mark) < 32 and mark not in "\t\n\r\f\x1b" for mark in text)
