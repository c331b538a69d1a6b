"""What retention rules keep: one by one, together, and by the matrix of a team's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import InvalidInputError, InvalidNameError
from artstore.retention.judging import Candidate, Verdict, judge
from artstore.retention.rules import Rule
from messages import missing, raises
from reasons import has_reason

NOW = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1e9)
HOUR = 3600 * 10**9
DAY = 24 * HOUR


def candidate(number: int, age_ns: int = 0, **about: Any) -> Candidate:
    return Candidate("team/x", number, 100 + number, NOW - age_ns, **about)


def kept(rule: Rule | list[Rule], candidates: list[Candidate]) -> list[int]:
    """Return the numbers that stay; the latest is one more, which stays anyhow."""
    rules = rule if isinstance(rule, list) else [rule]
    latest = Candidate("team/x", 1 << 20, 1, NOW, type="none", metadata={"none": 1})
    verdicts = judge([*candidates, latest], rules, NOW)
    assert [verdict.candidate.number for verdict in verdicts] == sorted(
        (each.number for each in [*candidates, latest]), reverse=True
    )
    return sorted(verdict.candidate.number for verdict in verdicts if not verdict.expires)[:-1]


def test_the_last_ones_are_kept_by_number() -> None:
    made = [candidate(number, age_ns=number * DAY) for number in range(1, 6)]
    assert kept(Rule("r", type=None, last=2, project="team"), made) == [5], "the latest is one of the two"
    assert kept(Rule("r", metadata={"k": 1}, last=2), [candidate(n, metadata={"k": n % 2}) for n in range(6)]) == [
        *(0, 2, 3, 4, 5)
    ]


def test_what_was_made_lately_is_kept() -> None:
    made = [candidate(number, age_ns=number * DAY) for number in range(1, 6)]
    assert kept(Rule("r", within=3 * 86400.0), made) == [1, 2]
    assert kept(Rule("r", within=3 * 86400.0 + 1), made) == [1, 2, 3]
    assert kept(Rule("r", within=1.0), [candidate(1, age_ns=-DAY)]) == [1], "from the future"


@pytest.mark.parametrize(("lowest", "best"), [(False, [2, 4]), (True, [0, 3])])
def test_the_best_by_a_number_in_the_metadata(lowest: bool, best: list[int]) -> None:
    """Of equal ones the newer; without a number, or with one that is none, a version is not among them."""
    values = [0.1, 0.5, "0.90", -2, 0.9, math.nan, "1.0.0", True, None]  # a typed 0.90 is kept as text
    made = [candidate(number, metadata={"acc": value}) for number, value in enumerate(values)]
    made.append(candidate(9))
    assert kept(Rule("r", best=2, field="acc", lowest=lowest), made) == best
    assert kept(Rule("r", best=1, field="acc"), made) == [4]


def test_the_last_of_each_period() -> None:
    made = [candidate(number, age_ns=(40 - number) * DAY + HOUR) for number in range(1, 41)]
    assert kept(Rule("r", daily=3), made) == [38, 39], "the latest is the last of today"
    assert kept(Rule("r", weekly=2), made) == [34], "made on a Sunday"
    assert kept(Rule("r", monthly=3), made) == [19], "made on the 31st of October"
    assert kept(Rule("r", yearly=2), made) == []
    hours = [candidate(number, age_ns=(100 - number) * HOUR // 4) for number in range(100)]
    assert len(kept(Rule("r", hourly=5), hours)) == 4
    assert kept(Rule("r", hourly=100), hours)[-2:] == [95, 99], "made at 10:45 and 11:45"


def test_aliases_and_tags_that_match() -> None:
    made = [
        candidate(0, aliases=["prod-eu"]),
        candidate(1, aliases=["old"]),
        candidate(2, tags=["good", "x"]),
        candidate(3),
    ]
    assert kept(Rule("r", last=1), made) == [0, 1], "an alias protects"
    assert kept(Rule("r", aliases=("prod*",), aliased=True), made) == [0]
    assert kept(Rule("r", tags=("g*",)), made) == [0, 1, 2]
    assert kept(Rule("r", everything=True), made) == [0, 1, 2, 3]


def named(verdict: Verdict, *names: list[str]) -> bool:
    """Return whether a verdict has one reason for each list, which contains these names."""
    reasons = zip(verdict.reasons, names, strict=True)
    return not any(missing(reason, of_reason) for reason, of_reason in reasons)


def test_what_somebody_needs_stays() -> None:
    (verdict, other) = judge(
        [candidate(1), candidate(0, users=["is the base of the open draft 'd'"])],
        [Rule("r", within=1e-9, aliased=True)],
        NOW + 1,
    )
    assert not verdict.expires and named(verdict, ["latest"])
    assert not other.expires and other.reasons == ["is the base of the open draft 'd'"]


def test_a_version_goes_when_no_rule_that_selects_it_keeps_it() -> None:
    made = [candidate(number, age_ns=number * DAY, tags=["t"] * (number % 2)) for number in range(6)]
    young, tagged = Rule("young", within=2.5 * 86400), Rule("tagged", tag="t", last=1)
    assert kept([young, tagged], made) == [0, 1, 2, 5]
    assert kept([tagged], made) == [0, 2, 4, 5], "what no rule selects stays"
    assert kept([young], made) == [0, 1, 2]
    assert kept([], made) == [0, 1, 2, 3, 4, 5]


def test_an_end_of_its_own_decides_alone() -> None:
    """Rules have no say, being the latest does not help, an alias and a user do."""
    past, future = NOW - 1, NOW + 1
    for about, goes in (
        ({"expires_ns": past}, True),
        ({"expires_ns": NOW}, True),
        ({"expires_ns": future}, False),
        ({"expires_ns": past, "aliases": ["a"]}, False),
        ({"expires_ns": past, "users": ["is needed"]}, False),
    ):
        for rules in ([], [Rule("r", last=5)], [Rule("r", tag="none", last=1)]):
            (verdict,) = judge([candidate(3, age_ns=400 * DAY, **about)], rules, NOW)
            assert verdict.expires == goes, about


def test_reasons_why_a_rule_keeps_a_version_no_longer() -> None:
    """Each thing that a rule keeps is a reason, with the rank of a number; the last ones imply the latest."""
    rule = Rule("r", best=2, field="acc", daily=1, aliases=("prod*",), tags=("good",), within=90.0)
    numbers = [0.1, 0.5, 0.3, 0.4]
    made = [candidate(number, 5 * DAY, metadata={"acc": acc}) for number, acc in enumerate(numbers)]
    verdicts = judge([*made, candidate(9)], [rule], NOW)
    others = "older than 1 minute, not among the 1 daily versions, no alias matches 'prod*', no tag matches 'good'"
    assert verdicts[-1].reasons == [
        f"r: not among the best 2 by acc (0.1 is 4th of 4), {others}", "not the latest version"
    ]  # fmt: skip
    assert verdicts[2].reasons[0].startswith("r: not among the best 2 by acc (0.3 is 3rd of 4)")
    assert judge([*made, candidate(9)], [Rule("r", last=1)], NOW)[1].reasons == ["r: not among the last 1"]


def test_reasons_are_said() -> None:
    rules = [Rule("best", best=1, field="acc"), Rule("new", within=86400.0)]
    made = [
        candidate(3, metadata={"acc": 0.25}),
        candidate(2, age_ns=3 * DAY),
        candidate(1, aliases=["prod"], expires_ns=NOW - DAY),
        candidate(0, type="other"),
    ]
    verdicts = {verdict.candidate.number: verdict for verdict in judge(made, rules, NOW)}
    assert named(verdicts[3], ["latest"], ["best", "1 of 1", "acc", "0.25"], ["new", "1 day"])
    assert verdicts[2].expires and verdicts[2].rules == ["best", "new"]
    assert named(verdicts[2], ["best", "acc"], ["new", "1 day"], ["latest"])
    assert named(verdicts[1], ["2026-11-20 12:00 UTC"], ["'prod'"])
    (other,) = judge([candidate(0)], [Rule("r", type="model", last=1)], NOW)
    assert has_reason(" ".join(other.reasons), "no rule") and not other.rules


def test_a_teams_matrix() -> None:
    """Raw data for a year, processed for 90 days, the best 5 checkpoints, results for 30 days, production for ever."""
    rules = [
        Rule("raw", type="raw-dataset", within=365 * 86400.0),
        Rule("processed", type="processed-dataset", within=90 * 86400.0),
        Rule("checkpoints", type="checkpoint", best=5, field="val_accuracy"),
        Rule("outputs", type="results", within=30 * 86400.0),
        Rule("production", type="production-model", everything=True),
    ]
    ages = [400, 364, 100, 89, 45, 29, 10, 0]

    def staying(type_name: str) -> list[int]:
        made = [
            Candidate(
                "p/a", number, number, NOW - age * DAY, type=type_name, metadata={"val_accuracy": (number * 5 % 8) / 8}
            )
            for number, age in enumerate(ages)
        ]
        return [ages[verdict.candidate.number] for verdict in judge(made, rules, NOW) if not verdict.expires][::-1]

    assert staying("raw-dataset") == [364, 100, 89, 45, 29, 10, 0]
    assert staying("processed-dataset") == [89, 45, 29, 10, 0]
    assert staying("results") == [29, 10, 0]
    assert staying("production-model") == staying("notes") == ages
    best = {number for number in range(8) if (number * 5 % 8) >= 3} | {7}
    assert staying("checkpoint") == [ages[number] for number in sorted(best)]


@given(
    ages=st.lists(st.integers(0, 200), max_size=12),
    first=st.integers(1, 5),
    second=st.floats(1.0, 100.0),
    third=st.integers(1, 4),
)
def test_more_rules_never_let_more_go_of_what_one_selects(
    ages: list[int], first: int, second: float, third: int
) -> None:
    """Rules that select the same add to what is kept: together they keep what each keeps."""
    made = [candidate(number, age_ns=age * DAY) for number, age in enumerate(ages)]
    rules = [Rule("a", last=first), Rule("b", within=second * 86400), Rule("c", weekly=third)]
    each = set().union(*(kept(rule, made) for rule in rules))
    assert set(kept(rules, made)) == each
    assert len(kept(rules[0], made)) == min(first - 1, len(made))


# -- what a rule can say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "selects"),
    [
        ({"project": "team"}, True),
        ({"project": "team/vision"}, True),
        ({"project": "tea"}, False),
        ({"project": "team/vision/x"}, False),
        ({"type": "model"}, True),
        ({"type": "dataset"}, False),
        ({"artifact": "team/*"}, True),
        ({"artifact": "*x"}, True),
        ({"artifact": "x"}, False),
        ({"tag": "good"}, True),
        ({"tag": "goo"}, False),
        ({"metadata": {"k": 1}}, True),
        ({"metadata": {"k": 1, "l": [1]}}, True),
        ({"metadata": {"k": 2}}, False),
        ({"metadata": {"m": None}}, False),
        ({"project": "team", "type": "model", "tag": "good", "metadata": {"k": 1}}, True),
        ({"project": "team", "type": "model", "tag": "bad"}, False),
    ],
)
def test_what_a_rule_selects(says: Mapping[str, Any], selects: bool) -> None:
    rule = Rule.of({"name": "r", "last": 1, **says})
    assert rule.selects("team/vision/x", "model", ["good"], {"k": 1, "l": [1]}) == selects


@pytest.mark.parametrize(
    ("says", "names"),
    [
        ({}, ["'r'"]),
        ({"type": "x"}, ["'r'"]),
        ({"last": -1}, ["last"]),
        ({"last": 1.5}, ["last"]),
        ({"daily": True}, ["daily"]),
        ({"last": 1 << 50}, ["last"]),
        ({"within": -1.0}, ["within"]),
        ({"within": math.inf}, ["within"]),
        ({"within": math.nan}, ["within"]),
        ({"within": "30d"}, ["within"]),
        ({"best": 5}, ["best", "metadata"]),
        ({"field": "acc", "last": 1}, ["best", "metadata"]),
        ({"project": "", "last": 1}, ["project"]),
        ({"tags": [""]}, ["tags"]),
        ({"metadata": {"k": math.nan}, "last": 1}, ["metadata", "JSON"]),
        ({"colour": "red", "last": 1}, ["'colour'"]),
    ],
)
def test_rules_that_cannot_be(says: Mapping[str, Any], names: list[str]) -> None:
    with raises(InvalidInputError, names=names):
        Rule.of({"name": "r", **says})


def test_names_of_rules() -> None:
    for name in ("", "a/b", "v3", "-x"):
        with pytest.raises(InvalidNameError):
            Rule.of({"name": name, "last": 1})


def test_a_rule_reads_as_it_was_written() -> None:
    rule = Rule.of({"name": "r", "best": 2, "field": "f", "lowest": True, "tags": ["a*"], "metadata": {"k": [1]}})
    assert Rule.of(rule.record()) == rule
    assert rule.record() == {
        "name": "r", "best": 2, "field": "f", "lowest": True, "tags": ["a*"], "metadata": {"k": [1]}
    }  # fmt: skip
