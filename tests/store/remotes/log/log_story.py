"""A log in which every operation, and every reason to be void, stands: the source of the vectors.

``python -m store.remotes.log.log_story`` writes the vectors that do not exist yet.  Those that exist are kept for ever.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from artstore.ids import content_id
from artstore.remotes.log.checkpoints import encode_state
from artstore.remotes.log.entries import Entry, Transaction, encode_entry
from artstore.remotes.log.fields import Span
from artstore.remotes.log.fold import Folded, fold
from artstore.remotes.log.operations import (
    BASE,
    INCLUDED,
    LINKED,
    LOGGED,
    ORPHANS_DEPENDANTS,
    RELEASES_ALIASES,
    USED,
    Alias,
    Commit,
    Condemn,
    Delete,
    Edge,
    Extension,
    Hold,
    Meta,
    Moved,
    Opaque,
    Operation,
    Place,
    Rename,
    Rules,
    Run,
    Source,
    Stage,
    Ttl,
    Undelete,
    Upgrade,
)
from artstore.remotes.log.state import State
from artstore.remotes.log.voids import Reason, Void

__all__ = ["CORPUS", "UUID", "Writer", "commit", "make_id", "make_span", "resealed", "told_story"]

CORPUS: Final = Path(__file__).parents[3] / "corpora" / "remote-log" / "log.json"
UUID: Final = content_id(b"remote")[:16]
_SECOND: Final = 10**9
_START: Final = 1_800_000_000 * _SECOND


def make_id(name: object) -> bytes:
    """Return an id that stands for a name."""
    return content_id(repr(name).encode())[:16]


def make_span(name: object, length: int = 100, offset: int = 0) -> Span:
    """Return a span that stands for a name."""
    return Span(make_id(("pack", name)), offset, length, content_id(repr(name).encode()))


def commit(artifact: str, number: int, version: object, /, **values: Any) -> Commit:
    """Return a commit of a version whose uuid stands for ``version``."""
    given: dict[str, Any] = {
        "artifact": make_id(artifact),
        "name": artifact,
        "type": "dataset",
        "next": number,
        "number": number,
        "version": make_id(version),
        "digest": content_id(repr(version).encode()),
        "root": make_span(("root", version), 4096),
        "entries": 12,
        "files": 10,
        "bytes": 1 << 40,
        "created_ns": _START,
        "mtime_ns": -1,
        "mode": 0o755,
        "record": make_span(("record", version)),
        "manifest": make_span(("manifest", version)),
    }
    return Commit(**given | values)


def resealed(data: bytes) -> bytes:
    """Return changed bytes of an entry with the right length and checksum, if they are long enough."""
    if len(data) < 56:
        return data
    head, body = data[:12], data[16:-8]
    data = head + (len(body) - 32).to_bytes(4, "little") + body
    return data + xxh3_64_intdigest(data).to_bytes(8, "little")


class Writer:
    """A log in memory: appends entries that follow one another, and folds them."""

    def __init__(self, uuid: bytes = UUID) -> None:
        self.state = State(uuid)
        self.entries: list[bytes] = []
        self.folded: list[Folded] = []

    def entry(self, *transactions: Transaction, **values: Any) -> Entry:
        """Return the next entry of these transactions."""
        number = self.state.number + 1
        given: dict[str, Any] = {
            "before": self.state.last,
            "id": make_id(("entry", number)),
            "machine": make_id("machine"),
            "by": "ada@lab",
            "at_ns": _START + number * _SECOND,
            "writer": 1,
            "digest": self.state.digest,
        }
        return Entry(transactions=transactions, **given | values)

    def put(self, data: bytes) -> Folded:
        """Append bytes."""
        folded = fold(self.state, data)
        self.entries.append(data)
        self.folded.append(folded)
        return folded

    def transactions(self, *transactions: Transaction, **values: Any) -> tuple[Void | None, ...]:
        """Append an entry of transactions; return the verdicts."""
        return self.put(encode_entry(self.entry(*transactions, **values))).verdicts

    def do(self, *operations: Operation, **values: Any) -> Reason | None:
        """Append an entry of one transaction; return why it is void, None if it is not."""
        (verdict,) = self.transactions(self.state.transaction(*operations), **values)
        return None if verdict is None else verdict.reason


def told_story(*, with_upgrade: bool = True) -> Writer:
    """Return a log of all operations; each step asserts its verdict.  After the upgrade this release cannot write."""
    writer = Writer()
    for part in (_names, _deletions, _records, _collections, _forms, _many):
        part(writer)
    if not with_upgrade:
        return writer
    _upgrade(writer)
    reasons = {verdict.reason for folded in writer.folded for verdict in folded.verdicts if verdict is not None}
    assert reasons == set(Reason), set(Reason) - reasons
    return writer


def _names(writer: Writer) -> None:
    do = writer.do
    digits, letters = make_id("digits"), make_id("letters")
    assert do(commit("digits", 0, "d0")) is None
    assert do(commit("digits", 3, "d3", next=1), Alias(digits, "best", None, 3), by="bob@hut") is None
    assert do(commit("digits", 3, "other")) is Reason.NUMBER
    assert do(commit("digits", 4, "d3")) is Reason.SAME_VERSION
    assert do(commit("digits", 0, "twin", artifact=letters)) is Reason.NAME_TAKEN
    for name in ("v1", "a/p3", "latest", "", "a//b", "a:b", ".a", "a\x00"):
        assert do(commit(name, 0, "odd", artifact=make_id("odd"))) is Reason.NAME_INVALID
    assert do(commit("team/letters", 0, "l0", artifact=letters, sources=(Source(BASE, make_id("d0")),))) is None
    assert do(Alias(digits, "best", None, 0)) is Reason.ALIAS_MOVED
    assert do(Alias(digits, "best", 3, 0)) is None
    assert do(Alias(digits, "p7", None, 0)) is Reason.NAME_INVALID
    assert do(Alias(digits, "best", 0, None)) is None
    assert do(Alias(digits, "best", 0, 3)) is Reason.ALIAS_MOVED
    assert do(Alias(digits, "zürich", None, 2)) is Reason.NO_VERSION
    assert do(Alias(make_id("none"), "x", None, 0)) is Reason.NO_ARTIFACT
    assert do(Rename(digits, "digits", "numbers")) is None
    assert do(Rename(digits, "digits", "figures")) is Reason.RENAMED
    assert do(Rename(letters, "team/letters", "numbers")) is Reason.NAME_TAKEN
    assert do(commit("ignored name", 4, "d4", artifact=digits)) is None
    # Several transactions, of which one is void.
    verdicts = writer.transactions(
        writer.state.transaction(commit("digits", 5, "d5", artifact=digits)),
        writer.state.transaction(commit("digits", 5, "d6", artifact=digits), Alias(digits, "never", None, 5)),
        writer.state.transaction(commit("digits", 6, "d6", artifact=digits), Alias(digits, "six", None, 6)),
    )
    assert [verdict and verdict.reason for verdict in verdicts] == [None, Reason.NUMBER, None]


def _deletions(writer: Writer) -> None:
    do = writer.do
    digits, letters = make_id("digits"), make_id("letters")

    def delete(artifact: bytes, number: int, flags: int = 0, revision: int | None = None) -> Reason | None:
        if revision is None:
            revision = writer.state.artifacts[artifact].revision
        return do(Delete(artifact, number, revision, _START + 86400 * _SECOND, flags, ""))

    assert delete(digits, 6) is Reason.HAS_ALIASES
    assert delete(digits, 6, revision=1) is Reason.REVISION
    assert delete(digits, 6, RELEASES_ALIASES) is None
    assert delete(digits, 6) is Reason.NOT_LIVE
    assert do(Alias(digits, "six", None, 6)) is Reason.NOT_LIVE
    assert do(Undelete(digits, 6), Alias(digits, "six", None, 6)) is None
    assert do(Undelete(digits, 6)) is Reason.NOT_DELETED
    linked = (Source(LINKED, make_id("d4")), Source(INCLUDED, make_id("d5")))
    assert do(commit("", 1, "l1", artifact=letters, sources=linked)) is None
    assert delete(digits, 4) is Reason.HAS_DEPENDANTS
    assert delete(digits, 5, ORPHANS_DEPENDANTS) is None
    assert do(commit("", 2, "l2", artifact=letters, sources=linked)) is Reason.SOURCE_GONE
    # A run that used a version and logged one of another artifact later.
    run = make_id("run")
    edges = (Edge(USED, make_id("d0"), 5), Edge(LOGGED, make_id("l1"), 6), Edge(LOGGED, make_id("unknown"), 7))
    assert do(Run(run, "project/run", 0, make_span("run"), edges)) is None
    assert do(Run(run, "project/run", 0, make_span("run 2"))) is Reason.CHANGED
    assert delete(digits, 0) is Reason.HAS_DEPENDANTS
    # A cascade is one transaction: the revision is that from before it.
    revision = writer.state.artifacts[letters].revision
    own = writer.state.artifacts[digits].revision
    cascade = (Delete(letters, 1, revision, 1, 0, "ttl"), Delete(letters, 0, revision, 1, 0, ""))
    assert do(*cascade, Delete(digits, 4, own, 1, 0, "ttl")) is None
    assert do(Undelete(letters, 0)) is None


def _records(writer: Writer) -> None:
    do = writer.do
    digits = make_id("digits")
    version = writer.state.versions[digits, 3]
    assert do(Meta(digits, 3, version.recorded.number, "", make_span("meta"))) is None
    assert do(Meta(digits, 3, version.recorded.number, "", None)) is Reason.CHANGED
    assert do(Meta(digits, None, 0, "model", make_span("description"))) is None
    assert do(Ttl(digits, 3, 0, _START)) is None
    assert do(Ttl(digits, 3, 0, 0)) is Reason.CHANGED
    assert do(Rules(0, b'[{"keep":3}]')) is None
    assert do(Rules(0, b"[]")) is Reason.CHANGED
    hold = make_id("hold")
    assert do(Hold(hold, digits, 4, _START, "training")) is None
    assert do(Hold(hold, digits, 3, _START, "")) is Reason.CHANGED
    assert do(Hold(make_id("ended"), digits, 3, 0, "")) is None
    assert do(Stage(make_id("stage"), make_span("staged"), _START)) is None
    assert do(Stage(make_id("stage 2"), make_span("staged"), _START)) is None
    assert do(Stage(make_id("stage 2"), make_span("staged"), 0)) is None


def _collections(writer: Writer) -> None:
    do, state = writer.do, writer.state
    digits = make_id("digits")
    listed = make_span("condemned", 50)
    gone = state.versions[digits, 5].place
    live = state.versions[digits, 3].place
    assert do(Condemn(listed, 2, 99, (live,))) is Reason.NOT_DELETED
    assert do(Condemn(listed, 2, 99, (Place(2, 1),))) is Reason.NO_VERSION
    assert do(Condemn(listed, 2, 99), Undelete(digits, 5)) is Reason.MIXED
    assert do(Moved(make_span("map"))) is Reason.NOT_UPGRADED
    stale = state.transaction(commit("", 7, "d7", artifact=digits))
    behind = Transaction(state.condemns, state.uses - 1, (Condemn(listed, 2, 99),))
    (verdict,) = writer.transactions(behind)
    assert verdict is not None and verdict.reason is Reason.USES and verdict.is_stale
    assert do(Condemn(listed, 2, 99, (gone,))) is None
    (verdict,) = writer.transactions(stale)
    assert verdict is not None and verdict.reason is Reason.CONDEMNS and verdict.is_stale
    assert do(Undelete(digits, 5)) is Reason.REAPED
    assert do(Hold(make_id("late"), digits, 5, 1, "")) is Reason.REAPED
    assert do(*stale.operations) is None


def _forms(writer: Writer) -> None:
    """Append what is void for ever, and what readers pass over."""
    digits = make_id("digits")
    whole = encode_entry(writer.entry(writer.state.transaction(Undelete(digits, 4))))
    for data in (b"", b"not an entry", bytes(70_000), whole[:-1], resealed(whole[:80] + b"\xff" + whole[81:])):
        assert writer.put(data).entry is None
    later = (Extension(128, b"x"), Extension(255, b""))
    ops = (Opaque(200, b"later"), Alias(digits, "a", None, 3, later))
    (verdict,) = writer.transactions(writer.state.transaction(*ops), extensions=later)
    assert verdict is None
    # The log's time never goes back.
    before = writer.state.time_ns
    assert writer.do(Alias(digits, "b", None, 3), at_ns=5) is None
    assert writer.state.time_ns == before


def _many(writer: Writer) -> None:
    digits = make_id("digits")
    while writer.state.number < 131:
        number = writer.state.artifacts[digits].next
        assert writer.do(commit("", number, number, artifact=digits)) is None


def _upgrade(writer: Writer) -> None:
    digits = make_id("digits")
    assert writer.do(Upgrade(2), writer=2) is None
    assert writer.do(Alias(digits, "old", None, 3)) is Reason.OLD_WRITER
    assert writer.do(Upgrade(1), writer=2) is Reason.CHANGED
    listed = make_span("condemned 2")
    assert writer.do(Condemn(listed, 1, 9), Moved(make_span("map")), writer=2) is None


def as_vectors(writer: Writer) -> dict[str, Any]:
    """Return a log as JSON values."""
    state = State(UUID)
    rows = []
    for data in writer.entries:
        folded = fold(state, data)
        row: dict[str, Any] = {"entry": data.hex() if any(data) or not data else f"{len(data)} zeros"}
        row["void"] = None if folded.entry is None else [each and int(each.reason) for each in folded.verdicts]
        if state.number % 64 == 0:
            row["digest"] = state.digest.hex()
        rows.append(row)
    return {"uuid": UUID.hex(), "log": rows, "state": encode_state(state).hex()}


if __name__ == "__main__":
    if CORPUS.exists():
        raise SystemExit(f"{CORPUS} exists: vectors are kept for ever")
    CORPUS.write_text(json.dumps(as_vectors(told_story()), indent=0) + "\n")
