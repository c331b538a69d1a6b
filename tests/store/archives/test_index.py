"""The index: what is written is read, and nothing else is an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.archives.index import ArchivedEntry, ArchivedVersion, decode_index, encode_index
from artstore.errors import ArchiveError, UnsupportedError
from artstore.ids import content_id

NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: not {b"/"[0], 0} & {*name} and name not in (b".", b".."))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def file(path: bytes, content: bytes = b"1", **options: bool) -> ArchivedEntry:
    return ArchivedEntry(path, content_id(content), len(content), **options)


@st.composite
def trees(draw: st.DrawFn) -> tuple[ArchivedEntry, ...]:
    entries = []
    for name in sorted(draw(st.sets(NAMES, max_size=5))):
        kind = draw(st.sampled_from(["file", "run", "link", "empty", "folder"]))
        if kind == "folder":
            entries += [
                file(name + b"/" + below, below) for below in sorted(draw(st.sets(NAMES, min_size=1, max_size=3)))
            ]
        elif kind == "link":
            entries.append(ArchivedEntry(name, target=draw(NAMES)))
        else:
            entries.append(
                ArchivedEntry(name, is_directory=True) if kind == "empty" else file(name, executable=kind == "run")
            )
    return tuple(sorted(entries)) or (ArchivedEntry(b"", is_directory=True),)


VERSIONS = st.lists(
    st.builds(
        ArchivedVersion,
        name=st.sampled_from(["a:v0", "team/a:v3", "ä:v12", "b:v0"]),
        digest=st.binary(min_size=32, max_size=32).map(bytes.hex),
        type=st.sampled_from([None, "model"]),
        description=st.text(max_size=10),
        metadata=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
        includes=st.sampled_from([(), ("a:v0", "b:v1")]),
        entries=trees(),
    ),
    max_size=3,
    unique_by=lambda version: version.name,
)


@given(VERSIONS)
def test_what_is_written_is_read(versions: list[ArchivedVersion]) -> None:
    assert decode_index(encode_index(versions)) == versions


VERSION = ArchivedVersion("a:v0", "0" * 64, "model", "", {"k": 1}, ("b:v0",), (file(b"f"), file(b"g/h", b"2")))
INDEX = encode_index([VERSION])


def with_entries(*entries: ArchivedEntry) -> bytes:
    return encode_index([replace(VERSION, entries=entries)])


def changed(line: int, change: Callable[[dict[str, object]], object]) -> bytes:
    lines = INDEX.splitlines()
    values = json.loads(lines[line])
    change(values)
    lines[line] = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    return b"\n".join(lines) + b"\n"


HOSTILE = {
    "empty": b"",
    "no lines": b"\n",
    "not JSON": b"artfs\n",
    "not an object": b"[1]\n",
    "not ours": changed(0, lambda line: line.update(archive="borg")),
    "no format": changed(0, lambda line: line.pop("format")),
    "a format that is true": changed(0, lambda line: line.update(format=True)),
    "more versions": changed(0, lambda line: line.update(versions=2)),
    "versions without end": changed(0, lambda line: line.update(versions=1 << 62)),
    "fewer versions": changed(0, lambda line: line.update(versions=0)),
    "other entries": changed(0, lambda line: line.update(entries=3)),
    "more entries": changed(1, lambda line: line.update(entries=3)),
    "entries without end": changed(1, lambda line: line.update(entries=1 << 62)),
    "negative entries": changed(1, lambda line: line.update(entries=-1)),
    "a number that is text": changed(1, lambda line: line.update(entries="2")),
    "an unknown key": changed(1, lambda line: line.update(more=1)),
    "an unknown key of an entry": changed(2, lambda line: line.update(more=1)),
    "a missing key": changed(1, lambda line: line.pop("type")),
    "not the name of a version": changed(1, lambda line: line.update(version="a:latest")),
    "a name that is none": changed(1, lambda line: line.update(version="../a:v0")),
    "a hidden name": changed(1, lambda line: line.update(version=".a:v0")),
    "a name that is a number": changed(1, lambda line: line.update(version=3)),
    "a type that is none": changed(1, lambda line: line.update(type="a\nb")),
    "a digest that is short": changed(1, lambda line: line.update(digest="00")),
    "a digest in capitals": changed(1, lambda line: line.update(digest="A" * 64)),
    "metadata that are a list": changed(1, lambda line: line.update(metadata=[])),
    "a description that is a number": changed(1, lambda line: line.update(description=1)),
    "includes that are text": changed(1, lambda line: line.update(includes="b:v0")),
    "includes that are no versions": changed(1, lambda line: line.update(includes=["b"])),
    "two keys alike": INDEX.replace(b'"k":1', b'"k":1,"k":1'),
    "blanks": INDEX.replace(b'"k":1', b'"k": 1'),
    "NaN": INDEX.replace(b'"k":1', b'"k":NaN'),
    "infinity": INDEX.replace(b'"k":1', b'"k":1e999'),
    "another spelling": INDEX.replace(b'"k":1', b'"\\u006b":1'),
    "nested": INDEX.replace(b'"k":1', b'"k":' + b"[" * 100_000 + b"]" * 100_000),
    "many digits": INDEX.replace(b'"k":1', b'"k":' + b"1" * 10_000),
    "not UTF-8": INDEX.replace(b'"k":1', b'"\xff":1'),
    "a zero byte": INDEX + b"\0",
    "an empty line": INDEX + b"\n",
    "no last newline": INDEX[:-1],
    "no end": INDEX[: len(INDEX) // 2],
    "a line of 20 MB": INDEX.replace(b'"k":1', b'"k":"' + b"x" * 20_000_000 + b'"'),
    "twice the same version": encode_index([VERSION, VERSION]),
    "up": with_entries(file(b"../f")),
    "up in the middle": with_entries(file(b"a/../f")),
    "absolute": with_entries(file(b"/etc/passwd")),
    "a dot": with_entries(file(b"./f")),
    "two slashes": with_entries(file(b"a//f")),
    "a slash at the end": with_entries(file(b"a/")),
    "no path": with_entries(file(b"")),
    "a zero byte in a path": with_entries(file(b"a\0b")),
    "a long name": with_entries(file(b"a" * 256)),
    "twice the same path": with_entries(file(b"f"), file(b"f")),
    "another order": with_entries(file(b"g"), file(b"f")),
    "below a file": with_entries(file(b"f"), file(b"f/g")),
    "below a link": with_entries(ArchivedEntry(b"f", target=b"g"), file(b"f/g")),
    "below an empty directory": with_entries(ArchivedEntry(b"f", is_directory=True), file(b"f/g")),
    "a root with others": with_entries(ArchivedEntry(b"", is_directory=True), file(b"f")),
    "a link out": with_entries(ArchivedEntry(b"f", target=b"../x")),
    "a link out and back": with_entries(ArchivedEntry(b"d/f", target=b"../../d/x")),
    "an absolute link": with_entries(ArchivedEntry(b"f", target=b"/etc/passwd")),
    "an empty link": with_entries(ArchivedEntry(b"f")),
    "a link with a zero byte": with_entries(ArchivedEntry(b"f", target=b"a\0b")),
    "a directory that is false": changed(2, lambda line: [line.clear(), line.update(path="f", directory=False)]),
    "executable that is a number": changed(2, lambda line: line.update(executable=1)),
    "executable that is false": changed(2, lambda line: line.update(executable=False)),
    "a negative size": changed(2, lambda line: line.update(size=-1)),
    "a size with a point": changed(2, lambda line: line.update(size=1.0)),
    "a size that is true": changed(2, lambda line: line.update(size=True)),
    "a size beyond all": changed(2, lambda line: line.update(size=1 << 63)),
    "an empty file with another digest": changed(2, lambda line: line.update(size=0)),
    "a path that is a number": changed(2, lambda line: line.update(path=3)),
    "a path that is half a character": changed(2, lambda line: line.update(path="\ud800")),
    "a link that is a number": changed(2, lambda line: [line.clear(), line.update(path="f", link=3)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(name: str) -> None:
    """With one sentence of our own."""
    with pytest.raises(ArchiveError) as caught:
        decode_index(HOSTILE[name])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("number", [0, 2, 99, -1])
def test_another_format_is_named(number: int) -> None:
    with pytest.raises(UnsupportedError, match=rf"format {number}\b"):
        decode_index(changed(0, lambda line: line.update(format=number)))
