"""What a comparison shows is what `artfs diff` prints, and the content of what differs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from artfs.ui.addresses import address
from artstore.workspace import Workspace, init_workspace
from fs.ui.clients import Answer, Client
from fs.ui.test_artifacts import words

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("3", "4"):
        (folder / name).mkdir(parents=True)
    for number in range(5):
        (folder / "3" / f"{number}.png").write_bytes(PNG + b"%d" % number)
    (folder / "text").write_text("one\n<b>two</b>\nthree\n")
    (folder / "gone").write_text("gone")
    (folder / "image.png").write_bytes(PNG + b"old")
    np.savez(folder / "weights.npz", a=np.zeros(3), b=np.zeros(2))
    (folder / "binary").write_bytes(b"\0\1")
    (folder / "rows.parquet").write_bytes(b"PAR1\x15\0old")
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    return folder


@pytest.fixture
def workspace(tmp_path: Path, folder: Path) -> Iterator[Workspace]:
    with init_workspace(tmp_path / "ws") as made:
        made.put(folder, "data")
        for number in range(2):
            (folder / "3" / f"{number}.png").rename(folder / "4" / f"{number}.png")
        (folder / "text").write_text("one\n<i>2</i>\nthree\n")
        (folder / "gone").unlink()
        (folder / "come").write_text("come")
        (folder / "image.png").write_bytes(PNG + b"new")
        np.savez(folder / "weights.npz", a=np.zeros(4), b=np.zeros(2))
        (folder / "binary").write_bytes(b"\0\2")
        (folder / "rows.parquet").write_bytes(b"PAR1\x15\0new")
        (folder / "rows.csv").write_text("a,b\n1,3\n")
        made.put(folder, "data")
        yield made


def test_two_versions(client: Client, workspace: Workspace) -> None:
    """Every path is there, counted as the command counts; images that moved are a group."""
    page = client.get("/compare?a=data:v0&b=data:v1").text
    difference = workspace.diff("data:v0", "data:v1")
    text = words(page)
    assert f"{len(difference)} paths" in text and "3 → 4: 2 images" in text
    for kind in ("added", "removed", "changed", "renamed"):
        assert f"{sum(each.kind == kind for each in difference)} {kind}" in text
    assert all(change.path in text for change in difference)
    links = [unescape(each) for each in re.findall(r'<th scope="row">\s*<a href="([^"]*)"', page)]
    assert len(links) == len(difference) and all(client.get(link).status == 200 for link in links)
    assert words(client.get("/compare?a=data:v1&b=data:v1").text).count("no differences") == 1


def test_the_commands_document(client: Client) -> None:
    answer = client.get("/compare?a=data:v0&b=data:v1&format=json")
    assert '"schema": "artfs.diff/1"' in answer.text and '"to": "data:v1"' in answer.text


def test_one_kind_of_change(client: Client) -> None:
    page = words(client.get("/compare?a=data:v0&b=data:v1&kind=added").text)
    assert "come" in page and "gone" not in page.partition("Paths")[2]


def test_pages_of_differences(client: Client, workspace: Workspace, folder: Path) -> None:
    for number in range(150):
        (folder / f"new{number:03}").write_text(str(number))
    workspace.put(folder, "data")
    first = client.get("/compare?a=data:v1&b=data:v2").text
    following = re.search(r'rel="next" href="([^"]*)"', first)
    assert following is not None
    names = re.findall(r">(new\d{3})</a>", first + client.get(unescape(following[1])).text)
    assert sorted(names) == [f"new{number:03}" for number in range(150)]


def comparison(client: Client, path: str, **more: str) -> Answer:
    return client.get(address("/comparison", a="data:v0", b="data:v1", path=path, **more))


def test_text(client: Client) -> None:
    page = comparison(client, "text").text
    assert '<tr class="removed">' in page and "&lt;b&gt;two&lt;/b&gt;" in page and "<i>2" not in page


def test_rows_of_tables(client: Client, workspace: Workspace, folder: Path) -> None:
    """Rows are compared by a key that is found or given, and columns of numbers drawn before and after."""
    import pyarrow
    import pyarrow.parquet

    ids, values = list(range(50)), [float(each) for each in range(50)]
    for change in (0.0, 1.0):
        values[7] += change
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, "value": values}), folder / "rows.parquet")
        workspace.put(folder, "data")
    for key in ("", "&key=id"):
        page = client.get(f"/comparison?a=data:v2&b=data:v3&path=rows.parquet{key}").text
        assert "0 added, 0 removed, 1 changed, by the key id" in words(page) and "<svg" in page
        assert "<strong>8.0</strong>" in page
    assert 'role="alert"' in client.get("/comparison?a=data:v2&b=data:v3&path=rows.parquet&key=none").text


def test_tensors(client: Client) -> None:
    text = words(comparison(client, "weights.npz").text)
    assert "a shape &lt;f8 3" in text or "a shape <f8 3" in text
    assert "b " not in text.partition("After")[2].partition("a shape")[0]


def test_images_and_other_content(client: Client) -> None:
    assert comparison(client, "image.png").text.count('<img class="whole"') == 2
    assert "neither text nor images" in comparison(client, "binary").text
    assert comparison(client, "none").status == 404


def test_tables_that_are_text_and_tables_that_are_none(client: Client) -> None:
    """CSV is compared by rows too; of what only looks like a table, the bytes are never shown as lines."""
    text = words(client.get("/comparison?a=data:v0&b=data:v1&path=rows.csv").text)
    assert "1 changed" in text or "1 added, 1 removed" in text
    binary = client.get("/comparison?a=data:v0&b=data:v1&path=rows.parquet").text
    assert 'class="diff"' not in binary and 'role="alert"' in binary


def test_a_folder_of_the_disk(client: Client, folder: Path) -> None:
    """The work has a page of its own, which comes again until the difference is there."""
    (folder / "fresh").write_text("fresh")
    text = words(compared(client, str(folder)).text)
    assert "1 added" in text and "fresh" in text


def compared(client: Client, named: str) -> Answer:
    """Compare a version with a folder, and return the answer when the work has ended."""
    started = client.post("/compare-folder", {"ref": "data:v1", "folder": named})
    if started.status != 303:
        return started
    deadline = time.monotonic() + 30
    while "data-running" in (answer := client.get(started.headers["location"])).text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


@pytest.mark.parametrize("named", ["relative", "", "/nowhere/there"])
def test_folders_that_are_none(client: Client, named: str) -> None:
    assert compared(client, named).status in (400, 404)


def test_work_that_is_unknown(client: Client) -> None:
    assert client.get("/folder?job=x").status == 404


def test_a_folder_needs_a_form(client: Client) -> None:
    """No address makes the server read a folder: a page of another site cannot ask for it."""
    assert client.get("/compare?a=data:v0&b=/etc").status in (400, 404)
    assert client.get("/compare-folder?ref=data:v1&folder=/etc").status in (404, 405)
