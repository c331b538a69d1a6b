"""Runs of a registry: what they register is found and taken away if they fail, by themselves if their process dies."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.estimator_parts import EstimatorParts
from artfs.registry.registering import KEPT
from artfs.registry.stored import is_registered, record_of
from artstore.errors import RefusedError
from artstore.names import LATEST
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.records.catalogue import RunRecord

__all__ = ["Running"]

_FAILED: Final = ("failed", "crashed")


class Running(EstimatorParts):
    """The part of a registry that has runs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._last_run: int | None = None

    def start_run(self) -> str:
        """Begin a run of this process; return its name, ``PROJECT/ID``.

        What is registered until `end_run` belongs to it.  If the process ends before that, the run has crashed.
        Raises `RefusedError` if this registry has a run already.
        """
        if self._run is not None:
            raise RefusedError(
                f"this registry has the run {self._run[0].title!r} already", hint="end it first: end_run()"
            )
        record, lease = self.workspace.runs.start(self.project, name=self._pipeline, job_type="registry")
        self._run, self._last_run = (record, lease), record.number
        return record.title

    def end_run(self) -> None:
        """End the run as finished: what it registered stays.  Without a run nothing happens."""
        self._end("finished")
        self._last_run = None

    def _end(self, state: str) -> None:
        if self._run is None:
            return
        record, lease = self._run
        self._run = None
        try:
            self.workspace.runs.change(record.number, state=state, finished_ns=time.time_ns())
        finally:
            lease.close()

    def cleanup_failed_run(self) -> int:
        """End the run as failed, and delete what it registered and nothing else keeps; return how many versions.

        They can be undeleted for a while.  What was registered before the run stays, an earlier version of the same
        id included.
        """
        self._end("failed")
        if self._is_deferred:
            self._end_deferral()
        number, self._last_run = self._last_run, None
        if number is None:
            return 0
        doomed = self._unkept(self._made_in([number]), frozenset())
        if doomed:
            self.workspace.delete(*(version.name for version in doomed))
        return len(doomed)

    @contextmanager
    def run(self) -> Iterator[str]:
        """Have a run for the block: finished at its end, failed and cleaned up after an exception."""
        title = self.start_run()
        try:
            yield title
        except BaseException:
            self.cleanup_failed_run()
            raise
        self.end_run()

    # -- what failed runs left -------------------------------------------------------------------------------------

    def _failed_runs(self) -> list[RunRecord]:
        workspace = self._existing()
        if workspace is None:
            return []
        runs = workspace.runs.all(self.project)
        return [record for record in runs if workspace.runs.state(record) in _FAILED]

    def _made_in(self, numbers: Iterable[int]) -> list[Version]:
        """Return the living versions that runs made, and that only failed runs have logged."""
        workspace = self.workspace
        found: dict[int, Version] = {}
        for number in numbers:
            for version in workspace.runs.versions(number, used=False):
                if version.record.serial in found or not is_registered(version):
                    continue
                logged = workspace.relations.logged_by(version)
                is_made = any(each.made_it and each.run.number == number for each in logged)
                if is_made and all(workspace.runs.state(each.run) in _FAILED for each in logged):
                    found[version.record.serial] = version
        return list(found.values())

    def _unkept(self, versions: Iterable[Version], named: frozenset[str]) -> list[Version]:
        """Return the versions that nothing keeps: no alias, no registration outside of runs, no manifest, no dependant.

        ``named`` are the ids, digests and paths in manifests.  A dependant that goes too keeps nothing.
        """
        workspace = self.workspace
        left = {
            version.record.serial: version
            for version in versions
            if set(version.aliases) <= {LATEST} and KEPT not in version.tags and named.isdisjoint(_names_of(version))
        }
        while True:
            kept = [
                serial
                for serial, version in left.items()
                if any(each.record.serial not in left for each in workspace.relations.dependants_of(version))
            ]
            if not kept:
                return sorted(left.values(), key=lambda version: (version.artifact, version.number))
            for serial in kept:
                del left[serial]


def _names_of(version: Version) -> set[str]:
    """Return by what a manifest may name a version: its id, its reference, and its payload's digest and path."""
    record = record_of(version)
    return {record.artifact_id, version.name, record.content_hash, record.path}
