"""The rot rig: flip bytes of packs, records, keys, the journal and LMDB's pages; cut and exchange files.

Each damage to a specimen must be *harmless* (everything reads as before, and `fsck --data` reports nothing, also after
50 further commits and after everything has been deleted), or be *found* by `fsck --data`, or opening must be *refused*
with one sentence.  In no case may a version return wrong bytes, or a process hang, crash, print a traceback or use
unbounded memory.  Python cannot control how LMDB handles a damaged page: a reader may crash there if `fsck`, which must
not crash, finds the damage.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from blake3 import blake3

from artstore import checking
from artstore.checking import lmdb_audit
from artstore.checking import lmdb_check as audit_pages
from artstore.errors import ArtfsError
from artstore.queries.versions import Version
from artstore.records.trees import Kind, TreeEntry
from artstore.rows import drafts, trees
from artstore.rows.snapshot import Snapshot
from artstore.storage import manifest, packs
from artstore.store import process_chunks
from artstore.workspace import Workspace
from corpora import folders
from corpora.folders import Entry
from crash import specimen
from crash.harms import (
    Harm,
    exchanges,
    file_cuts,
    file_flips,
    key_flips,
    page_flips,
    sampled,
    value_flips,
)
from crash.isolation import Answer, Forked, answers
from crash.places import quick_folder
from crash.specimen import Specimen
from crash.states import forget, opened

COMMITS: Final = 50
FOUND, HARMLESS, REFUSED = "found", "harmless", "refused"
DAMAGED: Final = "damaged"
Seen = dict[tuple[int, Kind, int], Entry | str]
"""What was read of content already, by node, kind and size."""
_PATIENCE: Final = 30
_TOGETHER: Final = 50


@dataclass
class Tally:
    """The outcomes of one campaign's harms; ``faults`` are those that broke a promise."""

    verdicts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    found_by: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        named = ", ".join(f"{self.verdicts[verdict]} {verdict}" for verdict in (HARMLESS, FOUND, REFUSED))
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.found_by.most_common())
        return f"{self.verdicts.total()} tried: {named}, {len(self.faults)} faults (found by: {kinds})"


# -- outcomes --------------------------------------------------------------------------------------------------------


def without_checksums() -> None:
    """Skip the check of stored bytes."""
    packs.verify_blocks = packs.verify_stored = lambda *_: None


def without_seals() -> None:
    """Skip the check of records."""
    manifest.unseal = lambda table, key, value: value[:-4]
    manifest.unseal_numbered = lambda table, number, value: value[:-4]


def without_seals_of_drafts() -> None:
    """Skip the check of the references that drafts hold."""
    drafts.held_node = lambda key, value: int.from_bytes(key[8:], "big")


def without_audit() -> None:
    """Restrict fsck to LMDB's tables, without its pages."""
    checking.check_pages = lambda *arguments, **options: True


def with_forked_audit() -> None:
    """Run the audit in a fork instead of a new interpreter, because there are thousands of audits."""
    stand_in = SimpleNamespace(Popen=partial(Forked, lmdb_audit.main), DEVNULL=None, PIPE=None)
    audit_pages.subprocess = stand_in  # type: ignore[assignment]


CHANGES: dict[str, Callable[[], None]] = {
    "no-checksums": without_checksums,
    "no-seals": without_seals,
    "no-seals-of-drafts": without_seals_of_drafts,
    "no-audit": without_audit,
    "forked-audit": with_forked_audit,
}
"""What is changed in a judge's process: faults that the rig must notice, and one that only saves time."""


def _sentence(error: BaseException) -> str:
    """Return the faults of an error as an answer: none if it is one clear sentence of artfs."""
    if isinstance(error, ArtfsError) and error.message and "\n" not in error.message:
        return ""
    return f"an error that is none of ours: {type(error).__name__}: {error}"


def read_version(
    version: Version, seen: Seen, attributes: dict[bytes, tuple[int, int]] | None = None
) -> tuple[dict[bytes, Entry | str], str]:
    """Return the content read at each path of a version, DAMAGED for an error, and how the walk ended.

    ``attributes`` gets the time and the mode of each path.
    """
    found: dict[bytes, Entry | str] = {}
    try:
        with version._store.snapshot() as view:
            for path, entry in trees.walk(view.tree, version.record.root):
                what = (entry.node, entry.kind, entry.size)
                if what not in seen:
                    seen[what] = _read(view, entry)
                found[path] = seen[what]
                if attributes is not None:
                    attributes[path] = entry.mtime_ns, entry.mode
    except ArtfsError as error:
        return found, error.message
    return found, ""


