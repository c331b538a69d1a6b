"""The words by which a sentence tells one reason from another of the same class of error.

Tests of behaviour name a reason by its key, so that a sentence that is reworded changes one row here and no test.
A reason that the class of the error, or a name in its sentence, tells apart has no row.
"""

from __future__ import annotations

__all__ = ["REASONS", "has_reason"]

REASONS = {
    # names
    "empty name": "is empty",
    "reserved first character": "starts with",
    "outer space": "space",
    "unprintable character": "unprintable character",
    "reserved name": "is reserved: it",
    "version number as name": "looks like a version number",
    "forbidden character": "are not allowed in it",
    # sources
    "empty path": "is empty",
    "zero byte": "zero byte",
    "no such source": "does not exist",
    "socket": "a socket",
    "named pipe": "a named pipe",
    "device": "a device",
    "vanished": "vanished",
    "kept changing": "kept changing",
    "moved": "was moved",
    "dangling link": "where nothing is",
    "symlink loop": "a symlink loop",
    "link to an outer folder": "leads back to a folder that holds it",
    "link to a device": "a symlink to a device",
    "too many links": "too many symlinks",
    "malformed ignore file": "not a list of patterns",
    "source holds the workspace": "holds the workspace",
    # versions, artifacts and aliases
    "deleted": "has been deleted",
    "never existed": "never existed",
    "content freed": "cannot come back",
    "no such path": "has no",
    "links in a circle": "lead in a circle",
    "protected alias": "protected",
    "end in the past": "must lie in the future",
    "clock behind": "the clock is behind",
    "clock ahead": "the clock is more than",
    # drafts
    "no open draft": "no draft",
    "draft expired": "has expired",
    "expires before it opens": "cannot expire before it is opened",
    "added before": "came into the draft before with other content",
    "folder against file": "a folder on one side and a file on the other",
    "not a folder": "is not a folder",
    "occupied": "is in the way",
    "write failed": "could not be written",
    # workspaces
    "already a workspace": "is a workspace already",
    "folder not empty": "is not empty",
    "no workspace": "is not an artfs workspace",
    "reserve reached": "bytes are left",
    "no answer": "does not answer",
    # content outside the store
    "nothing there": "there is nothing at",
    "gone outside": "is gone since it was logged",
    "changed outside": "has changed since it was logged",
    "unreachable": "cannot be reached",
    "profile without credentials": "gives no credentials",
    "object and folder": "an object and a folder at once",
    "key is no path": "cannot be a path",
    "no listings": "no listings",
    "link to a folder": "is a link to a folder",
    "not a file": "is not a file",
    "no references": "refers to nothing outside",
    "unsupported URI": "is not a supported URI or an absolute path",
    "no bucket": "names no bucket",
    "no host": "names no host",
    "no container": "names no container",
    "another machine": "is on another machine",
    "password in an address": "holds a password",
    "secret in an address": "holds a secret",
    "empty name in a key": "has an empty name",
    "control character": "control character",
    # runs and artifacts of the Python package
    "file expected": "is a folder",
    "folder expected": "is a file",
    "not logged yet": "before it is logged",
    "logged already": "is a version, and does not change",
    "linked": "links to",
    "included": "includes",
    "made from it": "was made from",
    "aliased": "has the alias",
    "not a link": "is no link",
    "not a reference": "refers to nothing",
    "inside an artifact": "is an artifact",
    "not in the version": "is not in the version",
    "different": "differs",
    "run finished": "has finished",
    "no run": "there is no run",
    "no shared name": "need a name",
    "wandb only": "use wandb alongside",
    # commands
    "put it again": "put the same content again",
    "resume": "run it again",
    "no such option": "no such option",
    "standard output": "cannot write to standard output",
    # mounts
    "no mount point": "does not exist",
    "mount point in the workspace": "lies inside the workspace",
    "workspace in the mount point": "lies inside the mount point",
    "already mounted": "is already mounted",
    "another file system": "is not an artfs mount",
    "nothing mounted": "nothing is mounted",
    "not mounted": "is not mounted",
    "no workers": "at least one worker",
    "no such transport": "there is no transport",
    "no device": "there is no",
    "device cannot be opened": "cannot be opened",
    "not writable": "is not writable",
    "not installed": "is not installed",
    "binding does not load": "does not load",
    "another owner": "is not a folder that belongs to user",
    "in use": "is in use by",
    # damage
    "missing": "is missing",
    "lost": "is lost",
    "lost identity": "has lost its",
    "lost count": "the count of its references is lost",
    "damaged": "is damaged",
    "ends early": "ends before",
    "wrong content": "is not what its id",
    "too few references": "has fewer references",
    "edge at one end": "at one end only",
    "unknown keys": "unknown keys",
    "journal contradicts itself": "contradicts itself",
    # the closed file of Python
    "closed file": "closed",
}
"""What a test calls the reason, and the words that a sentence has only for this reason."""


def has_reason(sentence: str, reason: str) -> bool:
    """Return whether the sentence gives this reason."""
    return REASONS[reason] in sentence
