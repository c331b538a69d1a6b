"""Methods of a run that mean nothing in a local workspace: accepted, and said once to have no effect."""

from __future__ import annotations

from typing import Any

from artfs.tracking.notices import ignore
from artfs.tracking.values import logger

__all__ = ["RunUnused"]


class RunUnused:
    """The part of `artfs.tracking.run.Run` that has no effect."""

    offline = False
    sweep_id: str | None = None
    sweep_url: str | None = None
    project_url: str | None = None

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
    ) -> None:
        """Do nothing: every metric is kept as it is logged."""
        ignore("define_metric", "every metric is kept as it is logged")

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Do nothing: gradients and graphs are not recorded."""
        ignore("watch", "gradients and graphs are not recorded")

    def unwatch(self, models: Any = None) -> None:
        """Do nothing: no model is watched."""

    def alert(self, title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
        """Log the alert as a warning: there is no service that could send it."""
        logger.warning("artfs: alert: %s: %s", title, text)

    def mark_preempting(self) -> None:
        """Do nothing: there is no scheduler to notify."""
        ignore("mark_preempting", "there is no scheduler")

    def pin_config_keys(self, keys: Any = None) -> None:
        """Do nothing: there are no pages on which keys could be pinned."""
        ignore("pin_config_keys", "there are no pages")
