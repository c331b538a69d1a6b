"""Resolving user input to objects: references, paths on a mount, digests."""

from __future__ import annotations

import os

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError, InvalidNameError, NotFolderError, NotFoundError
from artstore.locate import has_current_folder, without_current_folder
from artstore.names import (
    LATEST,
    Reference,
    is_pending,
    parse_reference,
    parse_version_label,
    unknown_path,
    version_label,
)
from artstore.queries.mounted import mounted_path
from artstore.queries.versions import Version
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.rows import catalogue
from artstore.rows.snapshot import Snapshot
from artstore.rows.views import require_local
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = [
    "artifact_path",
    "base_version",
    "find_artifact",
    "is_digest",
    "is_folder",
    "local_version",
    "looks_like_path",
    "numbered_reference",
    "reference_of",
    "resolve",
    "resolve_recorded",
    "resolve_version",
    "tree_of",
    "unknown_artifact",
    "version_by_serial",
    "version_of_reference",
]


def looks_like_path(ref: str) -> bool:
    """Return whether a reference is a path: it starts like one, or has a component that no name can have."""
    if not isinstance(ref, str):
        raise InvalidNameError(f"a reference must be text such as NAME:v3, not {shown_value(ref)}")
    if ref.startswith(("/", "./", "../", "~")) or ref in (".", ".."):
        return True
    numbers = (parse_version_label(component) for component in ref.split("/"))
    return ":" not in ref and any(number is not None and not is_pending(number) for number in numbers)


def is_folder(store: Store, ref: str) -> bool:
    """Return whether a reference means a folder of the disk: a path to one that is not on a mount of the workspace."""
    if not looks_like_path(ref):
        return False
    path = os.path.expanduser(ref)
    return os.path.isdir(path) and mounted_path(store, path) is None


