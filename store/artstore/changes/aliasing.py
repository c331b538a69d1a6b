"""Changes of aliases and tags of versions, and of names, types and descriptions of artifacts.

Each is one transaction, journalled and sent to mounts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from artstore import daemon_requests
from artstore.changes.revising import living
from artstore.daemon_requests import Change, parent_changes
from artstore.errors import NotFoundError
from artstore.names import check_new_name, check_tag, version_label
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import (
    AliasEvent,
    DescriptionEvent,
    RenameEvent,
    TagsEvent,
    TypeEvent,
)
from artstore.rows import catalogue, drafts
from artstore.rows.settings import refuse_protected
from artstore.storage import journal
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["change_tags", "describe", "remove_aliases", "rename", "set_aliases", "set_type"]


def _artifact(transaction: WriteTransaction, name: str) -> ArtifactRecord:
    record = catalogue.find_name(transaction, name)
    if record is None or not record.is_artifact:
        raise NotFoundError(f"there is no artifact {name!r}", hint="list what exists: artfs ls")
    return record


def set_aliases(store: Store, version: VersionRecord, aliases: Sequence[str], *, force: bool = False) -> list[str]:
    """Point aliases to a version, protected ones with ``force``; return the mounts that did not answer."""
    with store.write() as transaction:
        artifact, current = living(transaction, version)
        if not force:
            refuse_protected(transaction, artifact, current.number, aliases)
        moved = catalogue.set_aliases(transaction, artifact.number, current.number, aliases, time.time_ns())
        if moved:
            events = [AliasEvent(name=artifact.name, alias=alias, version=current.number) for alias in moved]
            journal.append(store.path, transaction, events)
    return _notify(store, artifact.name, moved)


def remove_aliases(store: Store, name: str, aliases: Sequence[str], *, force: bool = False) -> list[str]:
    """Remove aliases, all or none, protected ones with ``force``; return the mounts that did not answer."""
    aliases = list(dict.fromkeys(aliases))
    with store.write() as transaction:
        artifact = _artifact(transaction, name)
        if not force:
            refuse_protected(transaction, artifact, None, aliases)
        for alias in aliases:
            if catalogue.remove_alias(transaction, artifact.number, alias) is None:
                raise NotFoundError(f"{name!r} has no alias {alias!r}", hint=f"list them: artfs alias ls {name}")
        events = [AliasEvent(name=name, alias=alias, version=None) for alias in aliases]
        journal.append(store.path, transaction, events)
    return _notify(store, name, aliases)


def _notify(store: Store, name: str, aliases: Sequence[str]) -> list[str]:
    if not aliases:
        return []
    return [daemon.mountpoint for daemon in daemon_requests.notify(store.run_dir, [Change(name, list(aliases))])]


def change_tags(
    store: Store, version: VersionRecord, *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> list[str]:
    """Add and remove tags of a version; return its new tags, sorted."""
    for tag in add:
        check_tag(tag)
    with store.write() as transaction:
        artifact, current = living(transaction, version)
        for tag in remove:
            if tag not in current.tags:
                label = f"{artifact.name}:{version_label(current.number)}"
                raise NotFoundError(f"{label} has no tag {tag!r}", hint=f"list them: artfs tag ls {label}")
        tags = sorted((set(current.tags) | set(add)) - set(remove))
        if tags != current.tags:
            catalogue.put_version(transaction, replace(current, tags=tags))
            event = TagsEvent(name=artifact.name, version=current.number, tags=tags)
            journal.append(store.path, transaction, [event])
    return tags


def set_type(store: Store, name: str, type_name: str) -> None:
    """Change the type of an artifact."""
    with store.write() as transaction:
        artifact = _artifact(transaction, name)
        catalogue.put_artifact(transaction, replace(artifact, type=type_name))
        journal.append(store.path, transaction, [TypeEvent(name=name, type=type_name)])


def rename(store: Store, name: str, to: str) -> list[str]:
    """Change the full name of an artifact; return the mounts that did not answer.

    Raises `NotFoundError` if there is no such artifact, and the errors of `artstore.rows.catalogue.rename`.
    """
    check_new_name(to)
    with store.write() as transaction:
        artifact = _artifact(transaction, name)
        old_names = catalogue.rename(transaction, artifact, to, time.time_ns())
        drafts.rename(transaction, name, to)
        journal.append(store.path, transaction, [RenameEvent(name=name, to=to)])
    changes = [Change(above, [component]) for above, _, component in (each.rpartition("/") for each in old_names)]
    return [daemon.mountpoint for daemon in daemon_requests.notify(store.run_dir, [*changes, *parent_changes(to)])]


def describe(store: Store, name: str, text: str) -> None:
    """Replace the description of an artifact."""
    with store.write() as transaction:
        artifact = _artifact(transaction, name)
        catalogue.put_artifact(transaction, replace(artifact, description=text))
        journal.append(store.path, transaction, [DescriptionEvent(name=name, description=text)])
