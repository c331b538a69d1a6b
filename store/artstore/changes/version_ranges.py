"""Selection of versions to delete: by labels, aliases, ranges and globs, all of them explicit."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from artstore.errors import InvalidInputError, NotFoundError
from artstore.names import PENDING, check_name, is_pending, parse_reference, parse_version_label, version_label
from artstore.queries.resolving import unknown_artifact
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.rows import catalogue
from artstore.rows.pending import shown_aliases, version_or_link
from artstore.storage.manifest import ReadTransaction

__all__ = ["select"]

_GLOB = frozenset("*?[")
Selected = tuple[ArtifactRecord, VersionRecord]


def select(transaction: ReadTransaction, refs: Sequence[str], *, recursive: bool = False) -> list[Selected]:
    """Return the living versions that references select, each once, in the order of the references.

    A reference is ``NAME:v3``, ``NAME:ALIAS``, ``NAME:v0..v9`` (the living ones among them), or ``NAME:GLOB``, matched
    with labels and aliases.  With ``recursive``, a ``NAME`` selects a whole artifact.  Raises `InvalidInputError` for a
    bare ``NAME`` or a path inside a version, `NotFoundError` if nothing matches.
    """
    if not refs:
        raise InvalidInputError("no versions are given")
    selected: dict[int, Selected] = {}
    for ref in refs:
        for artifact, version in _select_one(transaction, ref, recursive):
            selected[version.serial] = (artifact, version)
    return list(selected.values())


def _select_one(transaction: ReadTransaction, ref: str, recursive: bool) -> list[Selected]:
    name, colon, selector = ref.partition(":")
    artifact = _artifact(transaction, check_name(name))
    if recursive:
        if colon:
            raise InvalidInputError(f"-r selects whole artifacts: give {name!r} without a version")
        chosen = catalogue.versions_of(transaction, artifact.number)
    elif not colon:
        versions = catalogue.versions_of(transaction, artifact.number)
        raise InvalidInputError(f"{name!r} does not say which version", hint=_choices(name, versions))
    else:
        chosen = _matching(transaction, artifact, selector)
    if not chosen and (recursive or selector == "*"):
        raise NotFoundError(f"{artifact.name} has no living version", hint=f"its history: artfs log {artifact.name}")
    if not chosen:
        raise _missing(transaction, artifact, selector)
    return [(artifact, version) for version in chosen]


def _artifact(transaction: ReadTransaction, name: str) -> ArtifactRecord:
    record = catalogue.find_name(transaction, name)
    if record is None or not record.is_artifact:
        raise unknown_artifact(transaction, name)
    return record


def _choices(name: str, versions: list[VersionRecord]) -> str:
    if not versions:
        return f"list what exists: artfs ls {name}"
    newest = next((version_label(each.number) for each in reversed(versions) if not is_pending(each.number)), "none")
    count = f"all {len(versions)} versions" if len(versions) > 1 else "the only version"
    return f"{name}:latest is {newest}, '{name}:*' is {count}; rm -r {name} deletes the whole artifact"


def _missing(transaction: ReadTransaction, artifact: ArtifactRecord, selector: str) -> NotFoundError:
    ref, listing = f"{artifact.name}:{selector}", f"list what exists: artfs ls {artifact.name}"
    number = parse_version_label(selector)
    if number is None:
        is_alias = selector and not _GLOB & set(selector) and ".." not in selector
        what = f"{artifact.name!r} has no alias {selector!r}" if is_alias else f"there is no {ref}"
        return NotFoundError(what, hint=listing)
    if catalogue.recorded_by_number(transaction, artifact.number, number) is not None:
        return NotFoundError(f"{ref} is already deleted", hint="to free its space now: artfs gc --now")
    what = f"{ref} no longer exists" if artifact.has_given(number) else f"there is no {ref}"
    return NotFoundError(what, hint=listing)


def _matching(transaction: ReadTransaction, artifact: ArtifactRecord, selector: str) -> list[VersionRecord]:
    """Return the living versions that the part of a reference after the colon selects."""
    first, dots, last = selector.partition("..")
    if not dots and not _GLOB & set(selector):
        return _named(transaction, artifact, selector)
    if dots:
        low, high = parse_version_label(first), parse_version_label(last)
        if low is None or high is None or low > high:
            raise InvalidInputError(f"{selector!r} is not a range of versions", hint="such as v0..v9, inclusive")
        if is_pending(low) != is_pending(high):
            raise InvalidInputError(f"{selector!r} is not a range of versions", hint="such as v0..v9 or p1..p3")
        end = PENDING + artifact.next_pending if is_pending(high) else artifact.next_version
        in_range = range(low, min(high + 1, end))
        records = (catalogue.version_by_number(transaction, artifact.number, number) for number in in_range)
        return [version for version in records if version is not None]
    versions = catalogue.versions_of(transaction, artifact.number)
    aliases = {alias.name: alias.version for alias in shown_aliases(transaction, artifact.number)}
    numbered = [version.number for version in versions if not is_pending(version.number)]
    if numbered:
        aliases["latest"] = numbered[-1]
    numbers = {number for alias, number in aliases.items() if fnmatchcase(alias, selector)}
    return [
        version
        for version in versions
        if version.number in numbers or fnmatchcase(version_label(version.number), selector)
    ]


def _named(transaction: ReadTransaction, artifact: ArtifactRecord, selector: str) -> list[VersionRecord]:
    """Return the living version that a label or an alias names, if there is one."""
    reference = parse_reference(f"{artifact.name}:{selector}")
    if reference.path:
        raise InvalidInputError(
            f"{artifact.name}:{selector} is a path inside a version; only whole versions can be deleted",
            hint="to remove content from versions permanently, see: artfs purge --help",
        )
    number = reference.version
    if number is None and reference.alias == "latest":
        latest = catalogue.latest(transaction, artifact.number)
        return [] if latest is None else [latest]
    if number is None:
        alias = catalogue.alias_by_name(transaction, artifact.number, reference.alias or "")
        if alias is None:
            return []
        number = alias.version
    version = version_or_link(transaction, artifact.number, number)
    return [] if version is None else [version]
