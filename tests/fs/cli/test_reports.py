"""``--html`` writes one whole page, or refuses the place in one sentence before it works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fs.cli.conftest import Run

COMMANDS = ("lineage data:v0", "usage", "usage data", "usage --by type", "diff data:v0 data")


@pytest.fixture
def data(artfs: Run, tmp_path: Path) -> None:
    for text in ("one", "two"):
        (tmp_path / "f").write_text(text)
        assert artfs("put", tmp_path / "f", "data").code == 0


@pytest.mark.usefixtures("data")
def test_a_page_is_written_and_replaced(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    dest = tmp_path / "pages" / "page.html"
    for command in COMMANDS:
        dest.write_text("old")
        result = artfs(*command.split(), "--html", dest)
        assert (result.code, result.out, result.err) == (0, b"", b""), command
        content = dest.read_bytes()
        assert content.startswith(b"<!DOCTYPE html>") and content.rstrip().endswith(b"</html>")
        assert os.listdir(dest.parent) == ["page.html"]


@pytest.mark.usefixtures("data")
def test_a_dash_is_stdout(artfs: Run) -> None:
    result = artfs("lineage", "data", "--html", "-")
    assert result.code == 0 and result.text.startswith("<!DOCTYPE html>") and "Lineage of data:v1" in result.text


@pytest.mark.usefixtures("data")
def test_figures_are_those_of_the_document(artfs: Run) -> None:
    """The page has the disk usage that the document has, to the byte."""
    text = artfs("usage", "--html", "-").text
    document = artfs("usage", "--json").json
    assert f"({document['disk_bytes']:,} bytes)" in text and f">{document['stored_bytes']:,}<" in text


@pytest.mark.usefixtures("data")
def test_places_that_are_none(artfs: Run, tmp_path: Path) -> None:
    """A folder, what is not a regular file, and an absent folder are refused, and nothing is left behind."""
    place = tmp_path / "places"
    (place / "folder").mkdir(parents=True)
    (place / "file").write_text("kept")
    os.mkfifo(place / "pipe")
    (place / "link").symlink_to("file")
    for command in COMMANDS[::2]:
        for name, code in {"folder": 2, "absent/x": 3, "file/x": 2, "pipe": 4, "link": 4}.items():
            result = artfs(*command.split(), "--html", place / name)
            assert (result.code, result.out) == (code, b""), (command, name)
            assert result.message.startswith("artfs: ") and name.partition("/")[0] in result.message
        assert artfs(*command.split(), "--html", "").code == 2
    assert sorted(os.listdir(place)) == ["file", "folder", "link", "pipe"]
    assert (place / "file").read_text() == "kept"


@pytest.mark.usefixtures("data")
def test_one_form_at_a_time(artfs: Run, tmp_path: Path) -> None:
    diff = "diff data:v0 data"
    for words in ("lineage data --dot", "lineage data --json", "usage --json", "usage --remote", f"{diff} --stat",
                  f"{diff} --name-only"):  # fmt: skip
        result = artfs(*words.split(), "--html", tmp_path / "x")
        assert result.code == 2 and not (tmp_path / "x").exists(), words


@pytest.mark.usefixtures("data")
def test_without_the_extra_a_sentence_says_so(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "artfs.display.page", raising=False)
    result = artfs("usage", "--html", tmp_path / "x")
    assert result.code != 0 and "jinja2" in result.message and "artfs[ui]" in result.message
    assert not (tmp_path / "x").exists()