def _read(view: Snapshot, entry: TreeEntry) -> Entry | str:
    if entry.kind == Kind.DIRECTORY:
        return folders.DIRECTORY
    try:
        data = view.read(entry.node, 0, (1 << 20) if entry.kind == Kind.REFERENCE else entry.size + 1)
    except ArtfsError:
        return DAMAGED
    if entry.kind == Kind.LINK:
        return Entry("link", size=entry.size, text=data)
    if entry.kind == Kind.REFERENCE:
        return Entry("reference", size=entry.size, id=blake3(data).hexdigest())
    return Entry("file", entry.kind == Kind.EXECUTABLE, len(data), blake3(data).hexdigest())


def look_at(patient: Specimen, path: Path) -> tuple[list[str], bool]:
    """Read everything that a workspace should hold; return (faults, whether all of it is present and unchanged)."""
    process_chunks.after_fork()  # content read before the harm
    wrong, whole, seen = [], True, Seen()
    try:
        with opened(path) as workspace:
            for name, expected in patient.versions.items():
                attributes: dict[bytes, tuple[int, int]] = {}
                try:
                    found, ended = read_version(workspace.version(name), seen, attributes)
                except ArtfsError:
                    whole = False
                    continue
                other = [where for where, entry in found.items() if entry not in (DAMAGED, expected.get(where))]
                wrong += [f"{name} holds something else at {where!r}" for where in other[:3]]
                others = attributes.items() - patient.facts["attributes"][name].items()
                wrong += [f"{name} shows another time or mode at {where!r}" for where, _ in list(others)[:1]]
                if not ended and found.keys() != expected.keys():
                    wrong.append(f"{name} lists other names")
                whole &= not ended and found == expected
            if whole and specimen.facts_of(workspace) != patient.facts:
                whole = False
    except Exception as error:
        whole = False
        if said := _sentence(error):
            wrong.append(f"reading: {said}")
    return wrong, whole


def check(path: Path) -> tuple[str, list[str], list[str]]:
    """Run `fsck --data`; return (verdict, kinds of problems, faults), the verdict "" if nothing is found."""
    try:
        report = checking.check(path, data=True)
    except Exception as error:
        said = _sentence(error)
        return REFUSED, [], [f"fsck: {said}"] if said else []
    finally:
        with suppress(ArtfsError):
            forget(path)
    return "" if report.clean else FOUND, sorted({problem.kind for problem in report.problems}), []


def commit_further(workspace: Workspace, source: Path) -> None:
    """Commit `COMMITS` times: put, alias, tag, delete, reap."""
    with workspace.store.snapshot() as view:
        end = view.number + COMMITS
    turn = 0
    while True:
        with workspace.store.snapshot() as view:
            if view.number >= end:
                return
        source.write_bytes(b"further %d\n" % turn * 300)
        version = workspace.put(source, "further/commits")
        workspace.aliases.set(version.name, "tip")
        workspace.tags.add(version.name, f"turn-{turn}")
        if turn % 2:
            workspace.delete(f"further/commits:v{turn - 1}", now=True)
        turn += 1


def still_sound(patient: Specimen, path: Path) -> list[str]:
    """Commit further and check again; return the faults."""
    source = path.with_name(path.name + "-further")
    try:
        with opened(path) as workspace:
            commit_further(workspace, source)
            workspace.gc(now=True)
    except Exception as error:
        return [f"after a clean fsck a commit fails: {type(error).__name__}: {error}"]
    wrong = _kept(patient, path)
    for when, action in ((f"after {COMMITS} commits", None), ("after everything was deleted", _let_go)):
        try:
            if action is not None:
                action(path)
        except Exception as error:
            return [*wrong, f"after a clean fsck a deletion fails: {type(error).__name__}: {error}"]
        verdict, kinds, faults = check(path)
        wrong += [*faults, *([f"{when} fsck says {verdict}: {kinds}"] if verdict else [])]
    return wrong


def _let_go(path: Path) -> None:
    """Delete all versions and reap them, which reads and changes nearly every row."""
    with opened(path) as workspace:
        workspace.delete(*(f"{item.name}:*" for item in workspace.artifacts()), force=True, now=True, local=True)
        workspace.gc(now=True)
        left = workspace.usage()
        if left.stored_bytes or left.deadlist_entries:
            raise AssertionError(f"{left.stored_bytes} bytes and {left.deadlist_entries} entries are left")


def _kept(patient: Specimen, path: Path) -> list[str]:
    seen = Seen()
    with opened(path) as workspace:
        return [
            f"after {COMMITS} commits {name} is not what it was"
            for name, expected in patient.versions.items()
            if read_version(workspace.version(name), seen) != (expected, "")
        ]


