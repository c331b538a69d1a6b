"""A hostile corpus: versions whose names and contents attack the program that shows them.

What would run makes a mark: script calls `canary()`, which is not there, or sets `window.canary`, opens a dialog, or
asks the server for an address with `CANARY`; a pickle makes a folder.  None of this may happen, and each case must be
shown harmlessly or refused with a sentence.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import struct
import wave
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

import artfs
from artfs.tracking import active_run
from artstore.workspace import Workspace
from parquet_files import (
    COLUMNS_OF_GROUP,
    META_OF_COLUMN,
    NUM_VALUES,
    ROW_GROUPS,
    STRUCT,
    put_together,
    taken_apart,
    with_field,
)
from parquet_files import field as thrift_field

CANARY = "artfs-canary"
SCRIPT = f"window.canary=1;alert('{CANARY}');fetch('/{CANARY}')"
MARKUP = f'<img src=x onerror="{SCRIPT}"><script>{SCRIPT}</script>'
"""What runs where a text is put into a page as it is."""

TEXTS: dict[str, str] = {
    "element": "<img src=x onerror=canary()>",
    "attribute": "\"><svg onload=canary()>'",
    "handler": "x' onmouseover='canary()' y='",
    "end of script": "</script><script>canary()</script>",
    "template": "{{7*7}}{% raw %}${7*7}",
    "entity": "&lt;b&gt;&amp;&#x3c;script&#x3e;",
    "right to left": "a\u202egnp.exe",
    "invisible": "a\u200b\u2066b\ufeff",
    "formula": '=HYPERLINK("http://evil.example/","x")',
    "scheme": "javascript:canary()",
    "prototype": "__proto__",
    "long": "W" * 120,
}
"""Texts for every place where a user may write one."""

NAMES: dict[str, bytes] = {
    "element": b"<img src=x onerror=canary()>.png",
    "attribute": b'"><svg onload=canary()>.txt',
    "handler": b"x' onmouseover='canary()' y='.csv",
    "template": b"{{7*7}}{% raw %}.txt",
    "entity": b"&lt;script&gt;&amp;.txt",
    "right to left": "photo\u202egnp.exe".encode(),
    "newline": b"two\nlines\r.txt",
    "tab and escape": b"a\tb\x1b[31mred\x07.txt",
    "no utf-8": b"\xff\xfe\xe9.png",
    "surrogate": b"\xed\xa0\x80.txt",
    "longest": b"n" * 251 + b".txt",
    "percent": b"%2e%2e%2f%00%25.txt",
    "query": b"a?b=c&d#e;f.txt",
    "back slash": b"..\\..\\etc\\passwd",
    "dots": b"...",
    "blank": b"  ",
    "scheme": b"javascript:canary()",
    "protocol": b"http:evil.example",
    "option": b"--help",
    "reserved": b"v3",
    "history": b".history",
    "prototype": b"__proto__",
    "plus": b"a+b c.txt",
    "emoji": "\U0001f600\u0301.txt".encode(),
    "formula": b"=1+1.csv",
}


@dataclass(frozen=True)
class Case:
    """A file in the version ``hostile/NAME:v0`` that attacks, and what it attacks; in v1 it is damaged as well."""

    name: str
    version: str
    path: bytes


class _Runs:
    def __init__(self, canary: Path) -> None:
        self.path = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def build(ws: Workspace, folder: Path, canary: Path) -> list[Case]:
    """Put the corpus into a workspace, from files below a folder; return every case.  A pickle makes *canary*."""
    cases = []
    for artifact, given in {"hostile/names": _named(), "hostile/content": _contents(canary)}.items():
        files = list(given)
        source = os.fsencode(folder / artifact)
        os.makedirs(source)
        for name, path, content in files:
            place = os.path.join(source, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as output:
                output.write(content)
            cases.append(Case(name, f"{artifact}:v0", path))
        ws.put(os.fsdecode(source), artifact, type="dataset")
        for _, path, content in files:
            with open(os.path.join(source, path), "wb") as output:
                output.write(content[: len(content) // 2] + b"\n" + content[len(content) // 2 :])
        ws.put(os.fsdecode(source), artifact, description="each file with one byte more")
    cases.append(_damaged(ws, folder))
    _worded(ws, folder / "worded")
    return cases


def _worded(ws: Workspace, folder: Path) -> None:
    """Write the texts wherever a user may: artifacts, aliases, tags, descriptions, metadata, runs, rules."""
    folder.mkdir()
    (folder / "file").write_bytes(b"harmless")
    taken = [text for text in TEXTS.values() if not set(text) & set("/:\\*?[]#%@") and text.isprintable()]
    for number, text in enumerate(taken):
        ws.put(folder, f"hostile/{text}", type=text, description=text, new=True, metadata={text: text})
        word = text.replace(" ", "\u00b7")
        ws.aliases.set(f"hostile/{text}:v0", word)
        ws.tags.add(f"hostile/{text}:v0", word)
        ws.retention.set(f"rule-{number}", tag=word, everything=True)
    previous, active_run._run, active_run._hooked = (active_run._run, active_run._hooked), None, True
    environment = os.environ.get("ARTFS_WORKSPACE")
    os.environ["ARTFS_WORKSPACE"] = str(ws.path)
    try:
        texts = dict(TEXTS.items())
        with artfs.init(project="hostile", name=MARKUP, notes=MARKUP, tags=list(texts.values()), config=texts) as run:
            run.log({text: number / 7 for number, text in enumerate(texts.values())})
            run.log({text: number / 5 for number, text in enumerate(texts.values())})
            run.log({"words": MARKUP, "infinite": float("inf"), "none": float("nan"), "huge": 1e308})
            described = artfs.Artifact("described", "dataset", description=MARKUP, metadata=texts)
            described.add_file(str(folder / "file"))
            run.log_artifact(described)
    finally:
        active_run._run, active_run._hooked = previous
        os.environ.pop("ARTFS_WORKSPACE")
        if environment is not None:
            os.environ["ARTFS_WORKSPACE"] = environment


def _damaged(ws: Workspace, folder: Path) -> Case:
    """Put a file, and change its bytes in the pack."""
    source = folder / "damaged"
    source.mkdir()
    content = random.Random(404).randbytes(90_000)
    (source / "broken.bin").write_bytes(content)
    ws.put(source, "hostile/damaged")
    part = content[30_000:30_064]
    for pack in Path(ws.path).rglob("*.pack"):
        stored = pack.read_bytes()
        if part in stored:
            with pack.open("r+b") as output:
                output.seek(stored.index(part))
                output.write(bytes(64))
            return Case("damaged in a pack", "hostile/damaged:v0", b"broken.bin")
    raise AssertionError("the content is in no pack")


def _named() -> Iterator[tuple[str, bytes, bytes]]:
    for name, path in NAMES.items():
        yield f"file name: {name}", path, b"id,text\n1,harmless\n"
        yield f"folder name: {name}", b"folders/" + path + b"/inside.txt", b"harmless\n"
    yield "deep path", b"/".join([b"d"] * 60) + b"/deep.txt", b"harmless\n"


def _contents(canary: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for group in (_markup(), _images(), _tables(), _archives(), _pickles(canary), _tensors(), _texts(), _media()):
        for name, content in group:
            yield name, os.fsencode(name), content


# -- contents: (file name, bytes) --------------------------------------------------------------------------------------


def _markup() -> Iterator[tuple[str, bytes]]:
    script = SCRIPT.encode()
    yield "page.html", b'<!doctype html><body onload="' + script + b'">' + MARKUP.encode()
    yield "refresh.htm", b'<meta http-equiv=refresh content="0;url=http://evil.example/"><base href=//evil.example>'
    yield "page.xhtml", b'<html xmlns="http://www.w3.org/1999/xhtml"><script>' + script + b"</script></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    yield "script.svg", svg + b' onload="' + script + b'"><script>' + script + b"</script></svg>"
    foreign = b'><foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml" onload="'
    yield "foreign.svg", svg + foreign + script + b'"/></foreignObject><image href="http://evil.example/x.png"/></svg>'
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n + 1, b"&l%d;" % n * 10) for n in range(9))
    yield "laughs.svg", b'<!DOCTYPE svg [<!ENTITY l0 "lol">' + laughs + b"]>" + svg + b"><text>&l9;</text></svg>"
    yield "outside.xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    yield "style.css", b"@import url(http://evil.example/x.css); * { background: url(/" + CANARY.encode() + b") }"
    yield "script.js", script
    yield "read.md", b"[x](javascript:canary())\n\n" + MARKUP.encode() + b"\n![y](http://evil.example/y.png)\n"
    notebook = {"cells": [{"cell_type": "code", "outputs": [{"data": {"text/html": [MARKUP]}}], "source": []}]}
    yield "book.ipynb", json.dumps(notebook).encode()
    yield "image.png.html", b"\x89PNG\r\n\x1a\n" + MARKUP.encode()
    yield "markup in.png", MARKUP.encode()
    yield "report.pdf", b"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n"
    yield "frame.mhtml", b"MIME-Version: 1.0\nContent-Type: text/html\n\n" + MARKUP.encode()


def _png(width: int, height: int, data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *extra, (b"IDAT", data), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _images() -> Iterator[tuple[str, bytes]]:
    zeros = zlib.compressobj(9)
    bomb = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(200)) + zeros.flush()
    yield "bomb.png", _png(60_000, 60_000, bomb)
    yield "dimensions.png", _png(2**31 - 1, 2**31 - 1, zlib.compress(b"0"))
    yield "text bomb.png", _png(1, 1, zlib.compress(b"\0\0"), (b"zTXt", b"c\0\0" + bomb))
    image = Image.new("RGB", (64, 64), (200, 40, 40))
    for kind in ("png", "jpeg", "gif", "webp", "tiff", "bmp"):
        output = io.BytesIO()
        image.save(output, kind)
        yield f"cut.{kind}", output.getvalue()[: len(output.getvalue()) * 2 // 3]
    output = io.BytesIO()
    image.save(output, "bmp")
    yield "wide.bmp", output.getvalue()[:18] + struct.pack("<ii", 2**30, 2**30) + output.getvalue()[26:]
    yield "frames.gif", b"GIF89a\xff\xff\xff\xff\0\0\0" + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0" * 3000 + b";"
    yield "program.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/tmp/x) (w) file\n%%EOF\n"
    yield "noise.jpg", b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(3000)
    yield "empty.png", b""


def _parquet() -> bytes:
    output = io.BytesIO()
    pa.parquet.write_table(pa.table({"a": list(range(100)), MARKUP: [MARKUP] * 100}), output)
    return output.getvalue()


def _tables() -> Iterator[tuple[str, bytes]]:
    good = _parquet()
    yield "markup.parquet", good
    body, footer = taken_apart(good)
    kind, groups = thrift_field(footer, ROW_GROUPS)
    for name, ident, value in (("rows", 3, 2**62), ("negative rows", 3, -5)):
        yield f"absurd {name}.parquet", put_together(body, with_field(footer, ident, value))
    columns = []
    for column in thrift_field(groups[0], COLUMNS_OF_GROUP)[1]:
        meta = with_field(thrift_field(column, META_OF_COLUMN), NUM_VALUES, 2**60)
        columns.append(with_field(column, META_OF_COLUMN, meta))
    group = with_field(groups[0], COLUMNS_OF_GROUP, (STRUCT, columns))
    yield "absurd values.parquet", put_together(body, with_field(footer, ROW_GROUPS, (kind, [group])))
    yield "absurd groups.parquet", put_together(body, with_field(footer, ROW_GROUPS, (kind, groups * 20_000)))
    yield "absurd footer.parquet", good[:-8] + b"\xff\xff\xff\x7fPAR1"
    yield "cut.parquet", good[: len(good) // 2]
    yield "noise.parquet", b"PAR1" + random.Random(2).randbytes(5000) + b"PAR1"
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": [1, 2, 3]}))
    yield "cut.arrow", sink.getvalue()[:-30]
    yield "absurd.arrow", sink.getvalue().replace(struct.pack("<q", 24), struct.pack("<q", 2**61))
    cells = [f'"{text}"' for text in ("=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", MARKUP.replace('"', '""'))]
    yield "formula.csv", ("a,b,c,d,e\n" + ",".join(cells) + "\n").encode()
    yield "wide.csv", b",".join([b"c"] * 50_000) + b"\n" + b",".join([b"1"] * 50_000) + b"\n"
    yield "ragged.csv", b'a,b\n1\n1,2,3,4\n\n\n"unclosed,\n1,2\n'
    yield "zeros.csv", b"a,b\n\0\0\0,1\n" + bytes(5000)
    yield "one line.csv", b"a,b\n" + b"x" * 3_000_000 + b",1\n"
    yield "same names.csv", b"a,a,,\n1,2,3,4\n"
    yield "header only.csv", MARKUP.encode() + b"\n"
    yield "mixed.jsonl", b'{"a": 1}\n[1, 2]\n"x"\nnull\n{"a": {"b": [1]}}\n{broken\n'
    yield "huge number.jsonl", b'{"a": ' + b"9" * 100_000 + b"}\n"
    yield "deep.jsonl", b"[" * 100_000 + b"]" * 100_000 + b"\n"
    yield "bomb.csv.gz", gzip.compress(b"a,b\n" + bytes(100_000_000), 9)


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return output.getvalue()


def _archives() -> Iterator[tuple[str, bytes]]:
    inner = _zip({"zeros": bytes(50_000_000)})
    yield "bomb.zip", _zip({f"{number}.zip": inner for number in range(50)}, zipfile.ZIP_STORED)
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70)
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }".ljust(69) + b"\n"
    yield "bomb.npz", _zip({"a.npy": header + bytes(80_000_000)})
    yield "names.npz", _zip({"../../etc/passwd.npy": b"x", "/abs.npy": b"x", f"{MARKUP}.npy": b"\x93NUMPY"})
    many = _zip({f"{number}.npy": b"" for number in range(20_000)}, zipfile.ZIP_STORED)
    yield "many.npz", many
    yield "cut.npz", many[:10_000]
    yield "sheet.xlsx", _zip({"xl/sharedStrings.xml": b"<!DOCTYPE x>" + bytes(10_000_000)})


def _pickles(canary: Path) -> Iterator[tuple[str, bytes]]:
    code = pickle.dumps(_Runs(canary))
    objects = io.BytesIO()
    np.save(objects, np.array([_Runs(canary)], dtype=object), allow_pickle=True)
    yield "model.pkl", code
    yield "model.pickle", code
    yield "model.joblib", zlib.compress(code)
    yield "old.pt", code
    torch = {
        "archive/data.pkl": code,
        "archive/version": b"3\n",
        "archive/data/0": bytes(64),
        "archive/byteorder": b"little",
    }
    yield "model.pt", _zip(torch, zipfile.ZIP_STORED)
    yield "model.pth", _zip(torch, zipfile.ZIP_STORED)
    yield "objects.npy", objects.getvalue()
    yield "objects.npz", _zip({"a.npy": objects.getvalue(), "b.npy": code})
    loop = b"\x80\x02" + b"(lp0\nh\0a" * 20_000 + b"."
    yield "memo.pt", _zip({**torch, "archive/data.pkl": loop})
    frames = b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"."
    yield "frame.pt", _zip({**torch, "archive/data.pkl": frames})
    yield "long.pt", _zip({**torch, "archive/data.pkl": b"\x80\x02\x8b\xff\xff\xff\x7f."})


def _tensors() -> Iterator[tuple[str, bytes]]:
    def safetensors(header: Any, data: bytes = bytes(64)) -> bytes:
        encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(encoded)) + encoded + data

    entry = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}
    yield "markup.safetensors", safetensors({MARKUP: entry, "__metadata__": {"x": MARKUP}})
    yield "header.safetensors", struct.pack("<Q", 2**63) + b"{}"
    yield "cut.safetensors", safetensors({"w": entry})[:-20]
    yield "offsets.safetensors", safetensors({"w": {**entry, "data_offsets": [-8, 2**62]}, "v": entry})
    yield "shape.safetensors", safetensors({"w": {**entry, "shape": [2**40, 2**40]}})
    yield "dtype.safetensors", safetensors({"w": {**entry, "dtype": MARKUP}})
    yield "no object.safetensors", safetensors([1, 2])
    yield "deep.safetensors", safetensors(b"[" * 200_000)
    yield "many.safetensors", safetensors({f"w{number}": {**entry, "shape": [0]} for number in range(50_000)})
    for name, text in {
        "absurd.npy": b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }",
        "negative.npy": b"{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }",
        "call.npy": b"{'descr': __import__('os').mkdir('x'), 'fortran_order': False, 'shape': (), }",
        "nested.npy": b"(" * 60_000,
        "width.npy": b"{'descr': '<V2147483647', 'fortran_order': False, 'shape': (9,), }",
    }.items():
        yield name, b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + bytes(64)


def _texts() -> Iterator[tuple[str, bytes]]:
    yield "line.txt", b"<b>" + b"x" * 4_000_000
    yield "lines.txt", b"\n" * 2_000_000
    yield "utf16.txt", "\ufeff<script>canary()</script>".encode("utf-16")
    yield "latin.txt", b"caf\xe9 <script>canary()</script>\n"
    yield "escape.log", b"\x1b]0;owned\x07\x1b[2J\x1b[31mred" + MARKUP.encode()
    yield "bidi.py", 'access = "user\u202e \u2066# only\u2069"\n'.encode()
    yield "marks.txt", ("e" + "\u0301" * 50_000).encode()
    yield "deep.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "markup.json", json.dumps({MARKUP: [MARKUP, {"__proto__": 1}], "n": 10**4000}).encode()
    yield "cut.json", b'{"a": [1, 2, {"b": "'
    yield "same keys.json", b'{"a": 1, "a": 2, "b": NaN, "c": Infinity, "d": 1e999}'
    yield "surrogate.json", b'{"a": "\\ud800", "\\udfff": 1}'
    yield "many.json", json.dumps([{"k": number} for number in range(100_000)]).encode()
    yield "alias.yaml", b"a: &a [x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(40))


def _media() -> Iterator[tuple[str, bytes]]:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as output:
        output.setparams((1, 2, 8000, 0, "NONE", ""))
        output.writeframes(bytes(100))
    yield "sizes.wav", sound.getvalue().replace(struct.pack("<I", 100), struct.pack("<I", 2**32 - 1))
    yield "noise.mp4", b"\0\0\0\x18ftypmp42" + random.Random(3).randbytes(4000)
    yield "markup.mp3", b"ID3" + MARKUP.encode()
    yield "playlist.m3u8", b"#EXTM3U\nhttp://evil.example/x.ts\nfile:///etc/passwd\n"
    yield "titles.vtt", b"WEBVTT\n\n00:00.000 --> 01:00.000\n" + MARKUP.encode()
    yield "markup.webm", MARKUP.encode()
    yield "no kind at all", random.Random(4).randbytes(2000)
