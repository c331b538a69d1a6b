"""The history of one path, for ``log NAME:/PATH``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artfs.cli.output import moment, size, write_document, write_table
from artstore.names import version_label

if TYPE_CHECKING:
    from artfs.cli.session import Session
    from artstore.queries.file_history import FileContent, FileHistory

__all__ = ["show_history"]

_SHORT = 12


def show_history(session: Session, history: FileHistory, number: int | None) -> None:
    """Print the newest ``number`` contents of a path, or all."""
    contents = history.contents[::-1][:number]
    if session.json:
        from artfs.documents.histories import HistoryDocument

        write_document(HistoryDocument.of(history, contents))
        return
    write_table(["VERSIONS", "SINCE", "SIZE", "DIGEST", "KIND"], [_row(content) for content in contents], right=[2])


def _row(content: FileContent) -> list[str]:
    kind = "executable" if content.executable else content.kind
    return [
        ", ".join(_span(*span) for span in content.spans),
        moment(content.since),
        size(content.size),
        content.digest[:_SHORT],
        "" if kind == "file" else kind,
    ]


def _span(first: int, last: int) -> str:
    return version_label(first) if first == last else f"{version_label(first)}..{version_label(last)}"
