"""`ArtifactManifest`: the files of an artifact by path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from artfs.tracking.entries import ArtifactEntry

__all__ = ["ArtifactManifest"]


class ArtifactManifest:
    """The files of an artifact when it was read: ``entries`` by path, in the order of paths."""

    def __init__(self, entries: Iterable[ArtifactEntry], digest: str) -> None:
        self.entries = {entry.path: entry for entry in entries}
        self._digest = digest

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<ArtifactManifest {len(self)} files>"

    def digest(self) -> str:
        """Return the digest of the artifact, hex."""
        return self._digest

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(entry.size for entry in self.entries.values())

    def get_entry_by_path(self, path: str) -> ArtifactEntry | None:
        """Return the file at a path, or None."""
        return self.entries.get(path)

    def get_entries_in_directory(self, directory: str) -> list[ArtifactEntry]:
        """Return the files in a folder and below it."""
        prefix = f"{directory.strip('/')}/" if directory.strip("/") else ""
        return [entry for path, entry in self.entries.items() if path.startswith(prefix)]

    def to_manifest_json(self) -> dict[str, Any]:
        """Return digest and size of each file by path."""
        contents = {path: {"digest": entry.digest, "size": entry.size} for path, entry in self.entries.items()}
        return {"version": 1, "contents": contents}
