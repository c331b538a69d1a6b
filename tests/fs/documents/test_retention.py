"""Retention rules, plans and their effects as JSON."""

from __future__ import annotations

from artfs.documents import retention
from artfs.documents.encoding import encode
from artstore.retention.applying import Retired
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


def test_what_was_deleted() -> None:
    check(encode(retention.RetentionDocument.of(Retired(["x:v0"], 5), dry_run=False)))
    assert encode(retention.ExpiryDocument("x:v0", None))["expires_at"] is None