def is_digest(text: str) -> bool:
    """Return whether a text is a digest in hex."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def reference_of(store: Store, ref: str) -> Reference:
    """Return the reference that a text is, or that a path on a mount stands for."""
    if not looks_like_path(ref):
        return parse_reference(ref)
    place = mounted_path(store, os.path.expanduser(ref))
    if place is None and not os.path.isabs(os.path.expanduser(ref)) and not has_current_folder():
        raise without_current_folder(ref)
    if place is None:
        raise NotFoundError(
            f"{ref!r} is not a version on a mount of the workspace {store.path}", hint="list the mounts: artfs status"
        )
    return Reference(place.name, place.number, None, place.path)


def find_artifact(snapshot: Snapshot, name: str) -> ArtifactRecord:
    """Return the artifact of a full name; raise `NotFoundError` if there is none."""
    record = snapshot.find_name(name)
    if record is None or not record.is_artifact:
        raise unknown_artifact(snapshot.transaction, name, is_project=record is not None)
    return record


def unknown_artifact(transaction: ReadTransaction, name: str, *, is_project: bool = False) -> NotFoundError:
    """Return the error of a name that no artifact has: a project, a path without a version, a file here, or nothing."""
    if is_project or catalogue.find_name(transaction, name) is not None:
        return NotFoundError(f"{name!r} is a project, not an artifact", hint=f"list what exists: artfs ls {name}")
    what = f"there is no artifact {name!r}"
    for position in (place for place, letter in enumerate(name) if letter == "/"):
        above = catalogue.find_name(transaction, name[:position])
        if above is not None and above.is_artifact:
            inside = f"{name[:position]}:{LATEST}{name[position:]}"
            return NotFoundError(what, hint=f"did you mean {inside}?")
    if os.path.lexists(name):
        return NotFoundError(what, hint=f"list what exists: artfs ls; a path on a mount is written ./{name}")
    return NotFoundError(what, hint="list what exists: artfs ls")


def resolve(store: Store, ref: str) -> tuple[ArtifactRecord, VersionRecord, bytes]:
    """Return (artifact, living version, path inside it) of a reference; whether the path is there is not looked at."""
    if isinstance(ref, str):
        with store.snapshot() as snapshot:
            known = snapshot.directories.references.get(ref)
        if known is not None:
            return known
    is_path = looks_like_path(ref)  # whose meaning depends on mounts
    reference = reference_of(store, ref)
    with store.snapshot() as snapshot:
        artifact = find_artifact(snapshot, reference.name)
        resolved = artifact, _version_of(snapshot, artifact, reference), reference.path
        if not is_path:
            snapshot.directories.keep_reference(ref, resolved)
    return resolved


def resolve_version(store: Store, ref: str) -> tuple[Version, bytes]:
    """Return (living version, path inside it) of a reference; whether the path is there is not looked at."""
    artifact, record, path = resolve(store, ref)
    return Version(store, artifact.name, record, artifact.type), path


def version_of_reference(store: Store, ref: str) -> Version:
    """Return the version that a reference names: ``NAME``, ``NAME:v3``, ``NAME:ALIAS``, or a path on a mount.

    Raises `NotFoundError`, or `InvalidInputError` if the reference has a path inside the version.
    """
    version, path = resolve_version(store, ref)
    if path:
        raise InvalidInputError(
            f"{ref!r} names a path inside {version.name}, not a version", hint=f"write {version.name}"
        )
    return version


def local_version(store: Store, ref: str) -> Version:
    """Return the version that a reference names, as `version_of_reference`; `RefusedError` if only a remote has it."""
    version = version_of_reference(store, ref)
    require_local(version.record, version.name)
    return version


def base_version(store: Store, name: str, base: str) -> Version:
    """Return the version that a new one of the artifact ``name`` is based on: ``v3``, an alias, or ``NAME:v3``.

    Raises `RefusedError` if only a remote has it.
    """
    return local_version(store, base if ":" in base else f"{name}:{base}")


def version_by_serial(store: Store, serial: int) -> Version | None:
    """Return the living version with a serial, which it keeps when its artifact is renamed."""
    if not isinstance(serial, int) or not 0 <= serial < 1 << 32:
        return None
    with store.snapshot() as snapshot:
        record = snapshot.version(serial)
        artifact = None if record is None else snapshot.artifact(record.artifact)
    if record is None or artifact is None:
        return None
    return Version(store, artifact.name, record, artifact.type)


def numbered_reference(store: Store, ref: str) -> str:
    """Return a reference as it is, or for a path on a mount the ``NAME:v3[/path]`` that it stands for."""
    if not looks_like_path(ref):
        return ref
    reference = reference_of(store, ref)
    inside = f"/{os.fsdecode(reference.path)}" if reference.path else ""
    return f"{reference.name}:{version_label(reference.version or 0)}{inside}"


def artifact_path(store: Store, ref: str) -> tuple[str, bytes]:
    """Return (artifact's name, path inside its versions) of ``NAME:/path``, ``NAME:v3/path`` or a path on a mount."""
    name, _, rest = ("", "", "") if looks_like_path(ref) else ref.partition(":")
    reference = parse_reference(f"{name}:{LATEST}{rest}") if rest.startswith("/") else reference_of(store, ref)
    if not reference.path:
        raise InvalidInputError(f"{ref!r} has no path inside a version", hint=f"write {reference.name}:/PATH")
    return reference.name, reference.path


def resolve_recorded(store: Store, ref: str) -> tuple[VersionRecord, bytes]:
    """Return (version, path inside) of a reference, also to a version that is deleted and waits to be reaped."""
    reference = reference_of(store, ref)
    if reference.version is not None:
        with store.snapshot() as snapshot:
            transaction = snapshot.transaction
            artifact = catalogue.find_name(transaction, reference.name)
            artifact = artifact or catalogue.find_retired(transaction, reference.name)
            version = None
            if artifact is not None:
                version = catalogue.recorded_by_number(transaction, artifact.number, reference.version)
        if version is not None:
            return version, reference.path
    return resolve(store, ref)[1:]


def tree_of(store: Store, ref: str) -> int:
    """Return the node of the directory that a reference names: a version's root, or one inside it."""
    artifact, version, path = resolve(store, ref)
    if not path:
        return version.root
    with store.snapshot() as snapshot:
        entry = snapshot.resolve(version.root, path)
    if entry is None:
        raise unknown_path(f"{artifact.name}:{version_label(version.number)}", path)
    if not entry.is_directory:
        raise NotFolderError(f"{ref!r} is not a folder", hint="compare versions or folders")
    return entry.node


def _version_of(snapshot: Snapshot, artifact: ArtifactRecord, reference: Reference) -> VersionRecord:
    number = reference.version
    if number is None and reference.alias not in (None, "latest"):
        alias = snapshot.alias_by_name(artifact.number, reference.alias or "")
        if alias is None:
            raise NotFoundError(
                f"{artifact.name!r} has no alias {reference.alias!r}", hint=f"list them: artfs alias ls {artifact.name}"
            )
        number = alias.version
    if number is None:
        latest = snapshot.latest(artifact.number)
        if latest is None:
            raise _no_latest(snapshot, artifact)
        return latest
    record = snapshot.version_or_link(artifact.number, number)
    if record is None:
        label = f"{artifact.name}:{version_label(number)}"
        if catalogue.recorded_by_number(snapshot.transaction, artifact.number, number) is not None:
            raise NotFoundError(f"{label} was deleted", hint=f"restore it: artfs undelete {label}")
        raise NotFoundError(f"there is no {label}", hint=f"list what exists: artfs ls {artifact.name}")
    return record


def _no_latest(snapshot: Snapshot, artifact: ArtifactRecord) -> NotFoundError:
    newest = catalogue.newest(snapshot.transaction, artifact.number)
    if newest is None:
        return NotFoundError(f"{artifact.name!r} has no living version", hint=f"its history: artfs log {artifact.name}")
    label = version_label(newest.number)
    return NotFoundError(
        f"{artifact.name!r} has only pending versions, and latest is none of them",
        hint=f"name one, such as {artifact.name}:{label}, or send them: artfs push {artifact.name}",
    )
