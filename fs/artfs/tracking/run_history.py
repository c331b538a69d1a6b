"""What a run has logged, and the values of a recorded run in wandb's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from artstore.arguments import texts

if TYPE_CHECKING:
    from artfs.tracking.run_values import Words
    from artstore.records.catalogue import RunRecord
    from artstore.workspace import Workspace

__all__ = ["RunHistory"]


class RunHistory:
    """The part of `artfs.tracking.run.Run` that reads what was recorded."""

    _workspace: Workspace
    _record: RunRecord
    config: Words
    summary: Words

    def _flush(self) -> None:
        raise NotImplementedError

    def history(
        self,
        samples: int | None = None,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = False,
        stream: str = "default",
    ) -> Any:
        """Return the rows that it has logged, in order: a list of dicts, or with ``pandas`` a DataFrame.

        ``keys`` selects rows that have all of them, and only these values; ``samples`` limits the rows to that many,
        evenly spread.
        """
        rows = list(self.scan_history(keys))
        if samples is not None and len(rows) > samples:
            rows = [rows[at * len(rows) // samples] for at in range(samples)]
        if pandas:
            import pandas as library

            return library.DataFrame(rows)
        return rows

    def scan_history(
        self,
        keys: Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
        use_cache: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that it has logged, in order; steps from ``min_step`` to before ``max_step``."""
        wanted = texts(keys, "keys")
        self._flush()
        for row in self._workspace.runs.rows(self._record.number):
            step = row.get("_step", 0)
            if (min_step is not None and step < min_step) or (max_step is not None and step >= max_step):
                continue
            if not wanted:
                yield row
            elif all(key in row for key in wanted):
                yield {key: row[key] for key in wanted}

    @property
    def lastHistoryStep(self) -> int:
        """The step of the last row, or -1."""
        return max((int(row.get("_step", -1)) for row in self.scan_history()), default=-1)

    @property
    def summary_metrics(self) -> dict[str, Any]:
        """The summary, as a dict."""
        return self.summary.as_dict()

    @property
    def rawconfig(self) -> dict[str, Any]:
        """The config, as a dict."""
        return self.config.as_dict()

    config_static = rawconfig

    @property
    def json_config(self) -> str:
        """The config, as JSON."""
        import json

        return json.dumps(self.config.as_dict())

    @property
    def metadata(self) -> dict[str, Any]:
        """What `artfs.init` was given without effect, by name."""
        return dict(self._record.settings)

    @property
    def username(self) -> str:
        """The entity that was given; it is only recorded."""
        return str(self._record.settings.get("entity") or "")
