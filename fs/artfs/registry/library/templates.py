"""Templates: configurations of pipelines with description, category, tags, metrics and notes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artfs.registry.errors import RecordError
from artfs.registry.library.configurations import (
    LONGEST,
    canonical_text,
    configuration_text,
    encoded,
    read_configuration,
)
from artfs.registry.library.entries import CONFIGURATION, LibraryKind, summary
from artfs.registry.library.stored_entries import StoredEntries, commit_of
from artfs.registry.library.template_files import Template, read_template, write_template
from artfs.registry.values import json_object
from artstore.arguments import shown_value, text, texts
from artstore.changes.committing import Commit
from artstore.errors import InvalidInputError, NotFoundError
from artstore.metadata import equal_metadata, given
from artstore.names import check_tag
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.changes.deleting import Deletion

__all__ = ["Templates", "has_words"]


class Templates(StoredEntries):
    """The part of a library that has templates."""

    def save_template(
        self,
        pipeline_config: Mapping[str, Any] | list[Any] | tuple[Any, ...],
        name: str,
        description: str = "",
        *,
        category: str = "",
        tags: Iterable[str] | str = (),
        metrics: Mapping[str, Any] | None = None,
        notes: str = "",
    ) -> Version:
        """Save a configuration as a template's next version; return the version.

        If nothing differs from the latest version, that one is returned; the order of dictionaries makes no difference.
        `load_template` returns a configuration that is equal: numbers, texts, lists, tuples, sets, dictionaries, ranges
        and arrays of numbers.  Raises `InvalidInputError` naming what else it has, such as a class.
        """
        if not isinstance(pipeline_config, Mapping | list | tuple):
            raise InvalidInputError(
                f"a configuration is a dictionary or a list of steps, not {shown_value(pipeline_config)}"
            )
        metadata = {
            "category": text(category, "the category"),
            "tags": sorted({check_tag(tag) for tag in texts(tags, "tags")}),
            "metrics": json_object(metrics, "metrics"),
            "notes": text(notes, "the notes"),
        }
        request = commit_of(LibraryKind.TEMPLATE, name, description, metadata)
        return self._saved(request, encoded(pipeline_config))

    def _saved(self, request: Commit, values: Any) -> Version:
        content = configuration_text(values)
        latest = self.workspace.relations.current(request.name)
        if latest is not None and _is_equal(latest, request, values):
            return latest
        return self.committed(request, {CONFIGURATION: content})

    def load_template(self, name: str, version: int | str | None = None) -> Any:
        """Return the configuration of a template: of its latest version, or of the one with a number or alias.

        Raises `NotFoundError` if there is none.
        """
        found = self.find(LibraryKind.TEMPLATE, name, version)
        return read_configuration(_content(found), f"{found.name}/{CONFIGURATION}")

    def get_template_metadata(self, name: str, version: int | str | None = None) -> dict[str, Any]:
        """Return what is known of a template: ``name``, ``description``, ``category``, ``tags``, ``metrics``,
        ``notes``, ``version``, ``ref`` (``NAME:vN``), ``created_at`` and others.
        """
        return summary(LibraryKind.TEMPLATE, self.find(LibraryKind.TEMPLATE, name, version))

    def list_templates(
        self, category: str | None = None, tags: Iterable[str] | str | None = None
    ) -> list[dict[str, Any]]:
        """Return the templates by name, each as `get_template_metadata` does.

        Only those of a category, and only those that have one of the tags, if these are given.
        """
        wanted = set(texts(tags, "tags"))
        return [
            each
            for each in self.entries(LibraryKind.TEMPLATE)
            if (category is None or each["category"] == category) and (not wanted or wanted & set(each["tags"]))
        ]

    def search_templates(self, text: str) -> list[dict[str, Any]]:
        """Return the templates that have every word of a text in name, description, category, tags or notes.

        Upper and lower case are the same.
        """
        return [each for each in self.entries(LibraryKind.TEMPLATE) if has_words(each, text)]

    def delete_template(self, name: str, version: int | str | None = None, *, dry_run: bool = False) -> Deletion:
        """Delete a template, or one version of it; as `delete`."""
        return self.delete(LibraryKind.TEMPLATE, name, version, dry_run=dry_run)

    def export_template(
        self, name: str, path: str | os.PathLike[str], version: int | str | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write a template into a file that `import_template` reads, YAML or JSON by its name; return its path.

        Raises `ExistsError` if there is another file, unless ``overwrite``.
        """
        found = self.find(LibraryKind.TEMPLATE, name, version)
        info = summary(LibraryKind.TEMPLATE, found)
        values = encoded(read_configuration(_content(found), found.name))
        about = {key: info[key] for key in ("name", "description", "category", "tags", "metrics", "notes")}
        return write_template(path, Template(**about, values=values), overwrite=overwrite)

    def import_template(self, path: str | os.PathLike[str], name: str | None = None) -> Version:
        """Save the template in a file, under its own name or another; return the version.

        The file is YAML or JSON, as `export_template` writes it, or a configuration alone, whose name is then the
        file's.  Raises `RecordError` for a file that is no template.
        """
        template = read_template(path)
        return self.save_template(
            template.values,
            template.name if name is None else name,
            template.description,
            category=template.category,
            tags=template.tags,
            metrics=template.metrics,
            notes=template.notes,
        )


def has_words(entry: Mapping[str, Any], words: str) -> bool:
    """Return whether an entry has every word of a text."""
    searched = "\n".join(
        [*(entry[key] for key in ("name", "description", "category", "notes")), *entry["tags"]]
    ).casefold()
    return all(word in searched for word in text(words, "the text").casefold().split())


def _content(version: Version) -> bytes:
    try:
        size = version.stat(CONFIGURATION).size
    except NotFoundError as error:
        raise RecordError(f"{version.name} is no template: it has no {CONFIGURATION}") from error
    if size > LONGEST:
        raise RecordError(f"{version.name} is no template: its {CONFIGURATION} has {size} bytes")
    return version.read_bytes(CONFIGURATION)


def _is_equal(latest: Version, request: Commit, values: Any) -> bool:
    """Return whether a save would change nothing but the order of dictionaries."""
    if request.description != latest.description:
        return False
    if not equal_metadata(given(request.metadata or {}), given(latest.record.metadata)):
        return False
    try:
        before = encoded(read_configuration(_content(latest), latest.name))
    except InvalidInputError:  # another program's content
        return False
    return latest.file_count == 1 and canonical_text(before) == canonical_text(values)
