"""The history of a file: its distinct contents over the versions of an artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from artstore.clock import utc
from artstore.errors import NotFoundError
from artstore.queries.resolving import artifact_path, find_artifact
from artstore.queries.versions import kind_name
from artstore.records.trees import Kind
from artstore.rows.histories import PathContent, history_of_path
from artstore.store import Store

__all__ = ["FileContent", "FileHistory", "file_history"]


@dataclass(frozen=True, slots=True)
class FileContent:
    """One distinct content of a path, in ``versions`` (numbers of living versions, ascending).

    ``spans`` are the same versions as (first, last) of runs that have no other living version between them.  ``kind``
    is file, directory or link; ``digest`` the hex BLAKE3 of the content, or a directory's digest; ``size`` is in bytes.
    ``since`` is when the first of the versions was made.
    """

    kind: str
    executable: bool
    size: int
    digest: str
    versions: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class FileHistory:
    """The distinct contents of a path in an artifact's living versions, in the order of their first version."""

    artifact: str
    path: bytes
    contents: tuple[FileContent, ...]


def file_history(store: Store, ref: str) -> FileHistory:
    """Return the history of the path in ``ref``: ``NAME:/path``, ``NAME:v3/path`` or a path on a mount.

    Raises `NotFoundError` if no living version has the path, `InvalidInputError` if there is none in ``ref``.
    """
    name, path = artifact_path(store, ref)
    with store.snapshot() as snapshot:
        artifact = find_artifact(snapshot, name)
        contents = history_of_path(snapshot, artifact.number, path)
        places = {version.number: place for place, version in enumerate(snapshot.versions_of(artifact.number))}
    if not contents:
        raise NotFoundError(
            f"no living version of {name!r} has {os.fsdecode(path)!r}", hint=f"list the files: artfs ls {name}:latest"
        )
    return FileHistory(name, path, tuple(_content(content, places) for content in contents))


def _content(content: PathContent, places: Mapping[int, int]) -> FileContent:
    entry, first = content.entry, content.versions[0]
    numbers = [version.number for version in content.versions]
    spans = [[numbers[0], numbers[0]]]
    for number in numbers[1:]:
        if places[number] == places[spans[-1][1]] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return FileContent(
        kind_name(entry.kind),
        entry.kind is Kind.EXECUTABLE,
        entry.size,
        content.digest.hex(),
        tuple(numbers),
        tuple((first, last) for first, last in spans),
        utc(first.created_ns),
    )
