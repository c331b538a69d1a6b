"""The binaries that the files of a pipeline name, found in the layouts that programs use.

``pipeline.json`` has ``artifacts``, a list of objects with a ``path`` such as ``../_binaries/scaler_a1b2c3.pkl``, or a
manifest's part with ``items``; ``manifest.yaml`` next to it may have more.  A path is looked for from the pipeline's
folder, from the run's, and by its last part in ``_binaries`` of both, ``binaries/DATASET`` and ``artifacts``.

What a path leads to must lie in one of these folders: other paths, and links out of them, are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from artfs.registry.errors import RecordError
from artfs.registry.library.entries import CONFIGURATION
from artfs.registry.library.files import json_in
from artfs.registry.manifests import FILES, items_of, parsed_manifest
from artstore.arguments import shown_text, shown_value
from artstore.errors import NotFoundError, RefusedError

__all__ = ["Folders", "own_file", "referenced_binaries"]

_BINARIES: Final = "_binaries"
_NAMED: Final = 5


class Folders(NamedTuple):
    """A pipeline's folder, its run's, and the others in which binaries may lie; without links."""

    pipeline: Path
    run: Path
    others: Sequence[Path]

    @classmethod
    def of(cls, pipeline_dir: Path, run_dir: Path, folder: Path) -> Folders:
        """Return them for a pipeline of a run; ``folder`` has ``runs``, ``binaries`` and ``library``."""
        others = [folder / "binaries" / run_dir.name, folder / "artifacts"]
        return cls(pipeline_dir.resolve(), run_dir.resolve(), [each.resolve() for each in others])

    def holds(self, path: Path) -> bool:
        """Return whether a path without links lies in one of the folders."""
        return any(path.is_relative_to(each) for each in (self.pipeline, self.run, *self.others))

    def candidates(self, path: str) -> Iterator[Path]:
        """Yield where a path may lead, in the order in which they are tried."""
        yield self.pipeline / path
        below = path.removeprefix(f"../{_BINARIES}/")
        if os.path.normpath(below).startswith(".."):
            return
        yield self.run / below
        for folder in (self.pipeline / _BINARIES, self.run / _BINARIES, *self.others):
            yield folder / below
            yield folder / os.path.basename(below)


def own_file(folder: Path, name: str) -> Path:
    """Return the path, without links, of a file directly in a folder.

    Raises `NotFoundError`, and `RefusedError` for a link out of the folder.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise NotFoundError(
            f"the folder {folder} has no {name}", hint="name the folder of a pipeline, which has one"
        ) from error
    if not real.is_relative_to(folder.resolve()):
        raise _link_out(path, folder)
    return real


def referenced_binaries(folders: Folders) -> dict[str, Path]:
    """Return the binaries of a pipeline: files, without links, by their paths in the saved folder.

    Raises `NotFoundError` naming what is missing, `RecordError` for what is no path, and `RefusedError` for one that
    leads elsewhere.
    """
    found: dict[str, Path] = {}
    missing = []
    for path in dict.fromkeys(_paths(folders.pipeline)):
        file = _file(path, folders)
        if file is None:
            missing.append(shown_text(path))
        else:
            is_inside = file.is_relative_to(folders.pipeline)
            inside = str(file.relative_to(folders.pipeline)) if is_inside else _place(path)
            if found.setdefault(inside, file) != file:
                raise RecordError(f"two binaries of {folders.pipeline} would both be {inside!r}")
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise NotFoundError(
            f"{folders.pipeline} names binaries that are missing: {', '.join(missing[:_NAMED])}{more}",
            hint=f"they were looked for in {folders.run / _BINARIES} and next to it; save_filtered needs none",
        )
    return found


def _paths(pipeline: Path) -> Iterator[str]:
    configuration = json_in(own_file(pipeline, CONFIGURATION))
    sections = [configuration.get("artifacts")] if isinstance(configuration, dict) else []
    sections += [_section(pipeline / name) for name in FILES if (pipeline / name).is_file()]
    for section in sections:
        if section is None:
            continue
        items = section.get("items", []) if isinstance(section, dict) else section
        if not isinstance(items, list):
            raise RecordError(f"the artifacts that {pipeline} names are no list: {shown_value(section)}")
        for item in items:
            path = item.get("path") if isinstance(item, dict) else item
            if not isinstance(path, str) or not path.strip("/."):
                raise RecordError(f"{pipeline} names an artifact without a path: {shown_value(item)}")
            yield path


def _section(file: Path) -> object:
    """Return the part of a manifest that lists artifacts; None if it has none."""
    try:
        manifest = parsed_manifest(file)
    except Exception as error:  # a parser's own error
        said = error if isinstance(error, RecordError) else type(error).__name__
        raise RecordError(f"the manifest {file} cannot be read: {said}") from error
    if isinstance(manifest, Mapping) and not {"artifacts", "items"} & set(manifest):
        return None
    return items_of(manifest)


def _file(path: str, folders: Folders) -> Path | None:
    """Return the file that a path leads to, without links; None if there is none."""
    if os.path.isabs(path) or "\0" in path:
        raise RecordError(f"the path {shown_text(path)} in {folders.pipeline} is not relative")
    inside = [each for each in folders.candidates(path) if folders.holds(Path(os.path.normpath(each)))]
    if not inside:
        raise RecordError(f"the path {shown_text(path)} in {folders.pipeline} leads out of the run {folders.run}")
    for each in inside:
        try:
            real = each.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # nothing there, a loop of links, half of a surrogate pair
            continue
        if not folders.holds(real):
            raise _link_out(each, folders.run)
        if real.is_file():
            return real
    return None


def _link_out(path: Path, folder: Path) -> RefusedError:
    return RefusedError(f"{path} is a link out of {folder}", hint="replace the link by the file that it leads to")


def _place(path: str) -> str:
    """Return where a binary is saved: in ``_binaries``, below which its path stays as it is."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    below = parts[parts.index(_BINARIES) + 1 :] if _BINARIES in parts[:-1] else parts[-1:]
    return "/".join([_BINARIES, *below])
