"""A workspace under random use, beside a model of it: names that lead to content, and what waits to be reaped.

Every rule does one thing that a user or another process may do (put, lay a folder over a base, hold a draft, open one
and change it, set aliases and ends, apply rules, delete, undelete, gc, compact, open, close) or that may happen (a
reader on an old snapshot, a manifest opened again, a process that dies in the middle).  After each the workspace
must read as the model says, and a recount of every record and byte must confirm it.  At the end everything is let go,
and exactly the living remain.

Run long by ``scripts/soak states``.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from artstore import creating
from artstore.changes import recording
from artstore.changes.committing import Commit, commit
from artstore.drafting import editing
from artstore.errors import ExistsError, NotFoundError, RefusedError
from artstore.ingest import content_cuts, staging
from artstore.ingest.batch import Ref
from artstore.ingest.staging import Stager
from artstore.reclaim import reaper
from artstore.retention.applying import apply, plan
from artstore.rows.nodes import node_extent
from artstore.storage.environment import Environment
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import Records, contradictions
from store.deletion_model import (
    CONTENTS,
    PICTURES,
    Expected,
    Key,
    Opened,
    label,
    model_of_tree,
    parts,
    stage,
    tree_of,
)
from store.dying import Death, dying_at
from store.oracle import Model, leftovers, marked, model_of, problems, usage_contradictions, write_folder


@contextmanager
def small_steps(folder: Path) -> Iterator[None]:
    """Let records split, batches fill and steps end at a few items, so that small content goes every way."""
    with (
        mock.patch.object(content_cuts, "FANOUT", 4),
        mock.patch.object(editing, "FANOUT", 4),
        mock.patch.object(staging, "BATCH_NODES", 6),
        mock.patch.object(reaper, "STEP_NODES", 5),
        mock.patch.object(reaper, "_ASK_AGAIN_SECONDS", 0.0),
        mock.patch.object(creating, "RESERVE", 4096),
        mock.patch.object(tempfile, "tempdir", str(folder)),
    ):
        yield


@dataclass
class Held:
    """A file that is open, with what it must read and whose it is."""

    file: BufferedReader
    data: bytes
    of: Key


NAMES = ("x", "team/y")
ALIASES = ("best", "prod")
PICK = st.integers(0, 11)
EACH_VERSION = 8
"""Every so many checks the bytes of each version are recounted too, and at the end of an example."""


class Deletion(RuleBasedStateMachine):
    """The machine; one workspace for each example, in ``folder``."""

    folder: Path = Path("/dev/shm")

    def __init__(self) -> None:
        super().__init__()
        self._patches = small_steps(self.folder)
        self._patches.__enter__()
        self.home = Path(tempfile.mkdtemp(prefix="states-", dir=self.folder))
        self.ws = Workspace(creating.create_workspace(self.home / "ws"))
        self.expected = Expected()
        self.drafts: list[tuple[Stager, Ref, str, Model]] = []
        self.open: list[Held] = []
        self.due = False
        self._checked = -1
        self._checks = 0

    # -- what the rules share ----------------------------------------------------------------------------------------

    def _living(self, pick: int) -> Key:
        keys = sorted(self.expected.living)
        return keys[pick % len(keys)]

    def _put(self, name: str, picture: tuple[int, int, int, int], runs: Sequence[int] = ()) -> None:
        stager = Stager(self.ws.store, name, "states")
        try:
            self._commit(stager, stage(stager, tree_of(picture)), name, runs)
        finally:
            stager.close()

    def _commit(self, stager: Stager, root: Ref, name: str, runs: Sequence[int] = ()) -> bool:
        asked = Commit(name, runs=runs)
        return stager.commit(
            root,
            lambda transaction, root, added: commit(
                self.ws.store, transaction, root, asked, stager.stored_bytes + added
            ),
        ).created

    def _holders(self) -> set[Key]:
        return {held.of for held in self.open}

    def _reaped(self, *, now: bool = True) -> None:
        """Note that all that waited has gone, or what was due of it, but for what is open."""
        self.expected.waiting = {
            key: kept for key, kept in self.expected.waiting.items() if key in self._holders() or not (now or kept[2])
        }

    # -- putting -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), picture=PICTURES)
    def put(self, name: str, picture: tuple[int, int, int, int]) -> None:
        """Make a version, if it differs from the latest."""
        self._put(name, picture)
        self.expected.put(name, model_of_tree(tree_of(picture)))

    @precondition(lambda self: self.expected.living)
    @rule(
        pick=PICK,
        name=st.sampled_from(NAMES),
        file=st.sampled_from(range(len(CONTENTS))),
        when=st.sampled_from((0, 1, 2)),
        then=st.sampled_from(("nothing", "delete", "delete and reap", "reap")),
    )
    def lay_over(self, pick: int, name: str, file: int, when: int, then: str) -> None:
        """Lay a folder over a version, which is deleted, and perhaps reaped, while the put is on its way."""
        base = self._living(pick)
        over: Model = {b"a": ("file", CONTENTS[file]), b"over": ("file", b"tiny")}
        wanted = {**self.expected.living[base], **over}
        folder = write_folder(self.home / "over", over)
        calls = 0

        def meanwhile(_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == when + 1:
                if "delete" in then:
                    self.ws.delete(label(base), force=True, cascade="orphan")
                    self.expected.delete([base], due=self.due)
                if "reap" in then:
                    self.ws.gc(now=True)
                    self._reaped()

        try:
            self.ws.put(folder, name, base=label(base), progress=meanwhile)
        except NotFoundError:
            # Where the base is gone before the put has taken hold of it.
            assert then == "delete and reap" and base not in self.expected.waiting
        else:
            self.expected.put(name, wanted)
        finally:
            shutil.rmtree(folder)

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, to=st.sampled_from(("x2", "team/y2", "deep/er/y2")))
    def rename(self, pick: int, to: str) -> None:
        """Let an artifact have another name, which nothing had."""
        name = self._living(pick)[0]
        if to in self.expected.next:
            with pytest.raises(ExistsError):
                self.ws.rename(name, to)
            return
        self.ws.rename(name, to)
        self.expected.rename(name, to)
        for held in self.open:
            held.of = (to, held.of[1]) if held.of[0] == name else held.of

    # -- lineage -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, name=st.sampled_from(NAMES), picture=PICTURES, logs=st.booleans())
    def work(self, pick: int, name: str, picture: tuple[int, int, int, int], logs: bool) -> None:
        """Be a run that uses a version and makes another."""
        used = self._living(pick)
        record, lease = recording.start_run(self.ws.store, "states", "")
        recording.record_use(self.ws.store, record.number, self.ws.version(label(used)).record, "it")
        if logs:
            recording.log_rows(self.ws.store, record.number, [{"pick": pick}], {"pick": pick})
        self._put(name, picture, runs=(record.number,))
        recording.change_run(self.ws.store, record.number, state="finished")
        lease.close()
        self.expected.put(name, model_of_tree(tree_of(picture)))
        if name != used[0]:
            self.expected.made.add((used, self.expected.latest(name)))

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def link(self, pick: int, name: str) -> None:
        """Show a version as the next one of another artifact."""
        shown = self._living(pick)
        if shown[0] == name:
            return
        described = self.ws.metadata.of(label(shown))
        differs = any(owner == name for owner, _ in self.expected.living) and self.ws.metadata.of(name) != described
        link = self.ws.link(label(shown), name)
        created = self.expected.put(name, dict(self.expected.living[shown]), differs=differs)
        assert link.receipt is not None and link.receipt.created == created
        if created:
            self.expected.made.add((shown, self.expected.latest(name)))
            if "note" in described:
                self.expected.notes[self.expected.latest(name)] = described["note"]

    @precondition(lambda self: len(self.drafts) < 2)
    @rule(name=st.sampled_from(NAMES), picture=PICTURES)
    def begin_draft(self, name: str, picture: tuple[int, int, int, int]) -> None:
        """Stage a version and wait."""
        stager = Stager(self.ws.store, name, "states")
        tree = tree_of(picture)
        self.drafts.append((stager, stage(stager, tree), name, model_of_tree(tree)))

    @precondition(lambda self: self.drafts)
    @rule(commits=st.booleans())
    def end_draft(self, commits: bool) -> None:
        """Make a version of what was staged, or be interrupted."""
        stager, root, name, model = self.drafts.pop(0)
        try:
            if commits:
                assert self._commit(stager, root, name) == self.expected.put(name, model)
        finally:
            stager.close()

    # -- open drafts -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.expected.opened) < 2)
    @rule(name=st.sampled_from(NAMES), pick=PICK, empty=st.booleans())
    def open_draft(self, name: str, pick: int, empty: bool) -> None:
        """Open a draft, empty or as a version of any artifact."""
        base = None if empty or not self.expected.living else self._living(pick)
        opened = self.ws.drafts.new(name, base=None if base is None else label(base))
        model = {} if base is None else dict(self.expected.living[base])
        self.expected.opened[opened.id] = Opened(name, base, model)

    @precondition(lambda self: self.expected.opened)
    @rule(pick=PICK, file=st.sampled_from(range(len(CONTENTS))), kind=st.sampled_from(("add", "remove", "move")))
    def step(self, pick: int, file: int, kind: str) -> None:
        """Change an open draft."""
        ident = sorted(self.expected.opened)[pick % len(self.expected.opened)]
        self._step(self.expected.opened[ident], ident, pick, file, kind)

    def _step(self, opened: Opened, ident: str, pick: int, file: int, kind: str) -> None:
        """Take a step in the model, then in the workspace."""
        draft = self.ws.drafts.get(ident)
        if kind == "add":
            files: Model = {b"c/new": ("file", CONTENTS[file]), b"over": ("file", CONTENTS[pick % len(CONTENTS)])}
            opened.add(files)
            folder = write_folder(self.home / "added", files)
            try:
                draft.add(folder, overwrite=True)
            finally:
                shutil.rmtree(folder)
        elif opened.model:
            path = sorted(opened.model)[pick % len(opened.model)]
            if kind == "remove":
                opened.remove(path)
                draft.remove(path)
            elif b"moved" not in opened.model:
                opened.move(path, b"moved")
                draft.move(path, b"moved")

    @precondition(lambda self: self.expected.opened)
    @rule(pick=PICK, picture=PICTURES, by=st.sampled_from(("one", "two")))
    def bring(self, pick: int, picture: tuple[int, int, int, int], by: str) -> None:
        """Bring a part for an open draft, as one of several programs that make a version."""
        ident = sorted(self.expected.opened)[pick % len(self.expected.opened)]
        opened = self.expected.opened[ident]
        stager = Stager(self.ws.store, opened.name, "states")
        try:
            root = stage(stager, tree_of(picture))
            stager.flush()
            self.ws.drafts.get(ident).merge(root.id, by, overwrite=True, fields={"metadata": {by: pick}})
        finally:
            stager.close()
        opened.model = {**opened.model, **model_of_tree(tree_of(picture))}

    @precondition(lambda self: self.expected.opened)
    @rule(pick=PICK, commits=st.booleans())
    def end_open_draft(self, pick: int, commits: bool) -> None:
        """Commit an open draft, or give it up."""
        ident = sorted(self.expected.opened)[pick % len(self.expected.opened)]
        if commits:
            version = self.ws.drafts.get(ident).commit()
            assert version.receipt is not None and version.receipt.created == self.expected.commit(ident)
        else:
            self.ws.drafts.get(ident).abort()
            del self.expected.opened[ident]

    # -- naming, deleting, bringing back ---------------------------------------------------------------------------

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, alias=st.sampled_from(ALIASES))
    def alias(self, pick: int, alias: str) -> None:
        """Let an alias name a version, wherever it was before."""
        key = self._living(pick)
        self.ws.aliases.set(label(key), alias)
        self.expected.aliases[key[0], alias] = key[1]

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, note=st.sampled_from((0, 1, 2)))
    def annotate(self, pick: int, note: int) -> None:
        """Change the metadata of a version, or (0) remove what was set."""
        self._annotate(self.expected, self._living(pick), note)

    def _annotate(self, after: Expected, key: Key, note: int) -> None:
        """Change the metadata in the model, then in the workspace."""
        if note:
            after.notes[key] = note
            self.ws.metadata.set(label(key), {"note": note})
        elif after.notes.pop(key, 0):
            self.ws.metadata.remove(label(key), "note")

    @precondition(lambda self: self.expected.living)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=3),
        force=st.booleans(),
        now=st.sampled_from((False, False, False, True)),
        cascade=st.sampled_from(("no", "no", "delete", "orphan")),
    )
    def delete(self, picks: list[int], force: bool, now: bool, cascade: Any) -> None:
        """Delete one or several versions at once, all or none."""
        keys = list(dict.fromkeys(self._living(pick) for pick in picks))
        refs = [label(key) for key in keys]
        made = self.expected.made_from(keys)
        if made and cascade == "no":
            try:
                self.ws.delete(*refs, now=now, force=force)
            except RefusedError as error:
                assert all(label(key) in str(error) for key in made)
                return
            raise AssertionError(f"{refs} were deleted, and {made} were made from them")
        if cascade == "delete":
            keys = self.expected.with_all_made(keys)
        released = self.expected.released(keys)
        built_on = [ident for ident, opened in self.expected.opened.items() if opened.base in keys]
        if (released or built_on) and not force:
            try:
                self.ws.delete(*refs, now=now, cascade=cascade)
            except RefusedError as error:
                assert all(alias in str(error) for _, alias in released)
                assert all(repr(ident) in str(error) for ident in built_on)
                return
            raise AssertionError(f"{refs} were deleted with their aliases {released} and drafts {built_on}")
        freed = self._freed_by(keys)
        planned = self.ws.delete(*refs, force=force, now=now, dry_run=True, cascade=cascade)
        done = self.ws.delete(*refs, force=force, now=now, cascade=cascade)
        refs = [label(key) for key in keys]
        assert (planned.freed_bytes, done.freed_bytes) == (freed, freed), (planned, done, freed)
        assert (planned.reaped_bytes, planned.in_use) == (done.reaped_bytes, done.in_use), (planned, done)
        assert sorted(done.versions) == sorted(planned.versions) == sorted(refs)
        assert sorted(done.aliases) == sorted(f"{name}:{alias}" for name, alias in released)
        self.expected.delete(keys, due=now or self.due)
        if now:
            for key in keys:
                if key not in self._holders():
                    del self.expected.waiting[key]

    @precondition(lambda self: self.expected.living)
    @rule(name=st.sampled_from(NAMES), which=st.sampled_from(("*", "latest", "v0..v3", "v1*")))
    def delete_some(self, name: str, which: str) -> None:
        """Delete what a glob, a range or `latest` names."""
        numbers = sorted(number for owner, number in self.expected.living if owner == name)
        chosen = {
            "*": numbers,
            "latest": numbers[-1:],
            "v0..v3": [number for number in numbers if number <= 3],
            "v1*": [number for number in numbers if str(number).startswith("1")],
        }[which]
        if not chosen:
            with suppress(NotFoundError):
                self.ws.delete(f"{name}:{which}", force=True, cascade="orphan")
                raise AssertionError(f"{name}:{which} names nothing, and was deleted")
            return
        done = self.ws.delete(f"{name}:{which}", force=True, cascade="orphan")
        assert sorted(done.versions) == sorted(label((name, number)) for number in chosen)
        self.expected.delete([(name, number) for number in chosen], due=self.due)

    def _freed_by(self, keys: Sequence[Key]) -> int:
        """Return by brute force the stored bytes that only these versions, and what waits already, refer to."""
        with self.ws.store.snapshot() as snapshot:
            records = Records(snapshot.transaction)
            held = [node for _, node in records.staged]
            roots = {
                (records.artifacts[version.artifact].name, version.number): version.root for version in records.live
            }
            before = marked(records.nodes, [*held, *roots.values()])
            after = marked(records.nodes, [*held, *(root for key, root in roots.items() if key not in keys)])
            return sum(node_extent(records.nodes[node]).stored for node in before - after)

    @precondition(lambda self: self.expected.waiting)
    @rule(pick=PICK)
    def undelete(self, pick: int) -> None:
        """Bring a version back that still waits."""
        keys = sorted(self.expected.waiting)
        key = keys[pick % len(keys)]
        self.ws.undelete(label(key))
        self.expected.undelete(key)

    @precondition(lambda self: self.expected.next)
    @rule(pick=PICK)
    def undelete_too_late(self, pick: int) -> None:
        """Fail to bring back what has gone or never was."""
        name = sorted(self.expected.next)[pick % len(self.expected.next)]
        for number in range(self.expected.next[name] + 1):
            if (name, number) not in self.expected.waiting and (name, number) not in self.expected.living:
                with suppress(NotFoundError):
                    self.ws.undelete(label((name, number)))
                    raise AssertionError(f"{name}:v{number} came back")

    # -- retention ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK, days=st.sampled_from((None, 1, 10)))
    def set_end(self, pick: int, days: int | None) -> None:
        """Give a version an end of its own, or none."""
        key = self._living(pick)
        self.ws.retention.set_ttl(label(key), None if days is None else days * 86400.0)
        self.expected.ends.pop(key, None)
        if days is not None:
            self.expected.ends[key] = days

    @rule(last=st.sampled_from((0, 1, 2)), days=st.sampled_from((0, 5)))
    def retain(self, last: int, days: int) -> None:
        """Set the only rule, or none, and apply it some days from now."""
        if last:
            self.ws.retention.set("only", last=last)
        elif self.ws.retention.rules():
            self.ws.retention.remove("only")
        now_ns = time.time_ns() + days * 86400 * 10**9 + 60 * 10**9
        going = self.expected.retired(last, days)
        planned = plan(self.ws.store, now_ns)
        assert sorted(verdict.candidate.name for verdict in planned.expiring) == sorted(map(label, going))
        assert planned.freed_bytes == self._freed_by(going)
        done = apply(self.ws.store, trust_clock=True, now_ns=now_ns)
        assert sorted(done.versions) == sorted(map(label, going)) and not done.kept
        self.expected.delete(going, due=self.due)

    # -- reaping -----------------------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from((0, 24)))
    def set_window(self, hours: int) -> None:
        """Let what is deleted from now on be due at once, or tomorrow."""
        self.ws.configure(undelete_seconds=3600 * hours)
        self.due = not hours

    @rule(now=st.booleans(), interrupted=st.booleans(), compact=st.booleans())
    def gc(self, now: bool, interrupted: bool, compact: bool) -> None:
        """Reap what is due, or everything; files that are open keep their versions, as the dry run says."""
        planned = self.ws.gc(now=now, interrupted=interrupted, dry_run=True)
        report = self.ws.gc(now=now, interrupted=interrupted, compact=compact)
        self._reaped(now=now)
        of_the_run = {"dry_run": True, **dict.fromkeys(("packs_removed", "packs_compacted"), 0)}
        of_the_run |= dict.fromkeys(("manifest_bytes_before", "manifest_bytes_after"))
        assert replace(report, **of_the_run) == planned, (planned, report)
        assert not (now or interrupted) or not report.interrupted_bytes
        if now:
            assert report.deadlist_entries == report.waiting_entries == len(self.expected.waiting), report
            assert len(report.in_use) == len(self.expected.waiting), report

    @rule()
    def reap_due(self) -> None:
        """Reap for a moment, as every command does that writes."""
        self.ws.reap_due(60.0)
        self._reaped(now=False)

    @precondition(lambda self: self.expected.living)
    @rule(pick=PICK)
    def read_on(self, pick: int) -> None:
        """Delete and reap a version under a reader that began before: it reads on to its end."""
        key = self._living(pick)
        root = self.ws.version(label(key)).record.root
        with self.ws.store.snapshot() as snapshot:
            self.ws.delete(label(key), force=True, cascade="orphan")
            impatient = reaper.Reaper(self.ws.store, patience=0.0)
            while impatient.step(now=True).did_something:
                pass
            for path, entry in snapshot.walk(root):
                kind, data = self.expected.living[key][path]
                assert kind == "dir" or snapshot.read(entry.node, 0, 1 << 40) == data
        self.expected.delete([key], due=self.due)
        kept = set(self.expected.waiting)
        self.ws.gc(now=True)
        self._reaped()
        assert self.expected.waiting.keys() <= kept

    @precondition(lambda self: self.expected.living and not self.drafts and not self.expected.opened)
    @rule(pick=PICK, file=PICK)
    def purge(self, pick: int, file: int) -> None:
        """Take a file's content out of every version, and off the disk, but for what other content has of it."""
        key = self._living(pick)
        files = sorted(path for path, (kind, _) in self.expected.living[key].items() if kind in ("file", "exec"))
        if not files:
            return
        path = files[file % len(files)]
        content = self.expected.living[key][path][1]
        for held in [held for held in self.open if held.data == content or content in parts(held.data)]:
            self.open.remove(held)
            held.file.close()
        done = self.ws.purge(f"{label(key)}/{path.decode()}", reason="asked for", everywhere=True)
        assert not done.waiting
        self._forget_files(done.files, content)
        kept = {data for model in self.expected.models() for _, data in model.values()}
        gone = parts(content) - {part for data in kept for part in parts(data)}
        stored = b"".join(pack.read_bytes() for pack in (self.ws.path / "packs").iterdir())
        assert not any(part in stored for part in gone if len(part) > 500), f"{label(key)}/{path!r} is still there"

    def _forget_files(self, files: Sequence[str], content: bytes) -> None:
        """Take purged files out of the model: all that had the content, and of others those that it was a chunk of."""
        self.expected = deepcopy(self.expected)
        versions = {**self.expected.living, **{key: model for key, (model, *_) in self.expected.waiting.items()}}
        for key, model in versions.items():
            for path, (kind, data) in list(model.items()):
                purged = f"{label(key)}/{path.decode()}" in files
                assert not purged or content == data or content in parts(data), f"{path!r} was not meant"
                assert purged or kind == "dir" or content != data, f"{path!r} was meant"
                if purged:
                    self.expected.purge(key, path)

    # -- files that are open -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.expected.living and len(self.open) < 4)
    @rule(pick=PICK, file=PICK)
    def open_file(self, pick: int, file: int) -> None:
        """Open a file through the Python API, and keep it."""
        key = self._living(pick)
        files = sorted(path for path, (kind, _) in self.expected.living[key].items() if kind in ("file", "exec"))
        if files:
            path = files[file % len(files)]
            self.open.append(Held(self.ws.version(label(key)).open(path), self.expected.living[key][path][1], key))

    @precondition(lambda self: self.open)
    @rule(pick=PICK)
    def close_file(self, pick: int) -> None:
        """Close an open file."""
        self.open.pop(pick % len(self.open)).file.close()

    # -- processes that come and go ----------------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        """Open the manifest again, as a new process would."""
        self._forget()

    def _forget(self) -> None:
        self.ws.store.reader.close()
        Environment.of(self.ws.store.path).drop()
        self.ws = Workspace(Store.open(self.home / "ws"))
        self._checked = -1

    @rule(
        doing=st.sampled_from(("put", "delete", "undelete", "gc", "gc --compact", "alias", "note", "step", "commit")),
        calls=st.integers(0, 15),
        pick=PICK,
        picture=PICTURES,
    )
    def die(self, doing: str, calls: int, pick: int, picture: tuple[int, int, int, int]) -> None:
        """End the process in the middle of something; what it was doing is done or not, and nothing between."""
        after = deepcopy(self.expected)
        name = NAMES[pick % 2]
        with suppress(Death), dying_at(calls):
            if doing == "put":
                after.put(name, model_of_tree(tree_of(picture)))
                self._put(name, picture)
            elif doing.startswith("gc"):
                self.ws.gc(now=True, compact="compact" in doing)
            elif after.opened and doing in ("step", "commit"):
                ident = sorted(after.opened)[pick % len(after.opened)]
                if doing == "step":
                    self._step(after.opened[ident], ident, pick, 3, ("add", "remove", "move")[pick % 3])
                else:
                    after.commit(ident)
                    self.ws.drafts.get(ident).commit()
            elif doing == "undelete" and after.waiting:
                key = sorted(after.waiting)[pick % len(after.waiting)]
                after.undelete(key)
                self.ws.undelete(label(key))
            elif after.living and doing in ("delete", "alias", "note"):
                key = self._living(pick)
                if doing == "note":
                    self._annotate(after, key, pick % 3)
                elif doing == "alias":
                    after.aliases[key[0], ALIASES[pick % 2]] = key[1]
                    self.ws.aliases.set(label(key), ALIASES[pick % 2])
                else:
                    after.delete([key], due=self.due)
                    self.ws.delete(label(key), force=True, cascade="orphan")
        self._die()
        self._settle(after)

    def _die(self) -> None:
        for stager, *_ in self.drafts:
            stager.close()
        for held in self.open:
            held.file.close()
        self.drafts, self.open = [], []
        self._forget()

    def _settle(self, after: Expected) -> None:
        """Take for true what the workspace says, which must be the state before or after what was being done."""
        living, aliases, notes, waiting, opened = self._observed()
        for state in (self.expected, after):
            models = {ident: draft.model for ident, draft in state.opened.items()}
            expected = (state.living.keys(), state.aliases, state.living_notes(), models)
            same = (living, aliases, notes, opened) == expected
            if same and waiting <= state.waiting.keys():
                break
        else:
            found = f"{living}, {aliases}, {notes}, {waiting} and {opened}"
            raise AssertionError(f"{found} is neither {self.expected} nor {after}")
        state.waiting = {key: kept for key, kept in state.waiting.items() if key in waiting}
        self.expected = state

    def _observed(
        self,
    ) -> tuple[set[Key], dict[tuple[str, str], int], dict[Key, int], set[Key], dict[str, Model]]:
        found = [item.name for item in self.ws.artifacts()]
        versions = {(name, version.number): version for name in found for version in self.ws.versions(name)}
        living = set(versions)
        notes = {key: each.metadata["note"] for key, each in versions.items() if "note" in each.metadata}
        aliases = {
            (name, alias): number
            for name in found
            for alias, number in self.ws.aliases.of(name).items()
            if alias != "latest"
        }
        with self.ws.store.snapshot() as snapshot:
            records = Records(snapshot.transaction)
            waiting = {(records.artifacts[version.artifact].name, version.number) for version in records.deleted}
        opened = {draft.id: model_of(self.ws.store, draft.record().root) for draft in self.ws.drafts.all()}
        return living, aliases, notes, waiting, opened

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check_invariants(self, settings: Any, output: Any = None, runtimes: Any = None) -> None:
        """Compare the workspace with the model, and its records with a recount."""
        for held in self.open:
            held.file.seek(0)
            assert held.file.read() == held.data, f"an open file of {label(held.of)} reads something else"
        with self.ws.store.snapshot() as snapshot:
            if snapshot.number == self._checked:
                return
            self._checked = snapshot.number
            self._checks += 1
            records = Records(snapshot.transaction)
            wrong = contradictions(self.ws.path, records)
            each = self._checks % EACH_VERSION == 0
            wrong = wrong or usage_contradictions(self.ws, records, versions=each)
        assert not wrong, "\n".join(wrong)
        expected = self.expected
        opened = {ident: draft.model for ident, draft in expected.opened.items()}
        observed = (expected.living.keys(), expected.aliases, expected.living_notes(), expected.waiting.keys(), opened)
        assert self._observed() == observed
        for note in (1, 2):
            found = {(each.artifact, each.number) for each in self.ws.find(where=[f"note={note}"])}
            assert found == {key for key, value in expected.living_notes().items() if value == note}
        for key, model in self.expected.living.items():
            assert model_of(self.ws.store, self.ws.version(label(key)).record.root) == model, f"{label(key)} differs"

    def teardown(self) -> None:
        """Let everything go: what remains is what is alive, to the node and to the file."""
        try:
            self._die()
            for draft in self.ws.drafts.all():
                draft.abort()
            self.expected.opened.clear()
            report = self.ws.gc(now=True)
            self._reaped()
            self.check_invariants(None)
            assert not report.condemned_bytes and not report.deadlist_entries, report
            wrong = leftovers(self.ws) + problems(self.ws)
            assert not wrong, "\n".join(wrong)
        finally:
            with suppress(Exception):
                self.ws.store.reader.close()
                Environment.of(self.ws.store.path).drop()
            shutil.rmtree(self.home)
            self._patches.__exit__(None, None, None)
