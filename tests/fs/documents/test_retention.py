"""Retention rules, plans and their effects as JSON."""

from __future__ import annotations

from artfs.documents import retention
from artfs.documents.encoding import encode
from artstore.retention.applying import RetentionPlan, Retired
from artstore.retention.judging import Candidate, Verdict
from artstore.retention.rules import Rule
from fs.documents.shapes import check


def test_rules_leave_out_what_they_do_not_set() -> None:
    rule = Rule("r", type="model", last=3, within=60.0, aliases=("keep*",))
    document = encode(retention.RuleDocument.of(rule))
    check(document)
    assert document == {
        "schema": "artfs.retention_rule/1",
        "name": "r",
        "type": "model",
        "last": 3,
        "within": 60.0,
        "aliases": ["keep*"],
    }
    check(encode(retention.RulesDocument.of([rule])))
    check(encode(retention.RuleRemovalDocument("r")))


def test_a_plan_counts_all_its_expiring_versions() -> None:
    """The count and the bytes are those of the whole plan, also if only some verdicts are listed."""
    old, new = (Verdict(Candidate("x", number, number, 0), number == 1, ["is old"], ["r"]) for number in (1, 2))
    plan = RetentionPlan([new, old], (Rule("r", last=1),), 7)
    listed = {"name": "x:v1", "artifact": "x", "version": "v1", "expires": True, "reasons": ["is old"], "rules": ["r"]}
    document = encode(retention.RetentionPlanDocument.of(plan, plan.expiring))
    check(document)
    assert document == {"schema": "artfs.retention_plan/1", "versions": [listed], "expiring": 1, "freed_bytes": 7}
    document = encode(retention.RetentionPlanDocument.of(plan, plan.verdicts))
    assert [item["expires"] for item in document["versions"]] == [False, True] and document["expiring"] == 1
    empty = retention.RetentionPlanDocument.of(RetentionPlan([], (), 0), [])
    assert encode(empty) == {"schema": "artfs.retention_plan/1", "versions": [], "expiring": 0, "freed_bytes": 0}


def test_what_was_deleted() -> None:
    check(encode(retention.RetentionDocument.of(Retired(["x:v0"], 5), dry_run=False)))
    assert encode(retention.ExpiryDocument("x:v0", None))["expires_at"] is None
