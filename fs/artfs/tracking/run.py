"""`Run`: what a process uses and makes, with its configuration and metrics.

This module and `artfs.tracking.artifact` know each other; that one says why.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Mapping, Sequence
from numbers import Real
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from artfs.tracking.absent import absent
from artfs.tracking.artifact import Artifact
from artfs.tracking.conversion import json_values, metric_values
from artfs.tracking.disabled import DisabledWorkspace
from artfs.tracking.naming import own_name, safe_name, short_name
from artfs.tracking.run_files import RunFiles
from artfs.tracking.run_history import RunHistory
from artfs.tracking.run_models import RunModels
from artfs.tracking.run_unused import RunUnused
from artfs.tracking.run_values import Words
from artfs.tracking.settings import Settings
from artfs.tracking.tables import Table
from artfs.tracking.values import iso, logger
from artstore.arguments import shown_value, texts
from artstore.clock import utc
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.names import LATEST, check_alias
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.reclaim.leases import Lease
    from artstore.records.catalogue import RunRecord

__all__ = ["Run"]

_ROWS: Final = 1000
"""Rows that are kept in memory before they are written."""
_SECONDS: Final = 10.0
"""How long a row waits in memory, if another follows."""


class Run(RunFiles, RunHistory, RunModels, RunUnused):
    """A run; made by `artfs.init`, a context manager: leaving it finishes it, and an exception marks it failed."""

    _kind: ClassVar[str] = "Run"

    def __init__(self, workspace: Workspace, record: RunRecord, lease: Lease | None) -> None:
        super().__init__()
        self._workspace = workspace
        self._record = record
        self._lease = lease
        self._pid = os.getpid()
        self._rows: list[dict[str, Any]] = []
        self._partial: dict[str, Any] = {}
        self._step = self._first_step = int(record.summary.get("_step", -1)) + 1
        self._written = time.monotonic()
        self._dirty = False
        self._finished = lease is None
        self.config = Words(record.config, self._config_values, self._change)
        self.summary = Words(record.summary, metric_values, self._change)

    def __repr__(self) -> str:
        return f"<Run {self._record.title}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Run)
            and self._record.number == other._record.number
            and self._workspace == other._workspace
        )

    def __hash__(self) -> int:
        return hash(self._record.number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(absent(self._kind, name))

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id, unique in its project."""
        return self._record.id

    @property
    def name(self) -> str:
        """Its display name; by default its id."""
        return self._record.name or self._record.id

    @name.setter
    def name(self, value: str) -> None:
        self._save(name=value)

    @property
    def project(self) -> str:
        """Its project, or an empty text."""
        return self._record.project

    @property
    def entity(self) -> str:
        """The entity that was given; it is only recorded."""
        return str(self._record.settings.get("entity") or "")

    @property
    def group(self) -> str:
        """The group that it belongs to."""
        return self._record.group

    @property
    def job_type(self) -> str:
        """Its job type."""
        return self._record.job_type

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return tuple(self._record.tags)

    @property
    def notes(self) -> str:
        """Its notes."""
        return self._record.notes

    @property
    def path(self) -> str:
        """``PROJECT/ID``."""
        return self._record.title

    @property
    def step(self) -> int:
        """The step of the next row."""
        return self._step

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``crashed``."""
        return self._workspace.runs.state(self._record)

    @property
    def is_open(self) -> bool:
        """Whether it is running in this process."""
        return not self._finished and os.getpid() == self._pid

    @property
    def disabled(self) -> bool:
        """Whether it records nothing: its mode is ``disabled``."""
        return isinstance(self._workspace, DisabledWorkspace)

    @property
    def resumed(self) -> bool:
        """Whether it resumed an earlier run."""
        return bool(self._record.settings.get("resume")) and self._record.steps > 0

    @property
    def url(self) -> str | None:
        """None: it has no page; ``artfs run show`` prints its record."""
        return None

    @property
    def created_at(self) -> str:
        """When it began: ISO 8601, UTC, with ``Z``."""
        return iso(utc(self._record.created_ns))

    @property
    def start_time(self) -> float:
        """When it began, in seconds since 1970."""
        return self._record.created_ns / 1e9

    @property
    def starting_step(self) -> int:
        """The first step of this process's part of the run."""
        return self._first_step

    @property
    def settings(self) -> Settings:
        """The recorded arguments and settings that have no effect."""
        return Settings(**self._record.settings)

    @property
    def storage_id(self) -> str:
        """Its number in the workspace."""
        return str(self._record.number)

    # -- metrics ---------------------------------------------------------------------------------------------------

    def log(
        self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None
    ) -> None:
        """Log values by name, as a row of their own, or, with ``commit=False``, as a part of the next one.

        A ``step`` before the current one is replaced by that.  Rows are kept in memory for some seconds.
        """
        self._require_running()
        tables = isinstance(data, Mapping) and any(isinstance(value, Table) for value in data.values())
        values = metric_values({name: self._tabled(name, value) for name, value in data.items()} if tables else data)
        if step is not None and not (isinstance(step, Real) and math.isfinite(step)):
            raise InvalidInputError(f"a step is a whole number, not {shown_value(step)}")
        if step is not None and step > self._step and self._partial:
            self._end_row()
        if step is not None:
            self._step = max(self._step, int(step))
        self._partial.update(values)
        if commit if commit is not None else step is None:
            self._end_row()
        elif step is not None:
            self._end_row(advance=False)

    def _tabled(self, name: str, value: object) -> object:
        """Return a value to log; a table is logged as an artifact of its own, and its row names that."""
        if not isinstance(value, Table):
            return value
        artifact = Artifact(safe_name(f"run-{self.id}-{name}"), "run_table")
        artifact.add(value, name)
        logged = self.log_artifact(artifact)
        return {"_type": "table-file", "artifact": logged.qualified_name, "nrows": len(value.data)}

    def _end_row(self, *, advance: bool = True) -> None:
        row = {**self._partial, "_step": self._step, "_timestamp": time.time()}
        if self._rows and self._rows[-1]["_step"] == self._step:
            self._rows[-1].update(row)
        else:
            self._rows.append(row)
        self.summary.take(row)
        self._partial = {}
        if advance:
            self._step += 1
        if len(self._rows) >= _ROWS or time.monotonic() - self._written > _SECONDS:
            self._write_rows()

    def _write_rows(self) -> None:
        if not self._rows or self._finished:
            return
        summary = metric_values(self.summary.as_dict())
        self._record = self._workspace.runs.log(self._record.number, self._rows, summary)
        self._rows = []
        self._written = time.monotonic()

    def _config_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as the config keeps them; the run uses each artifact among them, which is kept by name."""

        def used(value: object) -> object:
            return self.use_artifact(value).qualified_name if isinstance(value, Artifact) else value

        return json_values(values, "config", replace=used)

    def _change(self) -> None:
        self._dirty = True

    def _save(self, **fields: Any) -> None:
        config, summary = self._config_values(self.config.as_dict()), metric_values(self.summary.as_dict())
        self._record = self._workspace.runs.change(self._record.number, config=config, summary=summary, **fields)
        self._dirty = False

    def _flush(self) -> None:
        """Write rows and values that are only in memory."""
        self._write_rows()
        if self._dirty:
            self._save()

    # -- artifacts -------------------------------------------------------------------------------------------------

    def _require_running(self) -> None:
        if self._finished:
            raise RefusedError(f"the run {self._record.title!r} has finished", hint="begin another: artfs.init()")

    def _require_recordable(self) -> None:
        """Raise `RefusedError` if the run takes no artifacts any more."""
        self._require_running()

    def _given(
        self, what: Artifact | str | os.PathLike[str], name: str | None, type: str | None, aliases: Sequence[str] | None
    ) -> Artifact:
        """Return the artifact to log; for a path, one with its content."""
        if isinstance(what, Artifact):
            artifact = what
        else:
            path = os.fspath(what)
            if not os.path.lexists(path):
                raise NotFoundError(f"{path!r} does not exist")
            base = os.path.basename(os.path.abspath(path))
            artifact = Artifact(name or safe_name(f"run-{self.id}-{base}"), type or "unspecified")
            (artifact.add_dir if os.path.isdir(path) else artifact.add_file)(path)
        for alias in texts(aliases, "aliases"):
            if alias != LATEST:
                artifact.aliases.append(check_alias(alias))
        return artifact

    def _full_name(self, artifact: Artifact) -> str:
        """Return the full name to log an artifact as; one based on a version of another project moves to this one."""
        name = artifact.qualified_name
        if self.project and artifact.has_base and not name.startswith(f"{self.project}/"):
            name = short_name(name)
        return own_name(name, self.project)

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Make an artifact, or what is at a path, a version; when it returns, the version exists.

        If content and metadata equal those of the latest version, the artifact becomes that one, and none is made.
        """
        self._require_recordable()
        artifact = self._given(artifact_or_path, name, type, aliases)
        artifact.tags.extend(texts(tags, "tags"))
        if not artifact.is_draft():
            if aliases or tags:
                artifact.save()
            return artifact
        self._flush()
        version = artifact.commit(self._full_name(artifact), self._record.number)
        if artifact.ttl is not None and version.record.expires_ns:
            logger.info("artfs: %s expires on %s UTC", version.name, f"{utc(version.record.expires_ns):%Y-%m-%d %H:%M}")
        return artifact

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Return a version by name, and record that the run uses it.

        Raises `NotFoundError`, naming artifacts of that name elsewhere, and `RefusedError` for another type.
        """
        self._require_recordable()
        if isinstance(artifact_or_name, Artifact):
            artifact = artifact_or_name
            if artifact.is_draft():
                self.log_artifact(artifact, aliases=aliases)
            called = artifact.version
        else:
            artifact, called = self._named(artifact_or_name, type)
        if type is not None and artifact.type != type:
            raise RefusedError(f"{artifact.qualified_name} has the type {artifact.type!r}, not {type!r}")
        assert artifact.stored is not None
        self._workspace.runs.use(self._record.number, artifact.stored, called)
        return artifact

    def _named(self, name: str, type: str | None) -> tuple[Artifact, str]:
        try:
            return Artifact.named(self._workspace, name, self.project)
        except NotFoundError:
            if not isinstance(self._workspace, DisabledWorkspace):
                raise
        version = self._workspace.placeholder(name, type)
        return Artifact.of(self._workspace, version), "v0"

    def link_artifact(self, artifact: Artifact, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
        """Make a version the next one of another artifact, ``PROJECT/NAME``, too; log it first if it is none yet."""
        self._require_recordable()
        if not isinstance(artifact, Artifact):
            raise InvalidInputError(f"what is linked must be an artifact, not {shown_value(artifact)}")
        if artifact.is_draft():
            self.log_artifact(artifact)
        return artifact.link(target_path, aliases)

    def logged_artifacts(self, per_page: int = 100) -> list[Artifact]:
        """Return the living versions that it has made, in the order in which they were made."""
        return self._versions(used=False)

    def used_artifacts(self, per_page: int = 100) -> list[Artifact]:
        """Return the living versions that it has used, in the order in which it first used them."""
        return self._versions(used=True)

    def _versions(self, *, used: bool) -> list[Artifact]:
        versions = self._workspace.runs.versions(self._record.number, used=used)
        return [Artifact.of(self._workspace, version) for version in versions]

    # -- many writers ----------------------------------------------------------------------------------------------

    def _draft_of(self, artifact: Artifact, distributed_id: str | None) -> tuple[str, str, str]:
        """Return (full name, id of the draft, the name that the runs share)."""
        shared = distributed_id or self.group
        if not shared:
            raise InvalidInputError(
                "runs that contribute to one version need a shared name for it",
                hint="pass distributed_id, or init(group=...)",
            )
        full = self._full_name(artifact)
        digest = hashlib.blake2b(f"{full}\0{shared}".encode(errors="surrogatepass"), digest_size=4).hexdigest()
        readable = safe_name(shared).strip(".-")[:80]
        return full, f"{short_name(full)[:30]}-{readable}-{digest}".lstrip(".-"), shared

    def upsert_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        distributed_id: str | None = None,
        on_conflict: str = "error",
    ) -> Artifact:
        """Add files to a version that several runs make together; ``finish_artifact`` makes it.

        ``distributed_id`` is the name that they share, by default the run's group.  A path that another run has
        added with other content raises `ExistsError`, which names both, unless ``on_conflict`` is ``last``.
        """
        from artfs.tracking.distributed import contribute

        self._require_running()
        if on_conflict not in ("error", "last"):
            raise InvalidInputError(f"on_conflict must be 'error' or 'last', not {on_conflict!r}")
        artifact = self._given(artifact_or_path, name, type, aliases)
        self._flush()
        place = self._draft_of(artifact, distributed_id)
        contribution = artifact.contribution(begin=True)
        late = contribute(self._workspace, place, self._record, contribution, overwrite=on_conflict == "last")
        artifact.discard()
        if late is not None:
            logger.warning("artfs: %s is already finished; this begins the next version", late)
        return artifact

    def finish_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """Make the version that several runs have added files to, with the files and description of this artifact.

        Raises `NotFoundError` if no run has added anything.  A second call returns the same version.
        """
        from artfs.tracking.distributed import finish

        self._require_running()
        artifact = self._given(artifact_or_path, name, type, aliases)
        self._flush()
        artifact.be(
            self._workspace,
            finish(self._workspace, self._draft_of(artifact, distributed_id), self._record, artifact.contribution()),
        )
        return artifact

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run; after an exception, or with an exit code other than 0, it has failed."""
        if not self.is_open:
            return
        if self._partial:
            self._end_row()
        self._write_rows()
        try:
            self._keep_at_end()
        finally:
            self._end(exit_code)

    def _end(self, exit_code: int | None) -> None:
        self._save(state="failed" if exit_code else "finished", finished_ns=time.time_ns())
        self._finished = True
        if self._lease is not None:
            self._lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(exit_code=1 if kind is not None else 0)
