"""Clients of a remote's log for the model: they use the real reading, appending and publishing.

A client keeps on its ``Disk`` what a workspace keeps, so that it can be killed at each request and run again.  ``bugs``
are faults put into clients, which the model must find (`store.remotes.log.log_model`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from artstore.errors import OutsideError, RefusedError
from artstore.ids import content_id
from artstore.objects.failures import ObjectMissingError, UnknownOutcomeError
from artstore.remotes.log.appending import Appended, append
from artstore.remotes.log.checkpoints import decode_state, encode_state
from artstore.remotes.log.condemn_lists import (
    Pack,
    decode_condemn_list,
    encode_condemn_list,
    pack_name,
    parse_pack_name,
)
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import (
    ORPHANS_DEPENDANTS,
    RELEASES_ALIASES,
    Alias,
    Commit,
    Condemn,
    Delete,
    Hold,
    Meta,
    Operation,
    Place,
    Rename,
    Run,
    Stage,
    Undelete,
)
from artstore.remotes.log.publishing import publish
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import DELETED, LIVE, State, VersionRow
from store.objects.model_store import ModelStore
from store.remotes.log.log_disk import Disk, Notes, packs_of_body
from store.remotes.log.log_story import UUID, commit

__all__ = ["Client"]

ARTIFACTS = (b"a" * 16, b"b" * 16)
FOREVER = 2**62


class Client:
    """One process of a machine; ``acknowledged`` are the uuids of versions that it has told its user are pushed."""

    def __init__(
        self, disk: Disk, store: ModelStore, chance: random.Random, *, every: int, bugs: frozenset[str], keeps: bool
    ) -> None:
        self.disk = disk
        self.store = store
        self.chance = chance
        self.bugs = bugs
        self.acknowledged: set[bytes] = set()
        self._bodies: dict[Pack, bytes] = {}
        self._lists: dict[Place, set[Pack]] = {}
        # The rules are for clients that look once and go on.
        is_rule = any(bug.startswith(("R1", "without")) for bug in bugs)
        self._looks_once = is_rule or chance.random() < 0.5
        self._is_blind = chance.random() < 0.5
        self._trusts_fold = chance.random() < 0.4
        self._keeps = keeps
        self.is_appending = False
        state = None
        if disk.state is not None and (keeps or chance.random() < 0.5):
            state = decode_state(disk.state[0])
            state.digest = disk.state[1]
        self.log = Log(store, UUID, state, every=every, at_once=1)

    # -- the life of a client ------------------------------------------------------------------------------------------

    def work(self, kind: str) -> None:
        """Do one job to its end, running it again after each lost answer."""
        self.disk.job = self.disk.job or {"kind": kind}
        for _ in range(20):
            try:
                getattr(self, "_" + self.disk.job["kind"])(self.disk.job)
                break
            except (OutsideError, RefusedError):
                continue  # what a user does who reads 'run it again'
            except ObjectMissingError:
                break  # a set that was given up meanwhile
            except KeyError:
                if not self._keeps:
                    raise
                break  # the version that it was to change is in no older log
        self.disk.job = {}

    def _append(self, prepare: Callable[[State], Sequence[Transaction]]) -> Appended:
        self.log.read_on()
        vars(self.log.state)["is_blind"] = self._is_blind
        self.is_appending = True
        try:
            appended = append(self.log, self.disk.machine, prepare, Notes(self.disk, forgets="conflict" in self.bugs))
        finally:
            self.is_appending = False
        self.disk.state = (encode_state(self.log.state), self.log.state.digest)
        if self.chance.random() < 0.5:
            publish(self.log)
        return appended

    def _simple(self, prepare: Callable[[State], Sequence[Operation]]) -> None:
        """Append operations; a client that looks once keeps its first transaction until the fold calls it stale."""
        while True:
            kept: list[Transaction] = []

            def transactions(state: State, kept: list[Transaction] = kept) -> list[Transaction]:
                if kept:
                    return kept
                operations = prepare(state)
                transactions = [state.transaction(*operations)] if operations else []
                if self._looks_once:
                    kept[:] = transactions
                return transactions

            self._look_once(transactions)
            appended = self._append(transactions)
            if not any(void is not None and void.is_stale for void in appended.verdicts):
                return

    def _look_once(self, prepare: Callable[[State], Sequence[Transaction]]) -> None:
        """Prepare what a client that looks once keeps, and rest: others go on meanwhile."""
        if self._looks_once:
            self.log.read_on()
            self.log.check_writable()
            prepare(self.log.state)
            self.store.rest(self.chance.randrange(30))

    # -- packs ---------------------------------------------------------------------------------------------------------

    def _new_id(self) -> bytes:
        return self.chance.randbytes(16)

    def _upload(self, kind: str, body: bytes, pack: Pack | None = None) -> Pack:
        pack = pack or Pack(kind, self._new_id())
        for _ in range(3):
            if self.store.create(pack_name(pack), body):
                return pack
            try:
                if self.store.read(pack_name(pack)) == body:
                    return pack
            except ObjectMissingError:
                continue  # refused, and nothing is there
        raise UnknownOutcomeError(f"{pack_name(pack)} exists and is not there")

    def _span(self, pack: Pack, body: bytes) -> Span:
        return Span(pack.id, 0, len(body), content_id(body))

    def _body(self, pack: Pack) -> bytes:
        if pack not in self._bodies:
            self._bodies[pack] = self.store.read(pack_name(pack))
        return self._bodies[pack]

    def _condemned(self, state: State) -> set[Pack]:
        for place, row in state.condemned.items():
            if place not in self._lists:
                self._lists[place] = set(decode_condemn_list(self._body(Pack("t", row.listed.pack))))
        return set().union(*(self._lists[place] for place in state.condemned))

    def _set_of(self, row: VersionRow) -> set[Pack]:
        """Return all packs of a version: what its manifest lists, the manifest, and its record."""
        packs = {Pack("t", row.manifest.pack), *packs_of_body(self._body(Pack("t", row.manifest.pack)))}
        if row.record is not None and "records ignored" not in self.bugs:
            packs.add(Pack("t", row.record.pack))
        return packs

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _push(self, job: dict[str, Any]) -> None:
        """Push one or two versions, one transaction each, that reuse packs of a living one."""
        if "versions" not in job:
            self.log.read_on()
            job["artifact"] = self.chance.choice(ARTIFACTS)
            job["stage"] = self._new_id() if self.chance.random() < 0.3 else None
            job["reused"] = self._reusable()
            job["versions"] = [self._new_id() for _ in range(self.chance.choice((1, 1, 2)))]
            job["packs"] = {uuid: [self._new_id()] for uuid in job["versions"]}
            job["manifests"] = {uuid: self._new_id() for uuid in job["versions"]}
            job["digests"] = {uuid: content_id(uuid) for uuid in job["versions"]}
        if job["stage"] is not None:
            self._stage(job, FOREVER)
        for uuid in job["versions"]:
            self._upload_version(job, uuid)
        self._simple_or_careful(job)
        self.acknowledged |= {uuid for uuid in job["versions"] if self.log.state.version_of(uuid) is not None}
        if job["stage"] is not None:
            self._stage(job, 0)

    def _reusable(self) -> list[Pack]:
        live = [row for row in self.log.state.versions.values() if row.state == LIVE]
        if not live or self.chance.random() < 0.3:
            return []
        return sorted(packs_of_body(self._body(Pack("t", self.chance.choice(live).manifest.pack))))[:2]

    def _upload_version(self, job: dict[str, Any], uuid: bytes) -> None:
        for name in job["packs"][uuid]:
            self._upload("d", name, Pack("d", name))
        self._upload("t", self._manifest(job, uuid), Pack("t", job["manifests"][uuid]))

    def _manifest(self, job: dict[str, Any], uuid: bytes) -> bytes:
        return b"manifest" + b"".join(sorted([*job["packs"][uuid], *(pack.id for pack in job["reused"])]))

    def _repair(self, job: dict[str, Any], condemned: set[Pack]) -> None:
        """Upload what was condemned again, under new names."""
        lost = [pack for pack in job["reused"] if pack in condemned]
        job["reused"] = [pack for pack in job["reused"] if pack not in condemned]
        for uuid in job["versions"]:
            own = {Pack("d", name) for name in job["packs"][uuid]} | {Pack("t", job["manifests"][uuid])}
            if not lost and not own & condemned:
                continue
            if "names reused" not in self.bugs:
                job["packs"][uuid] = [
                    self._new_id() if Pack("d", name) in condemned else name for name in job["packs"][uuid]
                ]
                job["manifests"][uuid] = self._new_id()
            job["packs"][uuid] += [self._new_id() for _ in lost]
            self._upload_version(job, uuid)

    def _transactions(self, job: dict[str, Any], state: State) -> list[Transaction]:
        if "conflict" in self.bugs and job.setdefault("tried", 0):
            self._rename_versions(job)  # the answer was lost, so another must have won: once more
        job["tried"] = 1
        todo = list(job["versions"])
        if not self._trusts_fold or not job.pop("untried", True):
            todo = [uuid for uuid in todo if state.version_of(uuid) is None]
        if todo and "no look" not in self.bugs:
            condemned = self._condemned(state)
            needed = {Pack("d", name) for uuid in todo for name in job["packs"][uuid]} | set(job["reused"])
            if (needed | {Pack("t", job["manifests"][uuid]) for uuid in todo}) & condemned:
                self._repair(job, condemned)
        artifact = state.artifacts.get(job["artifact"])
        first = 0 if artifact is None else artifact.next
        transactions = []
        for number, uuid in enumerate(todo, first):
            body = self._manifest(job, uuid)
            operation = commit("x", number, uuid, artifact=job["artifact"], name=job["artifact"][:1].decode())
            manifest = self._span(Pack("t", job["manifests"][uuid]), body)
            digest = job["digests"][uuid]
            operation = operation._replace(version=uuid, digest=digest, manifest=manifest, record=None)
            operations: list[Operation] = [operation]
            alias = state.aliases.get((job["artifact"], "last"))
            if number == first and self.chance.random() < 0.5:
                before = None if alias is None else alias.version
                operations.append(Alias(job["artifact"], "last", before, number))
            transactions.append(state.transaction(*operations))
        return transactions

    def _rename_versions(self, job: dict[str, Any]) -> None:
        for at, uuid in enumerate(job["versions"]):
            fresh = job["versions"][at] = self._new_id()
            for table in (job["packs"], job["manifests"], job["digests"]):
                table[fresh] = table.pop(uuid)

    def _simple_or_careful(self, job: dict[str, Any]) -> None:
        while True:
            kept: list[Transaction] = []

            def prepare(state: State, kept: list[Transaction] = kept) -> list[Transaction]:
                if not kept or "conflict" in self.bugs:
                    kept[:] = self._transactions(job, state)
                elif not self._trusts_fold and self._is_one_there(state, kept):
                    return []
                result = list(kept)
                if not self._looks_once:
                    kept.clear()
                return result

            self._look_once(prepare)
            appended = self._append(prepare)
            if all(self.log.state.version_of(uuid) is not None for uuid in job["versions"]):
                return
            if appended.number is None and not appended.verdicts:
                continue

    def _is_one_there(self, state: State, transactions: list[Transaction]) -> bool:
        commits = [each.operations[0] for each in transactions]
        return any(isinstance(each, Commit) and state.version_of(each.version) is not None for each in commits)

    def _stage(self, job: dict[str, Any], until_ns: int) -> None:
        if "staged" not in job:
            body = b"manifest" + b"".join(name for names in job["packs"].values() for name in names)
            job["staged"] = (Pack("t", self._new_id()), body)
        pack, body = job["staged"]
        if until_ns:
            self._upload("t", body, pack)

        def prepare(state: State) -> list[Operation]:
            there = job["stage"] in state.stages
            if there == bool(until_ns):
                return []
            if until_ns and pack in self._condemned(state):
                raise ObjectMissingError("the stage's manifest was condemned")
            return [Stage(job["stage"], self._span(pack, body), until_ns)]

        self._simple(prepare)

    def _pick(self, job: dict[str, Any], *states: int) -> bool:
        """Choose a version for a job once; return whether there is one."""
        if "version" not in job:
            self.log.read_on()
            keys = [key for key, row in self.log.state.versions.items() if row.state in states]
            if not keys:
                return False
            job["version"] = self.chance.choice(keys[-2:])
        return True

    def _delete(self, job: dict[str, Any]) -> None:
        if self._pick(job, LIVE):
            artifact, number = job["version"]

            def prepare(state: State) -> list[Operation]:
                if state.versions[artifact, number].state != LIVE:
                    return []
                revision = state.artifacts[artifact].revision
                return [Delete(artifact, number, revision, 0, RELEASES_ALIASES | ORPHANS_DEPENDANTS, "")]

            self._simple(prepare)

    def _undelete(self, job: dict[str, Any]) -> None:
        if self._pick(job, DELETED):
            artifact, number = job["version"]

            def prepare(state: State) -> list[Operation]:
                return [Undelete(artifact, number)] if state.versions[artifact, number].state == DELETED else []

            self._simple(prepare)

    def _hold(self, job: dict[str, Any]) -> None:
        if self._pick(job, DELETED) or self._pick(job, LIVE):
            artifact, number = job["version"]
            hold = job.setdefault("hold", self._new_id())

            def prepare(state: State) -> list[Operation]:
                if hold in state.holds or state.versions[artifact, number].state not in (LIVE, DELETED):
                    return []
                return [Hold(hold, artifact, number, FOREVER, "")]

            self._simple(prepare)

    def _meta(self, job: dict[str, Any]) -> None:
        """Give a version another record, whose object is uploaded before the first look."""
        if self._pick(job, LIVE):
            artifact, number = job["version"]
            pack = Pack("t", job.setdefault("record", self._new_id()))
            body = b"record" + pack.id
            self._upload("t", body, pack)

            def prepare(state: State) -> list[Operation]:
                row = state.versions[artifact, number]
                if row.state != LIVE or (row.record is not None and row.record.pack == pack.id):
                    return []
                if pack in self._condemned(state):
                    raise ObjectMissingError("the record was condemned")
                return [Meta(artifact, number, row.recorded.number, "", self._span(pack, body))]

            self._simple(prepare)

    def _run(self, job: dict[str, Any]) -> None:
        run = job.setdefault("run", self._new_id())
        pack = Pack("t", job.setdefault("record", self._new_id()))
        body = b"record" + pack.id
        self._upload("t", body, pack)

        def prepare(state: State) -> list[Operation]:
            if run in state.runs:
                return []
            if pack in self._condemned(state):
                raise ObjectMissingError("the record was condemned")
            return [Run(run, "p/run", 0, self._span(pack, body))]

        self._simple(prepare)

    def _retag(self, job: dict[str, Any]) -> None:
        """Move two aliases in one transaction."""
        if self._pick(job, LIVE):
            artifact, number = job["version"]

            def prepare(state: State) -> list[Operation]:
                if state.versions[artifact, number].state != LIVE:
                    return []
                rows = [(name, state.aliases.get((artifact, name))) for name in ("tag", "last")]
                return [Alias(artifact, name, None if row is None else row.version, number) for name, row in rows]

            self._simple(prepare)

    def _rename(self, job: dict[str, Any]) -> None:
        artifact = self.chance.choice(ARTIFACTS)
        name = job.setdefault("name", f"n{self.chance.randrange(4)}")

        def prepare(state: State) -> list[Operation]:
            row = state.artifacts.get(artifact)
            return [] if row is None or row.name == name else [Rename(artifact, row.name, name)]

        self._simple(prepare)

    def _read(self, job: dict[str, Any]) -> None:
        """A machine that knows nothing reads from the hint."""
        del job
        other = Log(self.store, UUID, every=self.log.every, at_once=1)
        other.read_on()
        if other.trouble is not None:
            raise other.trouble
        if not self._keeps:
            self.log = other

    # -- collection ----------------------------------------------------------------------------------------------------

    def _collect(self, job: dict[str, Any]) -> None:
        """Condemn all packs that nothing uses, then delete what has been condemned, by whomever."""
        listed = {
            pack
            for prefix in ("d/", "t/")
            for info in self.store.list(prefix)
            if (pack := parse_pack_name(info.name)) is not None
        }
        found: list[tuple[set[Pack], tuple[Place, ...], Span]] = []

        def prepare(state: State) -> list[Transaction]:
            if not found or "collector looks once" not in self.bugs:
                dead, reaped = self._dead(state, listed)
                if not dead:
                    return []
                body = encode_condemn_list(dead)
                found[:] = [(dead, reaped, self._span(self._upload("t", body), body))]
            dead, reaped, span = found[0]
            return [state.transaction(Condemn(span, len(dead), 0, reaped))]

        once: list[Transaction] = []

        def kept(state: State) -> list[Transaction]:
            if not once:
                once[:] = prepare(state)
            return list(once)

        while True:
            self._look_once(kept)
            appended = self._append(kept if self._looks_once else prepare)
            once.clear()
            if not any(void is not None and void.is_stale for void in appended.verdicts):
                break
        for pack in sorted(self._condemned(self.log.state)):
            if self.chance.random() < 0.7:
                self.store.delete([pack_name(pack)])

    def _dead(self, state: State, listed: set[Pack]) -> tuple[set[Pack], tuple[Place, ...]]:
        held = {(hold.artifact, hold.number) for hold in state.holds.values()}
        if "hold ignored" in self.bugs:
            held = set()
        used: set[Pack] = set()
        rest: list[VersionRow] = []
        for key, row in state.versions.items():
            if row.state == LIVE or (row.state == DELETED and key in held):
                used |= self._set_of(row)
            elif row.state == DELETED:
                rest.append(row)
        if "stage ignored" not in self.bugs:
            for stage in state.stages.values():
                pack = Pack("t", stage.manifest.pack)
                used |= {pack, *packs_of_body(self._body(pack))}
        if "records ignored" not in self.bugs:
            used |= {Pack("t", run.record.pack) for run in state.runs.values() if run.record is not None}
        if "lists condemned" not in self.bugs:
            used |= {Pack("t", row.listed.pack) for row in state.condemned.values()}
        dead = listed - used - self._condemned(state)
        reaped = tuple(sorted(row.place for row in rest if self._set_of(row) & dead))
        return dead, reaped if "nothing reaped" not in self.bugs else ()
