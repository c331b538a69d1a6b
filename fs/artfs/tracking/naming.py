"""Which artifact a name means for a run: ``NAME``, ``PROJECT/NAME`` or ``ENTITY/PROJECT/NAME``, each with a version.

A run of project P logs NAME as the artifact ``P/NAME``.  It finds NAME in its own project, else at the top level.  A
leading entity is ignored, because a workspace has one owner.
"""

from __future__ import annotations

import os
import re
from typing import Final

from artfs.tracking.values import environment
from artstore.arguments import raw_path, text
from artstore.errors import NotFoundError
from artstore.names import LATEST, check_name, parse_reference, version_label
from artstore.queries.versions import Version
from artstore.workspace import Workspace

__all__ = [
    "find_version",
    "full_names",
    "link_target",
    "logical_path",
    "own_name",
    "plain_name",
    "safe_name",
    "short_name",
    "version_by_id",
    "version_id",
]

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.+=~-]+")


def logical_path(path: str | os.PathLike[str]) -> str:
    """Return a path in an artifact without empty and ``.`` components, as wandb normalises it."""
    return "/".join(part for part in os.fsdecode(raw_path(path)).split("/") if part not in ("", "."))


def safe_name(name: str) -> str:
    """Return a name with ``-`` in place of the characters that wandb takes out of the names that it makes."""
    return _UNSAFE.sub("-", name)


def plain_name(name: str) -> str:
    """Return a name without empty components, and without a leading entity if that is ``$ARTFS_ENTITY``."""
    parts = [part for part in text(name, "the name").split("/") if part]
    if len(parts) > 2 and parts[0] == environment("ENTITY"):
        parts = parts[1:]
    return "/".join(parts)


def full_names(name: str, project: str) -> list[str]:
    """Return the full names that ``[[ENTITY/]PROJECT/]NAME`` can mean in a project, in the order of preference."""
    return _candidates(plain_name(name), project)


def link_target(workspace: Workspace, target: str) -> str:
    """Return the full name of the artifact that a link goes to: ``[ENTITY/]PROJECT/NAME``, without a version.

    A leading component is an entity if the artifact exists without it.
    """
    names = _candidates(plain_name(target).partition(":")[0], "")
    return next((name for name in names if workspace.has_artifact(name)), names[0])


def own_name(name: str, project: str) -> str:
    """Return the full name of the artifact that a run of a project logs as ``name``."""
    check_name(name)
    if not project or name.startswith(f"{project}/"):
        return name
    return check_name(f"{project}/{name}")


def short_name(full: str) -> str:
    """Return the last component of a full name."""
    return full.rpartition("/")[2]


def _candidates(name: str, project: str) -> list[str]:
    """Return the full names that a name can mean; the first that exists is meant."""
    parts = name.split("/")
    names = [name]
    if len(parts) == 1 and project:
        names.insert(0, f"{project}/{name}")
    if len(parts) > 2:
        names.append("/".join(parts[1:]))
    return names


def find_version(workspace: Workspace, name: str, project: str) -> tuple[Version, str]:
    """Return (version, the alias or ``v3`` that named it) for a name as users write it.

    Raises `NotFoundError`, naming artifacts of that name in other projects, and `InvalidNameError`.
    """
    reference = parse_reference(plain_name(name))
    label = version_label(reference.version) if reference.version is not None else reference.alias or LATEST
    for full in _candidates(reference.name, project):
        if workspace.has_artifact(full):
            return workspace.version(f"{full}:{label}"), label
    last = short_name(reference.name)
    elsewhere = [artifact.name for artifact in workspace.artifacts() if short_name(artifact.name) == last]
    where = f" in the project {project!r} or at the top level" if project and "/" not in reference.name else ""
    hint = f"elsewhere there is {', '.join(elsewhere[:5])}" if elsewhere else "list them: artfs ls"
    raise NotFoundError(f"there is no artifact {reference.name!r}{where}", hint=hint)


def version_id(workspace: Workspace, version: Version) -> str:
    """Return the id of a version, hex: it stays the same when the artifact is renamed."""
    return f"{workspace.uuid.replace('-', '')[:8]}{version.record.serial:08x}"


def version_by_id(workspace: Workspace, ident: str) -> Version:
    """Return the version with an id; raise `NotFoundError` if this workspace has none."""
    try:
        serial = int(ident[8:], 16)
    except ValueError:
        serial = 0
    version = workspace.version_by_serial(serial)
    if version is None or version_id(workspace, version)[:8] != ident[:8]:
        raise NotFoundError(f"no version has the id {ident!r}", hint="artifact.id gives one; artfs://NAME:v3 works too")
    return version
