"""Which entries of the user's folder stay out: ``.artfsignore`` files and ``--exclude`` globs.

The rules are git's for ``.gitignore``: patterns of a file apply to the folder that holds it and below; the last
pattern that matches decides, deeper files before shallower ones, and command-line globs before all files; entries of
an excluded folder cannot be included again, because excluded folders are not entered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from artstore.errors import InvalidInputError

__all__ = ["IGNORE_FILE", "IgnoreRules"]

IGNORE_FILE = b".artfsignore"

_DESCENDANT_MARK = "ps_d"
"""The group by which pathspec marks the slash after a matched folder: see `pathspec.GitIgnoreSpec`."""


class _Pattern(NamedTuple):
    regex: re.Pattern[str]
    excludes: bool
    folders_only: bool


class IgnoreRules:
    """Decide for one folder and the entries in it; `below` adds the patterns of a folder's own ignore file."""

    __slots__ = ("_base", "_globs", "_parent", "_patterns")

    def __init__(self, globs: Sequence[str]) -> None:
        """Start with the globs of the command line, which hold for the whole source and come before all files.

        Raises InvalidInputError naming a glob that is malformed.
        """
        self._base = b""
        self._patterns: list[_Pattern] = []
        self._globs = _compile(globs)
        self._parent: IgnoreRules | None = None

    @classmethod
    def from_globs(cls, globs: Sequence[str]) -> IgnoreRules | None:
        """Return the rules of these globs, or None if there are none."""
        return cls(globs) if globs else None

    def below(self, base: bytes, content: bytes) -> IgnoreRules:
        """Return these rules with those of an ignore file (its *content*) that lies in the folder *base*.

        Raises InvalidInputError naming a pattern that is malformed.
        """
        rules = IgnoreRules.__new__(IgnoreRules)
        rules._base = base
        rules._patterns = _compile(ignore_lines(content))
        rules._globs = self._globs
        rules._parent = self
        return rules

    def is_by_file(self, path: bytes, is_directory: bool) -> bool:
        """Return whether it is an ignore file that keeps out an entry which `excludes` names, and not a glob."""
        return _verdict(self._globs, path, is_directory) is None

    def excludes(self, path: bytes, is_directory: bool) -> bool:
        """Return whether the entry *path* (relative to the source) stays out; its parents are known not to."""
        verdict = _verdict(self._globs, path, is_directory)
        rules: IgnoreRules | None = self
        while verdict is None and rules is not None:
            below = path[len(rules._base) + 1 :] if rules._base else path
            verdict = _verdict(rules._patterns, below, is_directory)
            rules = rules._parent
        return verdict is True


def ignore_lines(content: bytes) -> list[str]:
    """Split an ignore file into its lines: any bytes, LF or CRLF, with or without a byte order mark."""
    text = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf"))
    return [line.removesuffix("\r") for line in text.split("\n")]


def _verdict(patterns: list[_Pattern], path: bytes, is_directory: bool) -> bool | None:
    if patterns:
        text = _one_line(os.fsdecode(path))
        for pattern in reversed(patterns):
            if _matches(pattern, text, is_directory):
                return pattern.excludes
    return None


def _one_line(text: str) -> str:
    # pathspec's expressions do not match a newline as a character of a name, but names may have them.
    return text.replace("\n", "\ufffe") if "\n" in text else text


def _compile(lines: Sequence[str]) -> list[_Pattern]:
    # Importing pathspec takes longer than putting a small folder, and most folders have nothing to match.
    from pathspec import GitIgnoreSpec

    patterns: list[_Pattern] = []
    for line in lines:
        text = _one_line(line)
        stripped = text.rstrip(" ")
        folders_only = stripped.endswith("/")
        if stripped.endswith("/**/"):
            text = stripped[:-1]  # to git, the folders below; to pathspec, it would be the folder itself
        try:
            compiled = GitIgnoreSpec.from_lines([text]).patterns
        except ValueError as error:
            raise InvalidInputError(f"the pattern {line!r} is not a valid glob: {error}") from error
        for pattern in compiled:
            if pattern.include is not None and pattern.regex is not None:
                patterns.append(_Pattern(pattern.regex, pattern.include, folders_only))
    return patterns


def _matches(pattern: _Pattern, path: str, is_directory: bool) -> bool:
    """Return whether *pattern* matches this very path, and not only a folder above it.

    pathspec's expressions also match everything below a matched folder, which would let ``!folder`` take back files
    that another pattern excludes; git decides level by level, and so does the walk.
    """
    if pattern.folders_only and not is_directory:
        return False
    if pattern.regex.groups == 0:
        # The pattern ends in /** or is bare: it has no folder mark, and matches entries below, never the folder.
        return pattern.regex.search(path) is not None
    match = pattern.regex.search(path)
    if match is not None and match.group(_DESCENDANT_MARK) is None:
        return True
    if not is_directory:
        return False
    path += "/"
    return any(match.end(_DESCENDANT_MARK) == len(path) for match in pattern.regex.finditer(path))