def _readable(patient: Specimen, path: Path) -> set[tuple[str, bytes]]:
    """Return (version, path) of all that reads correctly."""
    right: set[tuple[str, bytes]] = set()
    seen = Seen()
    with suppress(ArtfsError), opened(path) as workspace:
        for name, expected in patient.versions.items():
            with suppress(ArtfsError):
                found, _ = read_version(workspace.version(name), seen)
                right.update((name, where) for where, entry in found.items() if entry == expected.get(where))
    return right


def live_on(patient: Specimen, path: Path) -> list[str]:
    """Use a harmed workspace without checking it: put existing content again, delete it, reap; return the faults.

    Each step may fail in one sentence, but all content that was readable before must be readable afterwards.
    """
    before = _readable(patient, path)
    source = patient.path.with_name("source")
    actions: list[Callable[[Workspace], object]] = [
        lambda workspace: workspace.put(source / "deep", "once/more"),
        lambda workspace: workspace.put(source / "list", "again"),
        lambda workspace: workspace.gc(now=True),
        lambda workspace: workspace.delete("once/more:v0", now=True),
        lambda workspace: workspace.delete("again:v0", now=True),
        lambda workspace: workspace.gc(now=True, compact=True),
    ]
    wrong = []
    for action in actions:
        try:
            with opened(path) as workspace:
                action(workspace)
        except Exception as error:
            wrong += [f"going on: {said}" for said in [_sentence(error)] if said]
    process_chunks.after_fork()
    lost = sorted(before - _readable(patient, path))
    return [*wrong, *(f"going on has lost {name}/{where!r}" for name, where in lost[:2])]


class Judge:
    """Do harms to a copy of the specimen, in a child of the rig, and return the outcome of each."""

    def __init__(self, patient: Specimen, folder: Path, changes: Sequence[str]) -> None:
        self._patient = patient
        self._path = folder / "patient"
        self._changes = list(changes)
        self._spoilt = True

    def __call__(self, harm: Harm, *, further: bool = True) -> dict[str, Any]:
        """Return the verdict, the kinds of problems, and the faults; ``further``: commit if no fault is found."""
        self._prepare(harm)
        verdict, kinds, faults = check(self._path)
        wrong, whole = look_at(self._patient, self._path)
        faults += wrong
        if not verdict:
            verdict = HARMLESS
            if not whole:
                faults.append("fsck finds nothing, and not all is as it was")
            elif further and not faults:
                faults, self._spoilt = still_sound(self._patient, self._path), True
        self._mend(harm)
        return {"verdict": verdict, "kinds": kinds, "faults": faults}

    def at_once(self, harm: Harm) -> dict[str, Any]:
        """Judge without further commits."""
        return self(harm, further=False)

    def fsck(self, harm: Harm) -> dict[str, Any]:
        """Only run fsck, which must not die."""
        self._prepare(harm)
        verdict, kinds, faults = check(self._path)
        self._mend(harm)
        return {"verdict": verdict or HARMLESS, "kinds": kinds, "faults": faults}

    def unaware(self, harm: Harm) -> dict[str, Any]:
        """Continue without running fsck."""
        self._prepare(harm)
        faults, self._spoilt = live_on(self._patient, self._path), True
        self._mend(harm)
        return {"verdict": HARMLESS, "kinds": [], "faults": faults}

    def read(self, harm: Harm) -> dict[str, Any]:
        """Only read."""
        self._prepare(harm)
        faults, _ = look_at(self._patient, self._path)
        self._mend(harm)
        return {"faults": faults}

    def _prepare(self, harm: Harm) -> None:
        while self._changes:
            CHANGES[self._changes.pop()]()
        if self._spoilt:
            self._patient.copy(self._path)
            self._spoilt = False
        harm.do(self._path)

    def _mend(self, harm: Harm) -> None:
        with suppress(ArtfsError):
            forget(self._path)
        if not self._spoilt:
            shutil.copyfile(self._patient.path / harm.file, self._path / harm.file)


def campaign(patient: Specimen, folder: Path, harms: Sequence[Harm], *, changes: Sequence[str] = ()) -> Tally:
    """Do each of many harms to data that only Python reads, and return the outcomes.

    LMDB's pages are as LMDB wrote them, so their audit is left out.  Harms that are harmless one by one must be
    harmless together, after further commits too.
    """
    tally, passed = Tally(), []
    judge = Judge(patient, folder, ["no-audit", *changes])
    for harm, answer in answers(judge.at_once, harms, each=200, seconds=_PATIENCE):
        _take(tally, harm, answer)
        if not answer.died and answer.value["verdict"] == HARMLESS:
            passed.append(harm)
    together = [_together(passed[start : start + _TOGETHER]) for start in range(0, len(passed), _TOGETHER)]
    for harm, answer in answers(judge, together, each=20, seconds=_PATIENCE):
        if answer.died or answer.value["faults"]:
            tally.faults.append(f"{harm.where}: {answer.died or answer.value['faults']}")
    return tally


