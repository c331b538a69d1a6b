"""``config``: the settings of a workspace, shared by every process that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.output import columns, size, warn, write_document, write_line
from artfs.cli.session import Session, subcommand
from artfs.cli.times import parse_duration
from artfs.legible import written_duration
from artfs.quantities import parse_size

if TYPE_CHECKING:
    from artstore.rows.settings import Settings

__all__ = ["config", "parse_rate"]

_WINDOW = "undelete-window"
_PROTECTED = "protected-aliases"
_CACHE = "reference-cache"
_ROOTS = "reference-roots"
_REMOTE_CACHE = "cache"
_ORIGIN = "record-origin"
_ALL = "all"
_SHARED = "shared"
_NONE = "none"
_FIELDS = {
    _WINDOW: "undelete_seconds",
    "reap-bytes-per-second": "reap_bytes_per_second",
    "reap-nodes-per-second": "reap_nodes_per_second",
    _PROTECTED: "protected_aliases",
    _CACHE: "reference_cache_bytes",
    _ORIGIN: "record_origin",
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNLIMITED = "unlimited"


@subcommand("config")
@click.argument("key", metavar="[KEY]", required=False, type=click.Choice([*_FIELDS, _SHARED, _ROOTS, _REMOTE_CACHE]))
@click.argument("values", metavar="[VALUE]", nargs=-1)
@click.option("--owner", metavar="USER", help="With shared: give everything to this user; root needs it.")
def config(session: Session, key: str | None, values: tuple[str, ...], owner: str | None) -> None:
    """Show or change settings, and where references may lead.

    With KEY and VALUE, change the setting for every process that uses the workspace.

    \b
      undelete-window        how long 'artfs undelete' can restore a deleted version, such as 24h,
                             7d or 90m; 0 disables it; applies to versions deleted from now on
      reap-bytes-per-second  the most that a mount frees in the background, such as 100MB;
                             'unlimited' for no limit other than not to slow down reads
      reap-nodes-per-second  the same in nodes: files, folders and parts of large files
      protected-aliases      comma-separated names and globs of aliases that are moved and removed
                             only with --force, and whose versions 'artfs rm' refuses to delete;
                             'none' for none
      reference-cache        the size of the cache for external files (see 'artfs ref'), such as
                             50GB; the least recently used data is evicted first. A change takes
                             effect at the next mount
      record-origin          'all': each version records the user, host, command line and folder
                             that made it, and the git commit of the folder put; 'none' for none
      shared                 the Unix group whose members can use the workspace, or 'none' for its
                             owner alone

    The other keys are settings of yours, not of the workspace. The cache holds what was read from
    remotes, for all your workspaces; the parts that were read longest ago go first.

    \b
      cache                          show what the cache takes, and its limit
      cache SIZE                     change the limit, such as 50GB

    Reference roots are what references may lead to when you read them, besides public addresses.
    'artfs ref add' allows what it adds; references that others have added need it from you. A ROOT
    is a folder or file, http://HOST:PORT, or a network.

    \b
      reference-roots [ls]           list the roots that you allow
      reference-roots add ROOT...    allow more
      reference-roots rm ROOT...     allow less

    \b
    Examples:
      artfs config
      artfs config undelete-window 7d
      artfs config reference-roots add /data/images
    """
    if key == _ROOTS:
        _reference_roots(session, *values)
    elif key == _REMOTE_CACHE:
        _remote_cache(session, *values)
    elif len(values) > 1:
        raise click.UsageError(f"too many values for {key}: {' '.join(values[1:])}")
    elif key == _SHARED:
        _share(session, next(iter(values), None), owner)
    else:
        _setting(session, key, next(iter(values), None), owner)


def _setting(session: Session, key: str | None, value: str | None, owner: str | None) -> None:
    """Print all settings or one, or change one."""
    if owner is not None:
        from artstore.privileges import Owner

        raise click.UsageError(f"--owner {Owner.named(owner).shown_name} is for 'artfs config shared GROUP' only")
    workspace = session.open()
    if key is None or value is None:
        _print_settings(session, workspace.settings, [key] if key else list(_FIELDS))
        return
    settings = workspace.configure(**{_FIELDS[key]: _parsed(key, value)})
    if session.json:
        _print_settings(session, settings, [key])
    else:
        warn(f"{key} is now {_shown(settings, key)}")


def _share(session: Session, group: str | None, owner: str | None) -> None:
    from artfs.cli.rights import owner_to_give

    workspace = session.open()
    given = owner_to_give(owner, required=group not in (None, _NONE))
    if group is not None:
        workspace.share(None if group == _NONE else group, owner=given)
    shared = workspace.store.group
    if session.json:
        from artfs.documents.workspaces import SharedDocument

        write_document(SharedDocument(str(workspace.path), shared))
    elif group is None:
        write_line(shared or _NONE)
    elif shared is None:
        warn(f"{workspace.path} is not shared any more; mounts of other users cannot read it")
    else:
        warn(f"{workspace.path} is shared with the group {shared}")


def _reference_roots(session: Session, action: str = "ls", *roots: str) -> None:
    from artstore.references.roots import allowed_roots, change_roots, roots_file

    if action not in ("ls", "add", "rm") or bool(roots) != (action != "ls"):
        raise click.UsageError(f"write {_ROOTS} ls, {_ROOTS} add ROOT..., or {_ROOTS} rm ROOT...")
    if action == "ls":
        listed = allowed_roots()
    else:
        listed = change_roots(**{"add": [], "remove": [], {"rm": "remove"}.get(action, action): list(roots)})
    if session.json:
        from artfs.documents.references import ReferenceRootsDocument

        write_document(ReferenceRootsDocument(str(roots_file()), listed))
    elif action == "ls":
        for root in listed:
            write_line(root)
    else:
        warn(f"references may lead to {len(listed)} root{'s' * (len(listed) != 1)}, listed in {roots_file()}")


def _remote_cache(session: Session, limit: str | None = None, *others: str) -> None:
    from artstore.remotes.lazy.cache import cache_of_user

    if others:
        raise click.UsageError(f"too many values for {_REMOTE_CACHE}: {' '.join(others)}")
    cache = cache_of_user()
    if limit is not None:
        cache.set_limit(_parsed_size(limit))
    usage = cache.usage()
    if session.json:
        from artfs.documents.caching import RemoteCacheDocument

        write_document(RemoteCacheDocument(str(cache.folder), usage.bytes, usage.limit))
    elif limit is None:
        write_line(f"{size(usage.bytes)} of at most {size(usage.limit)} in {cache.folder}")
    else:
        warn(f"the cache of remotes holds at most {size(usage.limit)} now")


def _parsed(key: str, value: str) -> object:
    if key == _PROTECTED:
        return () if value == _NONE else _parsed_globs(value)
    if key == _CACHE:
        return _parsed_size(value)
    if key == _ORIGIN:
        return _parsed_origin(value)
    return parse_duration(value) if key == _WINDOW else parse_rate(value)


def _parsed_globs(text: str) -> list[str]:
    from artstore.errors import InvalidInputError

    globs = [glob.strip() for glob in text.split(",")]
    if not all(globs):
        raise InvalidInputError(f"{text!r} has an empty part", hint="such as production,release-*, or none")
    return globs


def _parsed_origin(text: str) -> bool:
    from artstore.errors import InvalidInputError

    if text not in (_ALL, _NONE):
        raise InvalidInputError(f"{text!r} is neither {_ALL} nor {_NONE}")
    return text == _ALL


def _parsed_size(text: str) -> int:
    from artstore.errors import InvalidInputError

    number = parse_size(text)
    if number is None:
        raise InvalidInputError(f"{text!r} is not a size", hint="such as 50GB or 500MiB")
    return number


def _print_settings(session: Session, settings: Settings, keys: list[str]) -> None:
    if session.json:
        from artfs.documents.workspaces import SettingsDocument

        write_document(SettingsDocument.of(settings, [_FIELDS[key] for key in keys]))
    elif len(keys) == 1:
        write_line(_shown(settings, keys[0]))
    else:
        for line in columns([[key, _shown(settings, key)] for key in keys]):
            write_line(line)


def _shown(settings: Settings, key: str) -> str:
    if key == _WINDOW:
        return written_duration(settings.undelete_seconds)
    if key == _PROTECTED:
        return ",".join(settings.protected_aliases) or _NONE
    if key == _ORIGIN:
        return _ALL if settings.record_origin else _NONE
    number = int(getattr(settings, _FIELDS[key]))
    if key == _CACHE:
        return size(number)
    if not number:
        return _UNLIMITED
    return size(number) if key == "reap-bytes-per-second" else f"{number:,}"


def parse_rate(text: str) -> int:
    """Parse a rate such as ``100MB``, ``64MiB`` or ``5000``; ``unlimited`` is 0.

    Raises InvalidInputError for anything else, and for less than one.
    """
    from artstore.errors import InvalidInputError

    if text in (_UNLIMITED, "0"):
        return 0
    number = parse_size(text) or 0
    if number < 1:
        raise InvalidInputError(
            f"{text!r} is not a rate per second", hint=f"such as 100MB, 64MiB, 5000, or {_UNLIMITED}"
        )
    return number
