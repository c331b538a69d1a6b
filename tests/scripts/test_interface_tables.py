"""The tables in docs/interface.md are those of the code, and complete."""

from __future__ import annotations

import re
from pathlib import Path

from artfs.cli.exit_codes import ExitCode
from artfs.cli.main import cli
from artfs.cli.variables import INTERNAL, VARIABLES
from artfs.mount.xattrs import ATTRIBUTES
from pages.interface_tables import MARK, PAGE, tables


def test_the_page_is_up_to_date() -> None:
    """`python scripts/pages/interface_tables.py` writes it."""
    assert PAGE.read_text().partition(MARK)[2] == tables()


def test_the_help_names_the_exit_codes_of_failures() -> None:
    """The codes that a command ends with by itself, in the order of the table."""
    named = re.search(r"Exit codes: ([^.]*)", cli.help or "")
    assert named is not None
    assert [int(part.split()[0]) for part in named[1].split(", ")] == [code for code in ExitCode if code < 100]


SOURCES = [
    path.read_text()
    for folder in ("fs", "store")
    for path in (Path(__file__).parents[2] / folder).rglob("*.py")
    if path.name != "variables.py"
]


def test_every_variable_that_is_read_is_in_the_table() -> None:
    """By its whole name, or by the one that `environment` completes; and each in the table is read somewhere."""
    named = {name for source in SOURCES for name in re.findall(r"\b_?ARTFS_[A-Z]+(?:_[A-Z]+)*\b", source)}
    completed = {f"ARTFS_{name}" for source in SOURCES for name in re.findall(r'environment\("([A-Z_]+)"\)', source)}
    examples = {"ARTFS_NAME"}  # what `environment` says of itself
    known = {name for name in VARIABLES if name.startswith("ARTFS_")}
    assert (named | completed) - set(INTERNAL) - examples <= known
    assert known <= named | completed
    assert set(INTERNAL) <= named


def test_other_variables_of_ours_are_in_the_table() -> None:
    """Those of terminals and folders that the code asks for by name."""
    asked = {
        name
        for source in SOURCES
        for name in re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', source)
        if not name.startswith(("ARTFS_", "AWS_", "AZURE_", "GOOGLE_"))
    }
    assert asked <= set(VARIABLES) | {"PATH", "HOME", "PYTHONPATH", "LOGNAME", "USER"}


def test_every_attribute_is_in_the_table() -> None:
    """The names that the mount answers are those of the table."""
    source = (Path(__file__).parents[2] / "fs/artfs/mount/xattrs.py").read_text()
    named = set(re.findall(r'PREFIX \+ b"([a-z_]+)"', source))
    named |= set(re.findall(r'^        "([a-z_]+)": ', source, re.MULTILINE))
    assert {f"user.artfs.{name}" for name in named} == set(ATTRIBUTES)
    assert all(f"`{name}`" in PAGE.read_text() for name in ATTRIBUTES)
