"""`LibraryManager`: the templates and trained pipelines of a workspace."""

from __future__ import annotations

from artfs.registry.library.entries import LibraryEntry, LibraryKind, kind_of, summary
from artfs.registry.library.templates import Templates
from artfs.registry.library.trained import Trained
from artstore.arguments import shown_text
from artstore.errors import InvalidInputError, NotFoundError

__all__ = ["LibraryManager"]


class LibraryManager(Templates, Trained):
    """Pipelines that are kept under names of their own: configurations alone, and trained ones with their files.

        library = LibraryManager("workspace/library")
        library.save_template({"steps": [...]}, "baseline_pls", "PLS baseline", tags=["pls"])
        library.save_pipeline_full("runs/wheat", "runs/wheat/0042_x9y8z7", "wheat_quality_v1")
        library.load_template("baseline_pls")

    ``path`` is the folder ``library`` next to ``runs``, whose workspace is that of the folder above; an open
    `Workspace`; the folder of one; or any folder, whose workspace is then in ``.artfs``.  The first save makes the
    workspace.  A name may have several components (``team/baseline``).  Saving a name again makes the next version
    of that entry; equal content makes none.
    """

    def load(self, name: str, kind: LibraryKind | str | None = None, version: int | str | None = None) -> LibraryEntry:
        """Return an entry: its latest version, or the one with a number or alias.

        Without a kind, there must be one entry with that name.  Nothing that it has is unpickled.  Raises
        `NotFoundError`.
        """
        if kind is None:
            kinds = self.kinds_with(name)
            if not kinds:
                raise NotFoundError(
                    f"the library has nothing with the name {shown_text(name)}", hint="list it: artfs library ls"
                )
            if len(kinds) > 1:
                raise InvalidInputError(
                    f"the library has {shown_text(name)} as {' and '.join(kinds)}", hint="name the kind"
                )
            kind = kinds[0]
        kind = kind_of(kind)
        found = self.find(kind, name, version)
        return LibraryEntry(name, kind, found, summary(kind, found), self.workspace)
