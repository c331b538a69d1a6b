"""Ignore rules: git's, with git itself as the judge where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import InvalidInputError
from artstore.ingest.source.ignore import IgnoreRules, ignore_lines
from messages import raises


@pytest.mark.parametrize(
    ("patterns", "path", "is_directory", "excluded"),
    [
        ("*.tmp", "a.tmp", False, True),
        ("*.tmp", "sub/a.tmp", False, True),
        ("*.tmp", "a.tmp.txt", False, False),
        ("/a", "a", False, True),
        ("/a", "sub/a", False, False),
        ("sub/a", "sub/a", False, True),
        ("sub/a", "x/sub/a", False, False),
        ("**/a/b", "x/y/a/b", False, True),
        ("a/**/b", "a/x/y/b", False, True),
        ("cache/", "cache", True, True),
        ("cache/", "sub/cache", True, True),
        ("cache/", "cache", False, False),
        ("cache/**", "cache", True, False),
        ("cache/**", "cache/x", False, True),
        ("*\n!keep", "keep", False, False),
        ("*\n!keep", "other", False, True),
        ("*\n!keep", "keep/inner", False, True),
        ("!keep\n*", "keep", False, True),
        ("*\n!*/\n!*.txt", "sub", True, False),
        ("*\n!*/\n!*.txt", "sub/a.txt", False, False),
        ("*\n!*/\n!*.txt", "sub/a.png", False, True),
        ("# comment\n\\#x\n\n", "#x", False, True),
        ("# comment", "# comment", False, False),
        ("a\\ ", "a ", False, True),
        ("a ", "a", False, True),
        ("[ab]?", "a1", False, True),
        ("é", "é", False, True),
        ("a\r\nb\r\n", "b", False, True),
        ("\ufeffa", "a", False, True),
        ("a?b", "a\nb", False, True),
        ("a", "a\n", False, False),
        ("a", "x\ny/a", False, True),
        ("*/", "a/b", True, True),
    ],
)
def test_patterns_mean_what_they_mean_to_git(patterns: str, path: str, is_directory: bool, excluded: bool) -> None:
    """A table of gitignore's rules: anchoring, folders, negation, comments, and names that only Unix allows."""
    rules = IgnoreRules([]).below(b"", patterns.encode())
    assert rules.excludes(path.encode(), is_directory) is excluded


def test_names_that_are_not_text_are_matched_by_their_bytes() -> None:
    """Patterns and names that are no UTF-8 match each other."""
    rules = IgnoreRules([]).below(b"", b"\xff*\n")
    assert rules.excludes(b"sub/\xff\xfe", False)
    assert not rules.excludes(b"sub/\xfe", False)


def test_deeper_files_and_the_command_line_have_the_last_word() -> None:
    """A folder's own file decides before its parents', and only below the folder; ``--exclude`` before all."""
    top = IgnoreRules(["*.secret", "!*.never"])
    rules = top.below(b"", b"*.log\n*.never\n")
    deeper = rules.below(b"sub", b"!keep.log\n/only\n!x.secret\n")
    assert rules.excludes(b"keep.log", False)
    assert not deeper.excludes(b"sub/keep.log", False)
    assert deeper.excludes(b"sub/other.log", False)
    assert deeper.excludes(b"sub/only", False)
    assert not deeper.excludes(b"sub/x/only", False)
    assert deeper.excludes(b"sub/x.secret", False)
    assert not deeper.excludes(b"sub/x.never", False)


def test_a_malformed_glob_is_named() -> None:
    """A pattern that means nothing is refused by name instead of excluding nothing."""
    with raises(InvalidInputError, names=["'!'"]):
        IgnoreRules(["*.tmp", "!"])


def test_lines_end_with_newlines_only() -> None:
    """Form feeds, vertical tabs and Unicode's line separators are part of a pattern."""
    assert ignore_lines("a\x0cb\u2028c\r\nd".encode()) == ["a\x0cb\u2028c", "d"]


_segments = st.sampled_from(["a", "b", "ab", "*", "**", "?", "a*", "[ab]", "[!a]", "*b"])
_patterns = st.builds(
    lambda negated, anchored, segments, directory: (
        ("!" if negated else "") + ("/" if anchored else "") + "/".join(segments) + ("/" if directory else "")
    ),
    st.booleans(),
    st.booleans(),
    st.lists(_segments, min_size=1, max_size=3),
    st.booleans(),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git, the judge, is not installed")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.lists(_patterns, max_size=4), nested=st.lists(_patterns, max_size=3))
def test_git_excludes_the_same(tmp_path: Path, top: list[str], nested: list[str]) -> None:
    """Whatever the patterns in a folder and a subfolder, the files that remain are those that git would add."""
    folder = tmp_path / "repository"
    if not folder.exists():
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        for directory in ("a/a", "a/b", "b/ab", "ab/b"):
            (folder / directory).mkdir(parents=True)
            for name in ("a", "b", "ab", "ba"):
                if not (folder / directory / name).is_dir():
                    (folder / directory / name).touch()
        for name in ("ba", "bb", "c"):
            (folder / name).touch()
            (folder / "a" / name).touch()
    (folder / ".gitignore").write_text("\n".join(top))
    (folder / "a/.gitignore").write_text("\n".join(nested))
    command = ["git", "-C", str(folder), "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"]
    expected = set(subprocess.run(command, check=True, capture_output=True).stdout.split(b"\0")) - {b""}
    assert _remaining(folder) == expected


def _remaining(folder: Path) -> set[bytes]:
    remaining: set[bytes] = set()
    rules = {b"": IgnoreRules([]).below(b"", (folder / ".gitignore").read_bytes())}
    for path, directories, names in os.walk(os.fsencode(folder)):
        relative = os.path.relpath(path, os.fsencode(folder)).removeprefix(b".")
        here = rules[relative]
        if relative == b"a":
            here = here.below(b"a", (folder / "a/.gitignore").read_bytes())
        inside = [name for name in directories if name != b".git"]
        directories[:] = [name for name in inside if not here.excludes(os.path.join(relative, name), True)]
        for name in directories:
            rules[os.path.join(relative, name)] = here
        remaining |= {os.path.join(relative, n) for n in names if not here.excludes(os.path.join(relative, n), False)}
    return remaining
