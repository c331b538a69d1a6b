"""The progress bar: on a terminal, with rate and time left; nothing at all anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artfs.cli.output import legible, quoted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from artstore.ingest.pipeline import Progress

__all__ = ["progress_bar"]

_REDRAW_SECONDS = 0.1


class _Display:
    """The bar of one long call, drawn anew as the call reports."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._phase = ""
        self._drawn = 0.0

    def update(self, progress: Progress) -> None:
        """Draw how far the call is, unless that was just done; a phase's first and last report are always drawn.

        A rate takes two reports, and a quick phase has no others.
        """
        now = time.monotonic()
        new_phase = progress.phase != self._phase
        is_last = progress.files_done == progress.files_total
        if not new_phase and not is_last and now - self._drawn < _REDRAW_SECONDS:
            return
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.start()
        if new_phase or self._task is None:
            # A task of its own for each phase, so that the rate of one never colours the time left of the next.
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase = progress.phase
            self._task = self._bar.add_task(legible(progress.phase), total=None, files="", current="")
        self._drawn = now
        files = f"{progress.files_done:,}"
        if progress.files_total is not None:
            files += f"/{progress.files_total:,}"
        self._bar.update(
            self._task,
            completed=progress.bytes_done,
            total=progress.bytes_total,
            files=f"{files} files",
            current=quoted(progress.current),
            refresh=True,
        )

    def close(self) -> None:
        """Take the bar away and give the terminal's cursor back."""
        if self._bar is not None:
            self._bar.stop()


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.table import Column

    # Redrawn by the calls alone: a thread of ours could hold a lock at the moment when the store forks its workers.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}", markup=False),
        TextColumn("{task.fields[current]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        expand=True,
    )


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None] | None]:
    """Yield what a long call is to report to; the bar is gone at the end, however the call ends.

    It is None where there is no terminal to draw on, so that the call need not count anything.
    """
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        yield None
        return
    display = _Display()
    try:
        yield display.update
    finally:
        display.close()