def _together(harms: Sequence[Harm]) -> Harm:
    """Combine harms to one file, each of which was harmless, into one."""

    def do(path: Path) -> None:
        for harm in harms:
            harm.do(path)

    return Harm(f"all of {[harm.where for harm in harms]}", harms[0].file, do)


def unaware_campaign(patient: Specimen, folder: Path, harms: Sequence[Harm], *, changes: Sequence[str] = ()) -> Tally:
    """Do harms to records, and continue without fsck: no readable content may be lost."""
    tally = Tally()
    for harm, answer in answers(Judge(patient, folder, changes).unaware, harms, each=50, seconds=_PATIENCE):
        _take(tally, harm, answer)
    return tally


def page_campaign(
    patient: Specimen, folder: Path, harms: Sequence[Harm], *, changes: Sequence[str] = ("forked-audit",)
) -> Tally:
    """Do harms to LMDB's file: fsck must survive and find them; a reader may then die, but not read wrong bytes.

    Harms that fsck does not find are harmless, now and after further commits.
    """
    tally, passed, struck = Tally(), [], []
    judge = Judge(patient, folder, changes)
    for harm, answer in answers(judge.fsck, harms, each=20, seconds=_PATIENCE):
        if not answer.died and not answer.value["faults"] and answer.value["verdict"] == HARMLESS:
            passed.append(harm)
            continue
        _take(tally, harm, answer)
        struck.append(harm)
    for harm, answer in answers(judge.read, struck, each=20, seconds=_PATIENCE):
        if "without end" in answer.died or "hangs" in answer.died:
            tally.faults.append(f"{harm.where}: reading {answer.died}")
        elif not answer.died:
            tally.faults += [f"{harm.where}: {fault}" for fault in answer.value["faults"]]
    for harm, answer in answers(judge, passed, each=20, seconds=_PATIENCE):
        _take(tally, harm, answer)
    return tally


def _take(tally: Tally, harm: Harm, answer: Answer) -> None:
    if answer.died or not isinstance(answer.value, dict):
        tally.verdicts["dead"] += 1
        tally.faults.append(f"{harm.where}: the process {answer.died or answer.value}")
        return
    tally.verdicts["broken" if answer.value["faults"] else answer.value["verdict"]] += 1
    tally.found_by.update(answer.value["kinds"])
    tally.faults += [f"{harm.where}: {fault}" for fault in answer.value["faults"]]


# -- the long mode ---------------------------------------------------------------------------------------------------


def campaigns(patient: Specimen, other: Specimen, count: int) -> dict[str, list[Harm]]:
    """Return all harms of the long mode by campaign; ``count`` is how many bytes of LMDB's file are flipped."""
    names = [f"packs/{path.name}" for path in sorted((patient.path / "packs").iterdir())]
    journal = "journal/catalogue.journal"
    return {
        "pack bytes flipped": [harm for name in names for harm in file_flips(patient, name)],
        "packs cut": [harm for name in names for harm in file_cuts(patient, name)],
        "values flipped": value_flips(patient),
        "keys flipped": key_flips(patient),
        "journal flipped": file_flips(patient, journal),
        "journal cut": file_cuts(patient, journal),
        "files exchanged": exchanges(patient, other),
        "LMDB pages flipped": page_flips(patient, count),
        "keys flipped, and no fsck": key_flips(patient),
    }


RUNS: Final[dict[str, Callable[[Specimen, Path, Sequence[Harm]], Tally]]] = {
    "LMDB pages flipped": page_campaign,
    "keys flipped, and no fsck": unaware_campaign,
}


def main() -> None:
    """Run every campaign in full, or a share of it; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/soak rot", description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="share of the damages to test [1]")
    parser.add_argument("--pages", type=int, default=2000, help="number of bytes to flip in the LMDB file [2000]")
    parser.add_argument("--only", help="run only campaigns whose name contains this text")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="working folder, if memory is not used"
    )
    given = parser.parse_args()
    from benchmarks.commands import measured_on

    print("soak rot: " + ", ".join(f"{key} {value}" for key, value in measured_on().items()), flush=True)
    broken = False
    with quick_folder(given.directory) as folder, specimen.small_reserve():
        (folder / "other").mkdir()
        patient, other = specimen.make(folder), specimen.make(folder / "other")
        for name, harms in campaigns(patient, other, given.pages).items():
            if given.only and given.only not in name:
                continue
            start = time.monotonic()
            run = RUNS.get(name, campaign)
            tally = run(patient, folder, harms if run is page_campaign else sampled(harms, given.share))
            broken |= bool(tally.faults)
            print(f"{name}: {tally} ({time.monotonic() - start:.0f} s)", *tally.faults, sep="\n  ", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    main()
