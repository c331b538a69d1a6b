"""Write the tables of docs/interface.md from the code: `python scripts/pages/interface_tables.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from artfs.cli.exit_codes import MEANINGS
from artfs.cli.variables import VARIABLES
from artfs.mount.xattrs import ATTRIBUTES

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "interface.md"
MARK: Final = "<!-- The rest is written by scripts/pages/interface_tables.py. -->\n"


def tables() -> str:
    """Return the sections of the page that are made from the code."""
    return exit_codes() + variables() + attributes()


def exit_codes() -> str:
    """Return the section of the exit codes."""
    about = (
        "Every command ends with one of these. A failure also prints one sentence on stderr, with what it is about and "
        "a way out; with `--json` it is a document too ([json.md](json.md))."
    )
    return _section(
        "Exit codes", about, ("code", "meaning"), ((f"{int(code)}", text) for code, text in MEANINGS.items())
    )


def variables() -> str:
    """Return the section of the environment variables."""
    about = (
        "Those with a `WANDB_` name in their row also take that, so that scripts for Weights & Biases need no change. "
        "[references.md](references.md) has the variables with the credentials of object stores."
    )
    rows = ((f"`{name}`", meaning) for name, meaning in VARIABLES.items())
    return _section("Environment variables", about, ("variable", "meaning"), rows)


def attributes() -> str:
    """Return the section of the extended attributes."""
    about = "Under a mount, `getfattr -n NAME PATH` reads one; none is listed, so that copies do not carry them."
    rows = ((f"`{name}`", where, value) for name, (where, value) in ATTRIBUTES.items())
    return _section("Extended attributes", about, ("name", "on", "value"), rows)


def _section(title: str, about: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return f"\n## {title}\n\n{about}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(MARK) + len(MARK)] + tables())
