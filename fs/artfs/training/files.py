"""The files of a version as a sequence of samples, read in process."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from operator import index as as_index
from typing import Any

from artstore.arguments import shown_value, text, texts
from artstore.errors import InvalidInputError
from artstore.queries.batches import StoredFile
from artstore.queries.versions import Version

__all__ = ["Transform", "VersionFiles"]

Transform = Callable[[str, bytes], Any]
"""Makes a sample of a file's path, relative to the folder, and its content."""


class VersionFiles:
    """The files below a folder of a version, as a sequence of samples; index i is the i-th file in name order.

    A sample is ``transform(path, content)``, by default ``(path, content)``: the path is relative to ``folder``, and
    the content is verified.  ``match`` keeps the files whose relative path matches a glob (``*`` also matches ``/``),
    or one of several.  The order depends on the version only, so index i is the same file on any machine.

    It pickles, and works in processes that are forked or spawned.  Files are read through the Python API, so no mount
    is needed.  Raises `InvalidInputError` if there is no file.
    """

    def __init__(
        self,
        version: Version,
        folder: str = "",
        *,
        match: str | Sequence[str] = (),
        transform: Transform | None = None,
    ) -> None:
        if not isinstance(version, Version):
            raise InvalidInputError(f"the version must be a Version, not {shown_value(version)}")
        if transform is not None and not callable(transform):
            raise InvalidInputError(f"the transform must be callable, not {shown_value(transform)}")
        self.version = version
        self.folder = text(folder, "the folder").strip("/")
        self.transform = transform
        self._prefix = f"{self.folder}/" if self.folder else ""
        self._paths = bytearray()
        self._ends = array("Q")
        self._sizes = array("Q")
        self._packs = array("L")
        self._offsets = array("Q")
        globs = texts(match, "match")
        if self.folder:
            version.listdir(self.folder)  # refuses a file, and what is not there
        for file in version.stored_files(self.folder):
            path = file.path[len(self._prefix) :]
            if not globs or any(fnmatchcase(path, glob) for glob in globs):
                self._add(path, file)
        if not self._ends:
            which = f" that match {globs}" if globs else ""
            raise InvalidInputError(f"{version.name}/{self.folder} has no files{which}")

    def _add(self, path: str, file: StoredFile) -> None:
        self._paths += path.encode(errors="surrogateescape")
        self._ends.append(len(self._paths))
        self._sizes.append(file.size)
        self._packs.append(file.pack)
        self._offsets.append(file.offset)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.version.name}/{self.folder} of {len(self)} files>"

    def __len__(self) -> int:
        return len(self._ends)

    def path(self, index: int) -> str:
        """Return the path of a file, relative to the folder."""
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"the data set has {len(self)} files, and no number {index}")
        start = self._ends[index - 1] if index else 0
        return self._paths[start : self._ends[index]].decode(errors="surrogateescape")

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files, in order."""
        return map(self.path, range(len(self)))

    def size(self, index: int) -> int:
        """Return the bytes of a file."""
        return self._sizes[index]

    def __getitem__(self, index: int) -> Any:
        path = self.path(as_index(index))
        return self._sample(path, self.version.read_bytes(self._prefix + path))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several samples; their files are read in the order of the packs."""
        paths = [self.path(as_index(index)) for index in indices]
        contents = self.version.read_many([self._prefix + path for path in paths])
        return [self._sample(path, content) for path, (_, content) in zip(paths, contents, strict=True)]

    def _sample(self, path: str, content: bytes) -> Any:
        return (path, content) if self.transform is None else self.transform(path, content)

    def pack_order(self) -> list[int]:
        """Return the indices of all files in the order in which they are stored in this workspace."""
        places = list(zip(self._packs, self._offsets, range(len(self)), strict=True))
        return [index for _, _, index in sorted(places)]

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Ask the disk for files that are read soon, without waiting; only a hint."""
        self.version.read_ahead(
            StoredFile("", self._sizes[index], self._packs[index], self._offsets[index]) for index in indices
        )
