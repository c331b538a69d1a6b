"""A report holds what is wrong in bounds, and whatever a damaged record makes code raise becomes a problem."""

from __future__ import annotations

import pytest

from artstore.checking.report import MOST_OF_A_KIND, Report, message_of


def test_problems_of_one_kind_are_listed_up_to_a_bound() -> None:
    report = Report()
    for number in range(MOST_OF_A_KIND + 3):
        report.add("count", str(number))
    report.add("index", "another")
    assert [problem.message for problem in report.problems[-2:]] == [str(MOST_OF_A_KIND - 1), "another"]
    assert report.omitted == {"count": 3}


def test_notes_are_no_damage() -> None:
    report = Report()
    for number in range(MOST_OF_A_KIND + 3):
        report.note(str(number))
    assert report.clean
    assert (len(report.notes), report.omitted) == (MOST_OF_A_KIND, {"note": 3})


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("odd"), MemoryError(), RecursionError("odd"), OSError(5, "odd"), IndexError()]
)
def test_whatever_is_raised_becomes_a_problem(error: Exception) -> None:
    report = Report()
    with report.guard("record", "a thing"):
        raise error
    [problem] = report.problems
    assert problem.kind == "record"
    assert problem.message.startswith("a thing: ")
    assert message_of(error)


def test_an_interruption_is_none() -> None:
    with pytest.raises(KeyboardInterrupt), Report().guard("record", "a thing"):
        raise KeyboardInterrupt


def test_reports_are_merged() -> None:
    first, second = Report(), Report()
    first.count(nodes=1)
    second.add("count", "x", node=5, files=["a:v0/f"], versions=["a:v0"])
    second.note("y")
    second.count(nodes=2, packs=1)
    first.merge(second)
    assert first.problems == second.problems
    assert first.notes == ["y"]
    assert first.counted == {"nodes": 3, "packs": 1}
