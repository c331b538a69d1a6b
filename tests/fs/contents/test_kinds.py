"""What a file is taken for; whatever a browser could run is taken for nothing."""

from __future__ import annotations

import pytest

from artfs.contents.dump import hex_lines
from artfs.contents.kinds import kind_of


@pytest.mark.parametrize(
    ("name", "beginning", "form", "media_type"),
    [
        ("x.txt", b"\x89PNG\r\n\x1a\n", "image", "image/png"),
        ("x.png", b"text", "text", "application/octet-stream"),
        ("x.svg", b"<svg>", "text", "application/octet-stream"),
        ("x.html", b"<html>", "text", "application/octet-stream"),
        ("x.bmp", b"BM12", "image", "image/bmp"),
        ("BMW", b"BMW is text", "text", "application/octet-stream"),
        ("x", b"BM\0\1", "binary", "application/octet-stream"),
        ("notes", b"ID3 is an algorithm", "text", "application/octet-stream"),
        ("x", b"ID3\4\0\0", "audio", "audio/mpeg"),
        ("x.mp3", b"ID3x", "audio", "audio/mpeg"),
        ("notes", b"About a WAVE", "text", "application/octet-stream"),
        ("notes.md", b"What is WEBP", "text", "application/octet-stream"),
        ("x", b"RIFF\0\1\2\3WEBP", "image", "image/webp"),
        ("x.mp4", b"0000ftypmp42", "video", "video/mp4"),
        ("x.avif", b"0000ftypavif", "image", "image/avif"),
        ("x.csv", b"a,b\n", "table", "application/octet-stream"),
        ("x", b"PAR1", "table", "application/octet-stream"),
        ("x.safetensors", b"\0\0", "tensors", "application/octet-stream"),
        ("x.json", b"{}", "json", "application/octet-stream"),
        ("x", b"\0", "binary", "application/octet-stream"),
        ("x", "é".encode()[:1], "binary", "application/octet-stream"),
        ("x", b"cut " + "é".encode()[:1], "text", "application/octet-stream"),
        ("x", b"\xff\xfetext", "binary", "application/octet-stream"),
        ("x", b"", "text", "application/octet-stream"),
    ],
)
def test_kinds(name: str, beginning: bytes, form: str, media_type: str) -> None:
    assert kind_of(name, beginning) == (form, media_type)


def test_hexadecimal() -> None:
    assert hex_lines(b"0123456789abcdef\0") == [
        "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "00000010  00                                               |.|",
    ]
