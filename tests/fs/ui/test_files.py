"""Files are listed as the command lists them, shown harmlessly, and sent bit for bit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from artfs.ui.addresses import address
from artstore.workspace import Workspace, init_workspace
from fs.ui.clients import Client
from fs.ui.test_artifacts import words

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
CONTENTS = {
    b"text.txt": b"one\ntwo\n",
    b"page.html": b"<script>alert(1)</script>",
    b"drawing.svg": SVG,
    b"image.png": PNG,
    b"fake.png": b"<html><script>alert(1)</script>",
    b"sound.wav": b"RIFF0000WAVEfmt ",
    b"film.webm": b"\x1aE\xdf\xa3rest",
    b"data.json": b'{"b": [1, 2], "a": null}',
    b"broken.json": b"{",
    b"binary.bin": bytes(range(256)) * 8,
    b"empty": b"",
    b"a/b/deep.txt": b"deep",
    b"odd \xff<b>&\"'\n%2f": b"odd",
    b"..dots": b"dots",
    b"formula.csv": b"=cmd()|' /C calc'!A0,1\n",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = tmp_path / "data"
    for name, content in CONTENTS.items():
        file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with init_workspace(tmp_path / "ws") as made:
        made.put(folder, "data")
        (folder / "text.txt").write_text("one\n2\n")
        made.put(folder, "data")
        yield made


def at(page: str, name: bytes, **more: str) -> str:
    return address(page, ref="data:v0", path=os.fsdecode(name), **more)


def test_a_folder(client: Client, workspace: Workspace) -> None:
    """Every entry is there with its bytes, folders with those of all below them, and each link leads to its page."""
    page = client.get("/files?ref=data:v0").text
    for entry in workspace.version("data:v0").listdir():
        assert f"{entry.size:,} bytes" in page and entry.digest[:12] in page
    targets = [unescape(each) for each in re.findall(r'<th scope="row"><a href="([^"]*)"', page)]
    assert len(targets) == len(workspace.version("data:v0").listdir())
    assert all(client.get(target).status == 200 for target in targets)
    assert "deep.txt" in client.get("/files?ref=data:v0&path=a/b").text
    assert "<svg" in page and "drawing.svg" in page


def test_a_folder_as_the_commands_document(client: Client) -> None:
    answer = client.get("/files?ref=data:v0&format=json")
    assert answer.headers["content-type"] == "application/json" and '"schema": "artfs.files/1"' in answer.text


def test_pages_of_a_folder(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """Each entry of a large folder is on one page."""
    (tmp_path / "many").mkdir()
    for number in range(250):
        (tmp_path / "many" / f"{number:03}").write_text(str(number))
    workspace.put(tmp_path / "many", "many")
    target, seen = "/files?ref=many", list[str]()
    while target:
        page = client.get(target).text
        seen += re.findall(r">(\d{3})</a></th>", page)
        following = re.search(r'rel="next" href="([^"]*)"', page)
        target = unescape(following[1]) if following else ""
    assert seen == [f"{number:03}" for number in range(250)]


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_each_file(client: Client, name: bytes) -> None:
    """A file has a page, on which nothing of it is markup, and its bytes are sent as they are, never to be run."""
    answer = client.get(at("/file", name))
    assert answer.status == 200 and "alert(1)</script>" not in answer.text and answer.text.count("<script") == 1
    sent = client.get(at("/content", name))
    assert sent.status == 200 and sent.content == CONTENTS[name]
    assert sent.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert sent.headers["x-content-type-options"] == "nosniff"
    kind = sent.headers["content-type"]
    assert kind.split("/")[0] in ("image", "audio", "video") or (
        kind == "application/octet-stream" and sent.headers["content-disposition"].startswith("attachment")
    )
    assert "svg" not in kind and "html" not in kind
    assert client.get(at("/content", name, download="1")).headers["content-disposition"].startswith("attachment")


def test_what_pages_show(client: Client) -> None:
    assert (
        "<img" in client.get(at("/file", b"image.png")).text and "<img" not in client.get(at("/file", b"fake.png")).text
    )
    assert "<audio" in client.get(at("/file", b"sound.wav")).text
    assert "<video" in client.get(at("/file", b"film.webm")).text
    assert '"b": [ 1, 2 ], "a": null' in words(client.get(at("/file", b"data.json")).text)
    assert "00000010 10 11 12" in words(client.get(at("/file", b"binary.bin")).text)
    assert "beginning is shown" in client.get(at("/file", b"binary.bin")).text
    assert "image.png" in client.get("/files?ref=data:v0&view=images").text


def test_tables(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """The first rows and what is in each column; one that cannot be read is a sentence and its bytes."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path / "tables"
    folder.mkdir()
    rows = pyarrow.table({"id": range(100), "text": ["<b>"] * 99 + [None]})
    pyarrow.parquet.write_table(rows, folder / "rows.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1" + b"x" * 100)
    workspace.put(folder, "tables")
    page = client.get("/file?ref=tables&path=rows.parquet").text
    text = words(page)
    assert "100 rows" in text and "id int64 0 0 99 49.5" in text and "<b>" not in page
    broken = client.get("/file?ref=tables&path=broken.parquet")
    assert broken.status == 200 and 'role="alert"' in broken.text and "50 41 52 31" in broken.text


