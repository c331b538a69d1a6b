"""`RecordedRun`: a run as `artfs.Api` reads it, of this process or of another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Self

from artfs.tracking.artifact import Artifact
from artfs.tracking.run import Run
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.records.catalogue import RunRecord

__all__ = ["RecordedRun", "recorded_run"]

_POLL_SECONDS: Final = 0.5


class RecordedRun(Run):
    """A run that is read; artifacts can be added to what it used and made, whether it has finished or not."""

    _kind: ClassVar[str] = "public.Run"

    def __init__(self, workspace: Workspace, record: RunRecord) -> None:
        super().__init__(workspace, record, None)

    def _require_recordable(self) -> None:
        """A recorded run takes artifacts at any time."""

    def log_artifact(  # type: ignore[override]  # wandb's own parameters
        self, artifact: Artifact, aliases: Sequence[str] | None = None, tags: Sequence[str] | None = None
    ) -> Artifact:
        """Make an artifact a version that the run has made; one that is a version already gets the names."""
        return super().log_artifact(artifact, aliases=aliases, tags=tags)

    def use_artifact(  # type: ignore[override]
        self, artifact: Artifact | str, use_as: str | None = None
    ) -> Artifact:
        """Record that the run used a version; return it."""
        return super().use_artifact(artifact)

    def load(self, force: bool = False) -> Self:
        """Return it, read again."""
        self._record = self._workspace.runs.get(self._record.title)
        return self

    def wait_until_finished(self) -> None:
        """Return when the run is not running any more."""
        while self.load(force=True).state == "running":
            time.sleep(_POLL_SECONDS)

    def update(self) -> None:
        """Keep changes of the config and the summary."""
        self._save()

    def save(self) -> None:  # type: ignore[override]  # wandb's own meaning: not files
        """Keep changes of the config and the summary."""
        self._save()


def recorded_run(workspace: Workspace, title: str) -> RecordedRun:
    """Return the run ``PROJECT/ID`` as it is recorded; raise `NotFoundError` if there is none."""
    return RecordedRun(workspace, workspace.runs.get(title))
