"""Settings of a workspace, stored in the manifest and shared by every process that uses it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from artstore.arguments import seconds_of, shown_value
from artstore.errors import DamageError, InvalidInputError, RefusedError
from artstore.records.catalogue import ArtifactRecord, load_json
from artstore.records.tables import Table
from artstore.rows import catalogue
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.values import value_class

__all__ = ["Settings", "change_settings", "read_settings", "refuse_protected"]

_KEY: Final = b"settings"


@value_class
class Settings:
    """The settings of a workspace.

    ``undelete_seconds``: how long a deleted version can be undeleted; 0 for not at all.  A daemon reaps at most
    ``reap_bytes_per_second`` stored bytes and ``reap_nodes_per_second`` nodes; 0 for no limit but reads go first.
    Moving or removing aliases that match a glob of ``protected_aliases`` needs force.  The cache of bytes fetched for
    references holds at most ``reference_cache_bytes``.  With ``record_origin`` a version's record says which process
    made it, and from which commit.
    """

    undelete_seconds: float = 24 * 3600.0
    reap_bytes_per_second: int = 0
    reap_nodes_per_second: int = 0
    protected_aliases: tuple[str, ...] = ()
    reference_cache_bytes: int = 10_000_000_000
    record_origin: bool = True

    def protects(self, alias: str) -> bool:
        """Return whether an alias is one of those that are protected."""
        return any(fnmatchcase(alias, glob) for glob in self.protected_aliases)


_NAMES: Final = frozenset(item.name for item in fields(Settings))
_WINDOW: Final = "undelete_seconds"


def read_settings(transaction: ReadTransaction) -> Settings:
    """Return the settings; a key that was never set has its default."""
    payload = transaction.get(Table.META, _KEY)
    if payload is None:
        return Settings()
    try:
        values = {name: value for name, value in load_json(payload).items() if name in _NAMES}
        return Settings(**{name: _checked_setting(name, value) for name, value in values.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise DamageError("the settings of the workspace are malformed") from error


def change_settings(transaction: WriteTransaction, changes: dict[str, Any]) -> Settings:
    """Change settings by name; raise `InvalidInputError` for an unknown name or a value that cannot be."""
    for name in changes:
        if name not in _NAMES:
            raise InvalidInputError(
                f"there is no setting {name!r}", hint=f"the settings are: {', '.join(sorted(_NAMES))}"
            )
    given = {name: seconds_of(value, name) if name == _WINDOW else value for name, value in changes.items()}
    checked = {name: _checked_setting(name, value) for name, value in given.items()}
    settings = replace(read_settings(transaction), **checked)
    transaction.put(Table.META, _KEY, json.dumps(asdict(settings)).encode())
    return settings


def _checked_setting(name: str, value: Any) -> Any:
    if name == "protected_aliases":
        return _checked_globs(value)
    if name == "record_origin":
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be true or false, not {shown_value(value)}")
        return value
    whole = name != _WINDOW
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise InvalidInputError(f"{name} must be a {'whole ' if whole else ''}number")
    if not 0 <= value < 1 << 40 or not math.isfinite(value):
        raise InvalidInputError(f"{name} is out of range")
    return value


def _checked_globs(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [None]
    if not all(isinstance(glob, str) and glob and glob.isprintable() for glob in given):
        raise InvalidInputError(f"{shown_value(value)} is not a list of names and globs of aliases")
    return tuple(dict.fromkeys(given))


def refuse_protected(
    transaction: ReadTransaction, artifact: ArtifactRecord, number: int | None, names: Sequence[str]
) -> None:
    """Raise `RefusedError` if protected aliases would move to another version, or (None) be removed."""
    settings = read_settings(transaction)
    moving = (
        catalogue.named_otherwise(transaction, artifact.number, number, names) if settings.protected_aliases else []
    )
    protected = [name for name in moving if settings.protects(name)]
    if protected:
        raise RefusedError(
            f"the alias {protected[0]!r} of {artifact.name!r} is protected",
            hint="'artfs alias set --force' moves it, 'artfs alias rm --force' removes it",
        )