def test_tensors(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """Names, types and shapes; the reader is a process of its own, whose answer about damage is a sentence."""
    import numpy as np

    folder = tmp_path / "weights"
    folder.mkdir()
    np.savez(folder / "good.npz", **{"layer.weight": np.zeros((3, 4), np.float32)})
    (folder / "bad.safetensors").write_bytes(b"\xff" * 100)
    workspace.put(folder, "weights")
    text = words(client.get("/file?ref=weights&path=good.npz").text)
    assert "1 tensor" in text and "layer.weight <f4 3 × 4 48 B" in text
    bad = client.get("/file?ref=weights&path=bad.safetensors")
    assert bad.status == 200 and 'role="alert"' in bad.text and "ff ff ff" in bad.text


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=2040-9999", 206, slice(2040, 2048)),
        ("bytes=2048-", 416, slice(0, 0)),
        ("bytes=9999-", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=5-4", 200, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=x", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
    ],
)
def test_ranges(client: Client, wanted: str, status: int, expected: slice) -> None:
    """A film is read in parts, and a range that is none is ignored."""
    whole = CONTENTS[b"binary.bin"]
    answer = client.get(at("/content", b"binary.bin"), range=wanted)
    assert (answer.status, answer.content) == (status, whole[expected])
    if status == 206:
        start, end, _ = expected.indices(len(whole))
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
        assert answer.headers["content-length"] == str(len(answer.content))


def test_ranges_of_other_content(client: Client) -> None:
    """A range of what the file was is answered with all that it is."""
    tag = client.get(at("/content", b"binary.bin")).headers["etag"]
    same = client.get(at("/content", b"binary.bin"), range="bytes=0-3", if_range=tag)
    other = client.get(at("/content", b"binary.bin"), range="bytes=0-3", if_range='"x"')
    assert (same.status, other.status) == (206, 200)


def test_a_head_has_the_headers_alone(client: Client) -> None:
    answer = client.request("HEAD", at("/content", b"binary.bin"))
    assert answer.status == 200 and not answer.content and answer.headers["content-length"] == "2048"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "..", "%2e%2e/x", "\\..\\x", "/etc/passwd", "none", "a/b/none"])
@pytest.mark.parametrize("page", ["/file", "/files", "/content"])
def test_paths_cannot_leave_a_version(client: Client, page: str, path: str) -> None:
    answer = client.get(address(page, ref="data:v0", path=path))
    assert answer.status in (400, 404) and "root:" not in answer.text


def test_the_history_of_a_file(client: Client, workspace: Workspace) -> None:
    page = words(client.get("/history?name=data&path=text.txt").text)
    assert "v1" in page and "v0" in page and "compare with v0" in page
    document = client.get("/history?name=data&path=text.txt&format=json").text
    assert '"schema": "artfs.history/1"' in document
    assert "v0 to v1" in words(client.get("/history?name=data&path=page.html").text)
    assert client.get("/history?name=data&path=none").status == 404


def test_damaged_content_is_a_sentence(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """The page of a file whose bytes are lost says so; its folder is listed."""
    data = os.urandom(1 << 20)
    (tmp_path / "lost").write_bytes(data)
    workspace.put(tmp_path / "lost", "lost")
    for pack in (workspace.path / "packs").rglob("*"):
        if pack.is_file():
            content = pack.read_bytes()
            at_ = content.find(data[:64])
            if at_ >= 0:
                pack.chmod(0o600)
                pack.write_bytes(content[: at_ + 10] + b"damage" + content[at_ + 16 :])
    answer = client.get("/file?ref=lost&path=lost")
    assert answer.status == 200 and 'role="alert"' in answer.text
    assert client.get("/files?ref=lost").status == 200
