"""What differs inside the files of two versions or folders: rows, lines, tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from artfs.comparing.tables import compare_tables
from artfs.contents.kinds import kind_of
from artfs.contents.sources import Source, disk_source, equal_ranges, version_source
from artfs.contents.tensors import compare_tensors, tensors_in
from artfs.contents.text import differing_lines
from artfs.documents.contents import FileDifference, LineItem, TensorItem
from artfs.documents.encoding import exact_name
from artstore.errors import ArtfsError

if TYPE_CHECKING:
    from artstore.queries.difference import Change
    from artstore.workspace import Workspace

__all__ = ["compare_files", "content_differences"]

_BEGINNING: Final = 1024
_TEXT_BYTES: Final = 4 << 20


def content_differences(
    workspace: Workspace, old: str, new: str, changes: Iterable[Change], key: Sequence[str] = ()
) -> Iterator[FileDifference]:
    """Yield what differs inside each changed file; ``old`` and ``new`` are what `Workspace.diff` compared.

    A file that cannot be read or compared has the sentence in ``failure``.
    """
    openers = [_opener(workspace, reference) for reference in (old, new)]
    for change in changes:
        if change.kind != "changed":
            continue
        named: dict[str, Any] = {"path": exact_name(change.raw_path), "old_path": None}
        try:
            with ExitStack() as files:
                one, other = (files.enter_context(opened(change.path)) for opened in openers)
                yield compare_files(one, other, key, **named)
        except (ArtfsError, OSError) as error:
            yield _difference("binary", failure=str(error), **named)


def _opener(workspace: Workspace, reference: str) -> Any:
    """Return what opens a path below a version, a folder of one or a folder of the disk."""
    if workspace.is_folder(reference):
        folder = os.path.expanduser(reference)
        return lambda path: disk_source(os.path.join(folder, path))
    version, top = workspace.resolve(reference)

    def opened(path: str) -> AbstractContextManager[Source]:
        return version_source(version, os.path.join(os.fsdecode(top), path) if top else path)

    return opened


def _difference(form: str, **others: Any) -> FileDifference:
    nothing: dict[str, Any] = {"table": None, "lines": [], "is_cut": False, "tensors": [], "failure": None}
    return FileDifference(form=form, **{**nothing, "path": "", "old_path": None, **others})


def compare_files(
    old: Source, new: Source, key: Sequence[str] = (), *, path: str = "", old_path: str | None = None
) -> FileDifference:
    """Compare two contents by what both are; a failure is a sentence in the result."""
    result = partial(_difference, path=path, old_path=old_path)
    kinds = [kind_of(source.name, source.read(0, _BEGINNING)) for source in (old, new)]
    forms = {kind.form for kind in kinds}
    try:
        if forms == {"table"}:
            return result("table", table=compare_tables(old, new, key))
        if forms == {"tensors"}:
            return result("tensors", tensors=_tensors(old, new))
    except (ArtfsError, OSError) as error:
        return result(forms.pop(), failure=str(error))
    if forms == {"image"}:
        return result("image")
    if forms <= {"text", "json", "table"}:
        lines, is_cut = differing_lines(*(source.read(0, _TEXT_BYTES) for source in (old, new)))
        is_cut = is_cut or max(old.size, new.size) > _TEXT_BYTES
        return result("text", lines=[LineItem(*line) for line in lines], is_cut=is_cut)
    return result("binary")


def _tensors(old: Source, new: Source) -> list[TensorItem]:
    before, after = tensors_in(old), tensors_in(new)
    for name, one in before.items():
        other = after.get(name)
        if other is None or one[:3] != other[:3] or one.start is None or other.start is None:
            continue
        if not equal_ranges(old, one.start, new, other.start, one.bytes):
            after[name] = other._replace(check="differs")
    return [
        TensorItem(
            change.name,
            change.kind,
            change.old and change.old.dtype,
            change.old and change.old.shape,
            change.new and change.new.dtype,
            change.new and change.new.shape,
        )
        for change in compare_tensors(before, after)
    ]
