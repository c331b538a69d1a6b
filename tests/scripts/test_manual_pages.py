"""The manual pages have every command and option, and roff renders them without a warning."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from artfs.cli.exit_codes import MEANINGS
from artfs.cli.main import cli
from artfs.cli.variables import VARIABLES
from fs.cli.test_wrong_words import COMMANDS
from pages.manual_pages import pages, write


def test_every_command_has_a_page_with_its_options() -> None:
    """The page of a command is called as its words, joined by hyphens."""
    texts = dict(pages())
    assert {f"artfs-{line.replace(' ', '-')}" for line in COMMANDS} <= set(texts)
    for line, command in COMMANDS.items():
        text = texts[f"artfs-{line.replace(' ', '-')}"].replace("\\-", "-")
        options = {
            opt for each in command.params if isinstance(each, click.Option) and not each.hidden for opt in each.opts
        }
        assert not [option for option in options if option not in text], line


def test_the_first_page_has_the_tables() -> None:
    text = dict(pages())["artfs"].replace("\\-", "-")
    assert all(f".B {name}\n" in text for name in (*cli_names(), *VARIABLES, *(str(int(code)) for code in MEANINGS)))


def cli_names() -> list[str]:
    """Return the commands as the first page lists them."""
    return [f"artfs {name}" for name in cli.commands]


def test_roff_renders_every_page(tmp_path: Path) -> None:
    """Without a warning, and with nothing of its own language left."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    paths = write(tmp_path)
    command = ["groff", "-man", "-ww", "-Tutf8", "-P-cbou"]
    for path in paths:
        done = subprocess.run([*command, path], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), path.name
        assert path.stem.upper() in done.stdout.replace("\u2010", "-").replace("\u2212", "-")
        assert "\\" not in done.stdout.replace("\\ *", ""), path.name


def test_a_line_that_looks_like_a_request_is_text(tmp_path: Path) -> None:
    """Paths such as .artfsignore stand at the begin of lines."""
    assert not [line for _, text in pages() for line in text.splitlines() if line.startswith((".artfs", "'artfs"))]
