"""What a put returns with its version."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PutReceipt"]


class PutReceipt(NamedTuple):
    """The result of a put: whether it made a version, the stored bytes it added, and the mounts that did not answer.

    ``reaped_bytes`` of deleted content that could still be undeleted were reaped early, because the disk was full.
    ``differing_paths`` counts the paths that differ from the latest version only in mode or time, if no version was
    made.  Of what a put read, ``private_files`` cannot be read by users other than their owner and group, and
    ``special_modes`` paths have a setuid, setgid or sticky bit, which is not kept.  ``followed_links`` symlinks lead
    out of the folder, and what they lead to was stored.  ``ignored_entries`` were left out because of ``.artfsignore``
    files; a folder is one entry.  ``temporary_folders``, which interrupted exports left there, were left out too.
    ``followed_paths``, ``ignored_paths`` and ``temporary_paths`` name the first ten of them.

    ``pushed_to`` is the remote that the version was pushed to at once; ``unpushed`` says why a pending one was not.
    ``lost`` has a sentence for each change of an alias or name that another machine was first to change.
    """

    created: bool
    new_bytes: int
    silent_daemons: list[str]
    reaped_bytes: int = 0
    differing_paths: int = 0
    private_files: int = 0
    special_modes: int = 0
    followed_links: int = 0
    followed_paths: tuple[str, ...] = ()
    ignored_entries: int = 0
    ignored_paths: tuple[str, ...] = ()
    temporary_folders: int = 0
    temporary_paths: tuple[str, ...] = ()
    pushed_to: str = ""
    unpushed: str = ""
    lost: tuple[str, ...] = ()
