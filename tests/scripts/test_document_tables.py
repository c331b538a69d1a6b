"""The tables in docs/json.md are those of the classes."""

from __future__ import annotations

from pages.document_tables import MARK, PAGE, tables


def test_the_page_is_up_to_date() -> None:
    """`python scripts/pages/document_tables.py` writes it."""
    assert PAGE.read_text().partition(MARK)[2] == tables()
