"""The tables in docs/interface.md are those of the code, and complete."""

from __future__ import annotations

import re

from artfs.cli.exit_codes import ExitCode
from artfs.cli.main import cli
from pages.interface_tables import MARK, PAGE, tables


def test_the_page_is_up_to_date() -> None:
    """`python scripts/pages/interface_tables.py` writes it."""
    assert PAGE.read_text().partition(MARK)[2] == tables()


def test_the_help_names_the_exit_codes_of_failures() -> None:
    """The codes that a command ends with by itself, in the order of the table."""
    named = re.search(r"Exit codes: ([^.]*)", cli.help or "")
    assert named is not None
    assert [int(part.split()[0]) for part in named[1].split(", ")] == [code for code in ExitCode if code < 100]
