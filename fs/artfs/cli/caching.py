"""``cache``: the copies of versions that downloads leave on this machine."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from artfs.cli.completion import REFERENCE
from artfs.cli.output import counted, moment, size, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.session import Group, Session, subcommand
from artfs.quantities import parse_size

__all__ = ["cache"]


@click.group("cache", cls=Group)
def cache() -> None:
    """Manage the copies that downloads leave.

    A program that downloads a version without access to a mount gets a copy, which is kept by its digest for later
    downloads. The cache is in $ARTFS_CACHE_DIR, else $WANDB_CACHE_DIR, else the user's cache folder.

    \b
    Examples:
      artfs cache cleanup 10GB
      artfs artifact cache cleanup 10GB
    """


@subcommand("info", group=cache)
def cache_info(session: Session) -> None:
    """Show the location and contents of the cache.

    \b
    Examples:
      artfs cache info
      artfs artifact cache info
    """
    from artfs.tracking.downloading import cached
    from artfs.tracking.values import cache_folder

    copies = list(cached())
    total = sum(copy.bytes for copy in copies)
    if session.json:
        from artfs.documents.caching import CachedCopyItem, CacheDocument

        items = [
            CachedCopyItem.from_attributes(copy, link=copy.is_link, used_at=datetime.fromtimestamp(copy.used_at, UTC))
            for copy in copies
        ]
        write_document(CacheDocument.of(str(cache_folder()), items))
        return
    rows = [
        [
            copy.digest[:16],
            "link" if copy.is_link else size(copy.bytes),
            moment(datetime.fromtimestamp(copy.used_at, UTC)),
            copy.path,
        ]
        for copy in copies
    ]
    write_table(["DIGEST", "SIZE", "USED", "PATH"], rows, empty="the cache is empty")
    write_line(f"{size(total)} in {cache_folder()}")


@subcommand("cleanup", group=cache)
@click.argument("limit", metavar="SIZE")
def cache_cleanup(session: Session, limit: str) -> None:
    """Shrink the cache to a size.

    The least recently used copies are removed first. Only copies and dangling links are removed, never versions. A
    program reading a copy at that moment loses its files.

    \b
    Examples:
      artfs cache cleanup 10GB
      artfs artifact cache cleanup 10GB
    """
    from artfs.tracking.downloading import clean_up
    from artstore.errors import InvalidInputError

    number = parse_size(limit)
    if number is None:
        raise InvalidInputError(f"{limit!r} is not a size", hint="such as 10GB, 500MiB or 0")
    copies, freed = clean_up(number)
    if session.json:
        from artfs.documents.caching import CacheCleanupDocument

        write_document(CacheCleanupDocument(copies, freed))
    else:
        write_line(f"{counted(copies, 'copy', 'copies')} removed, {size(freed)} freed")


@subcommand("preload", group=cache)
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=REFERENCE)
def cache_preload(session: Session, references: tuple[str, ...]) -> None:
    """Copy versions into the cache.

    Later downloads of these versions use the cached copies.

    \b
    Examples:
      artfs cache preload imagenet:v3
      artfs artifact cache preload imagenet:v3
    """
    from artfs.tracking.downloading import copy_to_cache

    workspace = session.open()
    preloaded = []
    for version in [workspace.version(reference) for reference in references]:
        with progress_bar() as update:
            preloaded.append((version, copy_to_cache(workspace, version, update)))
    if session.json:
        from artfs.documents.caching import CachePreloadDocument, PreloadedItem

        write_document(CachePreloadDocument([PreloadedItem.of(version, path) for version, path in preloaded]))
    else:
        for version, path in preloaded:
            write_line(f"{version.name}  {path}")
