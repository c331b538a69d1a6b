"""The lines that differ lead from one text to the other, and nothing long is shown whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artfs.contents.text import differing_lines, first_lines, indented_json

TEXTS = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\xff\n", b"\n"]), max_size=30).map(b"".join)


@given(old=TEXTS, new=TEXTS)
def test_what_differs_leads_to_the_other_text(old: bytes, new: bytes) -> None:
    """Numbers of lines are right: removing and adding those gives the other side."""
    lines, is_cut = differing_lines(old, new)
    one, other = old.splitlines(keepends=True), new.splitlines(keepends=True)
    removed = {line.old for line in lines if line.kind == "removed"}
    added = {line.new for line in lines if line.kind == "added"}
    kept = [each for number, each in enumerate(one, 1) if number not in removed]
    assert kept == [each for number, each in enumerate(other, 1) if number not in added]
    assert not is_cut and (lines == []) == (old == new)
    for line in lines:
        if line.kind == "same":
            assert line.old is not None and line.new is not None and one[line.old - 1] == other[line.new - 1]


def test_what_stands_around_a_change() -> None:
    old = b"".join(b"%d\n" % number for number in range(100))
    lines, _ = differing_lines(old, old.replace(b"50\n", b"fifty\n").replace(b"90\n", b""))
    assert [line.text for line in lines if line.kind == "skipped"] == ["33 lines"]
    assert [line.text for line in lines[:5]] == ["47", "48", "49", "50", "fifty"]


def test_ends_of_lines_are_shown() -> None:
    lines, _ = differing_lines(b"a\nb", b"a\r\nb\n")
    assert [line.text for line in lines if line.kind == "added"] == ["a [CR]", "b"]
    assert [line.text for line in lines if line.kind == "removed"] == ["a", "b [no newline at the end]"]


def test_long_texts_are_cut() -> None:
    lines, more = first_lines(b"x\n" * 10 + b"y" * 5000, 11)
    assert len(lines) == 11 and not more and lines[-1].endswith("[3000 more]")
    assert first_lines(b"x\n" * 10, 3)[1]
    big = b"".join(b"%d\n" % number for number in range(50_000))
    assert differing_lines(big, b"other\n" * 50_000)[1]


def test_json() -> None:
    assert indented_json(b'{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert indented_json(b"{") is None and indented_json(b"[" * 100_000) is None
