"""Any sequence of registering, deferring, failing, dying, deleting and cleaning up leaves what a model says."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from artfs.registry import ArtifactRegistry
from artstore.errors import RefusedError
from artstore.storage.environment import Environment
from fs.registry.registries import add

FOLDS = st.integers(0, 2)
VALUES = st.integers(0, 2)
Model = dict[int, dict[int, Any]]
"""The values of the living versions by fold and number."""


class Registrations(RuleBasedStateMachine):
    """A registry, and what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="registry-states-"))
        self.registry = ArtifactRegistry(self.folder, "wheat", "p")
        add(self.registry, ["keeps the workspace"], "s9.Z")
        self.living: Model = {fold: {} for fold in range(3)}
        self.next = dict.fromkeys(range(3), 0)
        self.deleted: dict[tuple[int, int], Any] = {}
        self.orphans: set[tuple[int, int]] = set()
        self.waiting: dict[int, Any] | None = None
        self.needed: set[tuple[int, int]] = set()

    def teardown(self) -> None:
        """Check that nothing is left over, and remove the folder."""
        if self.waiting is not None:
            self.registry.rollback_deferred()
        self.registry.workspace.gc(now=True, interrupted=True)
        assert self.registry.workspace.fsck().clean
        self.registry.workspace.close()
        Environment.of(self.registry.workspace.path).drop()
        shutil.rmtree(self.folder)

    def name(self, fold: int) -> str:
        """Return the artifact of a fold."""
        return f"runs/wheat/p/{self.registry.generate_id('s1.A').partition('$')[2].partition(':')[0]}/{fold}"

    def made(self, fold: int, value: Any) -> tuple[int, bool]:
        """Register in the model; return the number of the version, and whether it is new."""
        versions = self.living[fold]
        if versions and versions[max(versions)] == value:
            return max(versions), False
        number = self.next[fold]
        self.next[fold] += 1
        versions[number] = value
        return number, True

    @rule(fold=FOLDS, value=VALUES)
    def register(self, fold: int, value: int) -> None:
        """Register a value, at once or deferred."""
        record = add(self.registry, [value], "s1.A", fold_id=fold)
        if self.waiting is not None:
            assert record.ref == ""
            self.waiting.pop(fold, None)
            self.waiting[fold] = [value]
        else:
            number, _ = self.made(fold, [value])
            self.orphans.discard((fold, number))
            assert record.ref == f"{self.name(fold)}:v{number}"

    @precondition(lambda self: self.waiting is None)
    @rule()
    def begin(self) -> None:
        """Defer what follows."""
        self.registry.begin_deferred()
        self.waiting = {}

    @precondition(lambda self: self.waiting is not None)
    @rule(commits=st.booleans())
    def end(self, commits: bool) -> None:
        """Commit or roll back."""
        assert self.waiting is not None
        if commits:
            self.registry.commit_deferred()
            for fold, value in self.waiting.items():
                number, is_new = self.made(fold, value)
                assert is_new or number in self.living[fold]
                self.orphans.discard((fold, number)) if is_new else None
        else:
            self.registry.rollback_deferred()
        self.waiting = None

    @precondition(lambda self: self.waiting is None)
    @rule(fold=FOLDS, value=VALUES)
    def fail(self, fold: int, value: int) -> None:
        """Register in a run that fails: what it made goes, what was there stays."""
        was = self.next[fold]
        try:
            with self.registry.run():
                add(self.registry, [value], "s1.A", fold_id=fold)
                number, is_new = self.made(fold, [value])
                raise ZeroDivisionError
        except ZeroDivisionError:
            if is_new:
                assert number == was
                self.deleted[fold, number] = self.living[fold].pop(number)

    @precondition(lambda self: self.waiting is None)
    @rule(fold=FOLDS, value=VALUES, deferred=st.booleans())
    def die(self, fold: int, value: int, deferred: bool) -> None:
        """Register in a run of a process that is killed, deferred or at once."""
        self.registry.workspace.close()
        pid = os.fork()
        if not pid:
            child = ArtifactRegistry(self.folder, "wheat", "p")
            child.start_run()
            if deferred:
                child.begin_deferred()
            add(child, [value], "s1.A", fold_id=fold)
            os._exit(0)
        os.waitpid(pid, 0)
        if not deferred:
            number, is_new = self.made(fold, [value])
            if is_new:
                self.orphans.add((fold, number))

    @precondition(lambda self: self.waiting is None)
    @rule(fold=FOLDS)
    def depend(self, fold: int) -> None:
        """Register what is made from a fold's latest version, which keeps it."""
        if self.living[fold]:
            ident = self.registry.generate_id("s1.A", fold)
            add(self.registry, [fold], f"s1.A>s{2 + len(self.needed)}.M", depends_on=[ident])
            self.needed.add((fold, max(self.living[fold])))

    @precondition(lambda self: self.waiting is None)
    @rule()
    def clean(self) -> None:
        """Delete orphans: all that dead runs made and nothing keeps."""
        doomed = sorted(self.orphans - self.needed)
        names = sorted(f"{self.name(fold)}:v{number}" for fold, number in doomed)
        planned = self.registry.delete_orphaned_artifacts()
        assert sorted(planned[0]) == names
        assert self.registry.delete_orphaned_artifacts(dry_run=False) == planned
        for fold, number in doomed:
            self.orphans.discard((fold, number))
            self.deleted[fold, number] = self.living[fold].pop(number)

    @precondition(lambda self: self.waiting is None)
    @rule(fold=FOLDS)
    def delete(self, fold: int) -> None:
        """Delete a fold's latest version, unless something was made from it."""
        if not self.living[fold]:
            return
        number = max(self.living[fold])
        try:
            self.registry.workspace.delete(f"{self.name(fold)}:v{number}")
            assert (fold, number) not in self.needed
            self.orphans.discard((fold, number))
            self.deleted[fold, number] = self.living[fold].pop(number)
        except RefusedError:
            assert (fold, number) in self.needed

    @precondition(lambda self: self.waiting is None and self.deleted)
    @rule(data=st.data())
    def undelete(self, data: st.DataObject) -> None:
        """Take back what was deleted."""
        fold, number = data.draw(st.sampled_from(sorted(self.deleted)))
        self.registry.workspace.undelete(f"{self.name(fold)}:v{number}")
        self.living[fold][number] = self.deleted.pop((fold, number))
        version = self.registry.workspace.version(f"{self.name(fold)}:v{number}")
        logged = self.registry.workspace.relations.logged_by(version)
        states = {self.registry.workspace.runs.state(each.run) for each in logged}
        if any(each.made_it for each in logged) and "finished" not in states and "registered" not in version.tags:
            self.orphans.add((fold, number))

    @invariant()
    def everything_is_found(self) -> None:
        """Each fold has its versions, and each loads as what was registered."""
        for fold, versions in self.living.items():
            ident = self.registry.generate_id("s1.A", fold)
            found = self.registry.versions(ident)
            assert {int(each.ref.rpartition(":v")[2]): self.registry.load_artifact(each) for each in found} == versions
            latest = self.registry.get_by_chain("s1.A", fold)
            assert (latest and self.registry.load_artifact(latest)) == (versions[max(versions)] if versions else None)


Registrations.TestCase.settings = settings(
    max_examples=6, stateful_step_count=12, deadline=None, phases=(Phase.explicit, Phase.generate)
)
TestRegistrations = Registrations.TestCase
