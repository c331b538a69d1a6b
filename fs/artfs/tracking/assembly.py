"""The content of an artifact that a program puts together, until it becomes a version."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from artfs.tracking.naming import short_name, version_by_id
from artfs.tracking.workspaces import the_workspace
from artstore.arguments import check_codec, raw_path
from artstore.errors import InvalidInputError, NotFoundError, RefusedError, SourceError
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artfs.tracking.description import Description
    from artstore.drafting.gathering import Gathering

__all__ = ["Assembly"]

_BY_ID: Final = "wandb-artifact://"
_BY_NAME: Final = "artfs://"


class Assembly:
    """Content that is put together, empty at first or that of ``base``.

    Making one opens no workspace: the first file does.  ``included`` are the serials of versions that it holds.
    """

    def __init__(self, name: str, workspace: Workspace | None = None, base: Version | None = None) -> None:
        self._name = name
        self._workspace = workspace
        self._gathering: Gathering | None = None
        self.base = base
        self.included: list[int] = []
        self.is_final = False

    @property
    def holds_anything(self) -> bool:
        """Whether something was added, or it began with a base."""
        return self._gathering is not None

    @property
    def workspace(self) -> Workspace:
        """The workspace that keeps it."""
        if self._workspace is None:
            self._workspace = the_workspace()
        return self._workspace

    def gathering(self) -> Gathering:
        """Return the store's own, which is begun if there is none yet."""
        if self._gathering is None:
            self._gathering = self.workspace.drafts.gather(self._name, self.base)
        return self._gathering

    def _adding(self) -> Gathering:
        if self.is_final:
            raise RefusedError(f"the artifact {self._name!r} is final", hint="log it, or begin another")
        return self.gathering()

    def add_file(self, path: str | os.PathLike[str], to: str, *, overwrite: bool) -> None:
        """Add a file as ``to``."""
        raw_path(path)  # os.path would take a number for an open file
        if os.path.isdir(path):
            raise SourceError(f"{os.fspath(path)!r} is a folder", hint="add it with add_dir")
        self._adding().add(_present(path), to, overwrite=overwrite)

    def add_dir(self, path: str | os.PathLike[str], to: str, *, overwrite: bool) -> None:
        """Add the content of a folder, at the top or below ``to``."""
        raw_path(path)
        if os.path.exists(path) and not os.path.isdir(path):
            raise SourceError(f"{os.fspath(path)!r} is a file", hint="add it with add_file")
        self._adding().add(_present(path), to, overwrite=overwrite)

    @contextmanager
    def new_file(self, name: str, mode: str, encoding: str | None) -> Iterator[IO[Any]]:
        """Open a temporary file for writing, and add it when the ``with`` block ends without an exception."""
        if encoding is not None:
            check_codec(encoding, "strict")
        if mode not in ("x", "w", "xb", "wb"):
            raise InvalidInputError(f"the mode must be 'x' or 'w', with 'b' for bytes, not {mode!r}")
        gathering = self._adding()
        with tempfile.TemporaryDirectory(prefix="artfs-") as folder:
            path = Path(folder, "file")
            with path.open(mode.replace("x", "w"), encoding=encoding) as file:
                yield file
            gathering.add(path, name, overwrite="w" in mode)

    def refer(self, uri: str, name: str, *, overwrite: bool, **options: Any) -> Sequence[str]:
        """Add a reference to what a URI names, or another version; return the paths of the files that were added."""
        gathering = self._adding()
        if uri.startswith(_BY_ID):
            ident, _, inside = uri.removeprefix(_BY_ID).partition("/")
            return self._include(version_by_id(self.workspace, ident), inside.strip("/"), name, overwrite=overwrite)
        if uri.startswith(_BY_NAME):
            version, path = self.workspace.resolve(uri.removeprefix(_BY_NAME))
            return self._include(version, os.fsdecode(path), name, overwrite=overwrite)
        referred = gathering.refer(uri, name, overwrite=overwrite, **options)
        return [os.fsdecode(path) for path in referred.paths]

    def _include(self, version: Version, inside: str, name: str, *, overwrite: bool) -> Sequence[str]:
        path = name or (inside.rpartition("/")[2] if inside else short_name(version.artifact))
        self.gathering().include(path, version.record, os.fsencode(inside), overwrite=overwrite)
        self.included.append(version.record.serial)
        return [] if self.gathering().file(path.strip("/")) is None else [path]

    def root_digest(self) -> bytes:
        """Return the digest of its top folder, which stays in the store until `discard` or `commit`."""
        return self.gathering().root().digest

    def root_form(self) -> bytes:
        """Return the form id of its top folder, as `OpenDraft.merge` takes it."""
        return self.gathering().root().id

    def commit(self, name: str, description: Description, run: int, *, over_latest: bool) -> Version:
        """Make it a version of the artifact with a full name, logged by a run, or by none (0).

        With ``over_latest`` it is laid over the artifact's latest version, if there is one, unless it has a base.
        """
        from artstore.changes.committing import Commit

        self.gathering()
        if over_latest and self.base is None:
            self._lay_over_latest(name)
        base = None if self.base is None else self.base.name
        runs = (run,) if run else ()
        request = replace(
            Commit.checked(name, **description.options()), base=base, runs=runs, included=tuple(self.included)
        )
        version = self.gathering().commit(request)
        if description.tags:
            self.workspace.tags.add(version.name, *description.tags)
        return version

    def _lay_over_latest(self, name: str) -> None:
        try:
            self.base = self.workspace.version(name)
        except NotFoundError:
            return
        upper, lower = self.gathering(), self.workspace.drafts.gather(name, self.base)
        lower.merge(upper.root().id)
        upper.close(keep=False)
        self._gathering = lower

    def discard(self) -> None:
        """Drop the content."""
        if self._gathering is not None:
            self._gathering.close(keep=False)
            self._gathering = None


def _present(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if not os.path.lexists(path):
        raise SourceError(f"{os.fspath(path)!r} does not exist")
    return path
