"""The report of a check: problems, each one sentence, and the amounts that were checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["MOST_OF_A_KIND", "OnProgress", "Problem", "Progress", "Report", "message_of"]

MOST_OF_A_KIND: Final = 1000
"""Problems of one kind that a report lists; it counts the others."""


class Progress(NamedTuple):
    """How far a check is: ``phase`` is files, pages, records or data; ``done`` of ``total``, in bytes for data."""

    phase: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``kind`` is a stable word: ``file`` (missing, cut short, or not what it should be), ``pages`` (LMDB's own),
    ``record`` (does not read), ``reference`` (to nothing), ``lost`` (content set aside, until it is put again),
    ``count``, ``index``, ``extent``, ``orphan``, ``counter``, ``catalogue``, ``deadlist``, ``journal``, ``chunk``
    (content that fails its checks), ``packed`` (what only a rebuild reads), ``unchecked`` (could not be looked at).

    ``chunk`` is the id (hex) of the content or record that is damaged, ``node`` its number (0 where it is none).
    ``versions`` are those that it touches, as ``NAME:vN``; ``files`` their paths, as ``NAME:vN/path``, each path of an
    artifact once, with the newest version that has it; a path that ends in a slash is a directory that cannot be read.
    """

    kind: str
    message: str
    chunk: str | None = None
    files: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    node: int = 0


@dataclass
class Report:
    """The findings of a check.

    ``notes`` are no damage: leftovers that the next gc removes, files that do not belong there.  ``counted`` has the
    checked amounts by unit (``nodes``, ``versions``, ``packs``, ``pages``, ``chunks``, ``data_bytes``, ...).
    ``omitted`` counts, by kind, the problems beyond `MOST_OF_A_KIND`.  ``repaired`` lists the repairs.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    omitted: Counter[str] = field(default_factory=Counter)
    repaired: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Report {len(self.problems)} problems, {len(self.notes)} notes, {len(self.repaired)} repairs>"

    _kinds: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(
        self,
        kind: str,
        message: str,
        *,
        chunk: str | None = None,
        files: Sequence[str] = (),
        versions: Sequence[str] = (),
        node: int = 0,
    ) -> None:
        """Add a problem, given by its fields."""
        self.take(Problem(kind, message, chunk, list(files), list(versions), node))

    def take(self, problem: Problem) -> None:
        """Add a problem; past `MOST_OF_A_KIND` it is only counted."""
        self._kinds[problem.kind] += 1
        if self._kinds[problem.kind] > MOST_OF_A_KIND:
            self.omitted[problem.kind] += 1
        else:
            self.problems.append(problem)

    def note(self, sentence: str) -> None:
        """Add a note, which is no damage."""
        if len(self.notes) < MOST_OF_A_KIND:
            self.notes.append(sentence)
        else:
            self.omitted["note"] += 1

    def merge(self, other: Report) -> None:
        """Add the contents of another report."""
        for problem in other.problems:
            self.take(problem)
        for sentence in other.notes:
            self.note(sentence)
        self.omitted.update(other.omitted)
        self.count(**other.counted)

    def count(self, **amounts: int) -> None:
        """Add to the checked amounts."""
        for name, amount in amounts.items():
            self.counted[name] = self.counted.get(name, 0) + amount

    @contextmanager
    def guard(self, kind: str, what: str) -> Iterator[None]:
        """Turn whatever a damaged record makes the block raise into a problem: a check reports, it never crashes."""
        try:
            yield
        except Exception as error:
            self.add(kind, f"{what}: {message_of(error)}")


def reason_of(error: Exception) -> str:
    """Return why a system call failed, without the path, or the message of another exception."""
    return getattr(error, "strerror", None) or message_of(error)


def message_of(error: Exception) -> str:
    """Return an exception as a part of a sentence."""
    text = str(error)
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}".rstrip()
