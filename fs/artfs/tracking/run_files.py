"""Files that a run keeps: ``save``, ``restore``, ``dir`` and ``log_code``.

They are the versions of an artifact ``run-ID-files`` in the run's project, so that they are listed, deleted and counted
like any other.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from glob import escape
from glob import glob as matching_paths
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from artfs.tracking.artifact import Artifact
from artfs.tracking.entries import ArtifactEntry
from artfs.tracking.naming import safe_name
from artfs.tracking.values import logger
from artstore.arguments import raw_path, texts
from artstore.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from artstore.records.catalogue import RunRecord
    from artstore.workspace import Workspace

__all__ = ["RunFiles"]

_FILES_TYPE: Final = "run_files"
_CODE_TYPE: Final = "code"
_POLICIES: Final = ("live", "now", "end")
_SKIPPED: Final = frozenset({".git", ".venv", "__pycache__", "wandb", ".wandb", "node_modules"})


class RunFiles:
    """The part of `artfs.tracking.run.Run` that keeps files."""

    _workspace: Workspace
    _record: RunRecord

    def __init__(self) -> None:
        self._patterns: list[tuple[str, str]] = []
        """Globs, each with the folder that its paths are relative to, of files to keep when the run ends."""
        self._folder: str | None = None

    def log_artifact(self, artifact_or_path: Artifact | str | os.PathLike[str]) -> Artifact:
        """Make an artifact a version; the class that this is a part of does."""
        raise NotImplementedError

    def _require_running(self) -> None:
        raise NotImplementedError

    @property
    def _files_name(self) -> str:
        return f"run-{self._record.id}-files"

    @property
    def dir(self) -> str:
        """A folder for files of the run, made at the first use; what it holds when the run ends is kept."""
        self._require_running()
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix=f"artfs-run-{safe_name(self._record.id)[:40]}-")
        return self._folder

    def save(
        self,
        glob_str: str | os.PathLike[str],
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        glob: bool | None = None,
    ) -> list[str]:
        """Keep the files that a glob matches, under their paths relative to ``base_path``; return their paths.

        ``base_path`` is the current folder, or for an absolute glob its folder.  With ``live`` they are kept now and,
        as they are then, when the run ends; with ``now`` only now, with ``end`` only then.  Raises `NotFoundError` if
        nothing matches that should be kept now only.
        """
        self._require_running()
        pattern = os.fsdecode(glob_str)
        if policy not in _POLICIES:
            raise InvalidInputError(f"the policy must be one of {', '.join(_POLICIES)}, not {policy!r}")
        if "://" in pattern:
            raise InvalidInputError(f"{pattern!r} is a URI, not a path", hint="refer to it: artifact.add_reference")
        own = os.path.dirname(pattern) if os.path.isabs(pattern) else "."
        base = own if base_path is None else os.fsdecode(base_path)
        kept = [] if policy == "end" else self._keep([(pattern, os.path.abspath(base))])
        if policy == "now" and not kept:
            raise NotFoundError(f"no file matches {pattern!r}")
        if policy != "now":
            self._patterns.append((os.path.abspath(pattern), os.path.abspath(base)))
        return kept

    def _keep(self, patterns: list[tuple[str, str]], folder: str | None = None) -> list[str]:
        """Store what the patterns match, and a folder's content, over the files that were kept before."""
        paths: dict[str, str] = {}
        for pattern, base in patterns:
            for path in sorted(matching_paths(pattern, recursive=True)):
                if os.path.isfile(path):
                    paths[_relative(path, base)] = os.path.abspath(path)
        if not paths and folder is None:
            return []
        artifact = Artifact(self._files_name, _FILES_TYPE, incremental=True)
        for name, path in paths.items():
            artifact.add_file(path, name, overwrite=True)
        if folder is not None:
            artifact.add_dir(folder, overwrite=True)
        self.log_artifact(artifact)
        return list(paths.values())

    def _keep_at_end(self) -> None:
        """Keep what is to be kept when the run ends, and remove its folder."""
        folder, self._folder = self._folder, None
        patterns, self._patterns = self._patterns, []
        has_files = folder is not None and any(names for _, _, names in os.walk(folder))
        if not self._keep(patterns, folder if has_files else None) and patterns and not has_files:
            logger.warning("artfs: no file matches %s: nothing was saved", ", ".join(repr(p) for p, _ in patterns))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def files(
        self, names: list[str] | None = None, pattern: str | None = None, per_page: int = 50
    ) -> list[ArtifactEntry]:
        """Return the files that the run keeps, all or those of some names, in the order of their paths."""
        try:
            artifact, _ = Artifact.named(self._workspace, f"{self._files_name}:latest", self._record.project)
        except NotFoundError:
            return []
        if pattern is not None:
            matching = re.compile(re.escape(pattern).replace("%", ".*").replace("_", "."))
            return [entry for entry in artifact.files() if matching.fullmatch(entry.path)]
        wanted = None if names is None else set(texts(names, "the names of files"))
        return [entry for entry in artifact.files() if wanted is None or entry.path in wanted]

    def file(self, name: str) -> ArtifactEntry:
        """Return a file that the run keeps; raise `NotFoundError` if there is none of that name."""
        entries = self.files([name])
        if not entries:
            raise NotFoundError(f"the run {self._record.title!r} keeps no file {name!r}", hint="run.files() lists them")
        return entries[0]

    def restore(
        self, name: str, run_path: str | None = None, replace: bool = False, root: str | os.PathLike[str] | None = None
    ) -> IO[str]:
        """Copy a file that a run keeps into a folder, the current one by default, and open it.

        The run is this one or ``run_path``.  A file that is there already is opened as it is, unless ``replace``.
        """
        from artfs.tracking.api import Api

        run: RunFiles = self if run_path is None else Api().run(run_path)
        folder = os.fspath(root) if root is not None else os.getcwd()
        target = Path(folder, name)
        if replace or not target.exists():
            run.file(name).download(folder, replace=True)
        return target.open()

    def upload_file(self, path: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> ArtifactEntry:
        """Keep a file, under its path relative to ``root``."""
        base = os.path.abspath(root)
        self._keep([(escape(os.path.abspath(path)), base)])
        return self.file(_relative(os.path.abspath(path), base))

    def log_code(
        self,
        root: str | os.PathLike[str] | None = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> Artifact | None:
        """Keep the source files below a folder as an artifact of type ``code``; return it, or None without any.

        ``include_fn`` and ``exclude_fn`` get a path, or a path and the root; by default ``.py`` files are kept.
        """
        self._require_running()
        top = os.path.abspath(os.fsdecode(raw_path(root or ".")))
        title = name or f"source-{self._record.project or 'run'}-{os.path.basename(top)}"
        artifact = Artifact(safe_name(title).strip(".-")[:128], _CODE_TYPE)
        count = 0
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(each for each in folders if each not in _SKIPPED)
            for each in sorted(names):
                path = os.path.join(folder, each)
                included = path.endswith(".py") if include_fn is None else _asked(include_fn, path, top)
                if included and not (exclude_fn is not None and _asked(exclude_fn, path, top)) and os.path.isfile(path):
                    artifact.add_file(path, os.path.relpath(path, top))
                    count += 1
        return self.log_artifact(artifact) if count else None


def _relative(path: str, base: str) -> str:
    relative = os.path.relpath(path, base)
    if relative.startswith(".."):
        raise InvalidInputError(f"{path!r} is not below {base!r}", hint="pass base_path=")
    return relative


def _asked(function: Callable[..., bool], path: str, root: str) -> bool:
    """Call a filter with the arguments that it takes: the path, or the path and the root."""
    takes_root = len(inspect.signature(function).parameters) > 1
    return bool(function(path, root) if takes_root else function(path))
