"""Marks stand where their times are, and labels do not cover one another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from artfs.drawing.timeline import Mark, timeline
from fs.drawing.shapes import NAMES, all_of, numbers, read, texts

MARKS = st.builds(
    Mark,
    NAMES,
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.lists(NAMES, max_size=3),
    st.booleans(),
    st.none() | NAMES,
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(MARKS, max_size=12), NAMES)
def test_any_marks_are_drawn(marks: list[Mark], title: str) -> None:
    drawing = timeline(marks, title=title)
    assert (drawing == "") == (not marks)
    if marks:
        root = read(drawing)
        assert len(all_of(root, "circle")) + len(all_of(root, "path")) == len(marks)


def test_marks_stand_at_their_times() -> None:
    days = (0, 1, 4)
    root = read(timeline([Mark(f"v{day}", START + timedelta(days=day)) for day in days], title="t"))
    assert [numbers(disc, "cx") for disc in all_of(root, "circle")] == [[20.0], [250.0], [940.0]]
    assert {"2026-01-01 00:00", "2026-01-05 00:00"} <= set(texts(root))


def test_versions_with_aliases_keep_their_labels() -> None:
    """Of ten thousand marks those with aliases are drawn and labelled, and the others are counted."""
    marks = [Mark(f"v{at}", START + timedelta(minutes=at), ["best"] if at == 7 else ()) for at in range(10_000)]
    drawing = timeline(marks, title="t")
    written = texts(read(drawing))
    assert "v7 best" in written and "v9999" in written and "and 9000 more" in written
    assert len(drawing) < 200_000


def test_deleted_is_a_shape_and_a_word() -> None:
    root = read(timeline([Mark("v0", START, deleted=True)], title="t"))
    assert len(all_of(root, "path")) == 1 and not all_of(root, "circle")
    assert any("deleted" in (each.text or "") for each in all_of(root, "title"))
