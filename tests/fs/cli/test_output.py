"""Text for people stays on its line whatever a file is called; JSON keeps names exactly."""

from __future__ import annotations

import pytest

from artfs.cli import output


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (34_100_000, "34.1 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_200_000_000, "1.2 GB"),
        (10**18, "1.0 EB"),
        (5 * 10**21, "5,000.0 EB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_sizes_have_one_digit_and_never_show_a_thousand_of_a_unit(number: int, shown: str) -> None:
    assert output.size(number) == shown


def test_numbers_agree_with_their_nouns() -> None:
    assert output.counted(1, "file") == "1 file"
    assert output.counted(1204, "file") == "1,204 files"
    assert output.counted(0, "entry", "entries") == "0 entries"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name.txt", "plain name.txt"),
        ("größe.txt".encode(), "größe.txt"),
        (b"back\\slash", "back\\slash"),
        (b"new\nline", '"new\\nline"'),
        (b"\x1b[31mred", '"\\x1b[31mred"'),
        (b"\xff\xfe", '"\\xff\\xfe"'),
        (b'"quoted"', '"\\"quoted\\""'),
        (b"tab\tand\\", '"tab\\tand\\\\"'),
        ("right\u202eleft".encode(), '"right\\u202eleft"'),
    ],
)
def test_names_are_shown_as_they_are_or_quoted_with_escapes(name: bytes, shown: str) -> None:
    assert output.quoted(name) == shown


def test_messages_keep_to_one_line() -> None:
    assert output.legible("cannot read a\nb\udcff") == "cannot read a\\nb\\xff"


def test_columns_are_padded_by_what_is_seen_and_lines_end_without_spaces() -> None:
    lines = output.columns([["a", "1", "x"], ["日本", "1,000", ""]], right=[1])
    assert lines == ["a         1  x", "日本  1,000"]


def test_a_table_has_headings_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table(["NAME"], [["a"], ["b"]])
    assert capsys.readouterr().out == "a\nb\n"
