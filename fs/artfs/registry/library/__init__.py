"""The library: configurations and trained pipelines that are kept under names of their own.

configurations  configurations as JSON that reads back equal
entries         what the library has: kinds, names, `LibraryEntry`
stored_entries  the workspace of a library: finding, listing and deleting versions
templates       configurations with description, category, tags, metrics and notes
template_files  templates as YAML or JSON files
referenced      the binaries that the files of a pipeline name
trained         trained pipelines, from folders and from a registry
manager         `LibraryManager`: all of these
"""

from __future__ import annotations

__all__: list[str] = []
