"""The progress bar: on a terminal, with rate and time left; nothing is drawn elsewhere."""

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

    from artstore.progress import Progress

__all__ = ["progress_bar"]

_REDRAW_SECONDS = 0.1


class _Display:
    """The bar of one long call, redrawn as the call reports; ``noun`` names the items that it processes.

    A phase with a known number of items but unknown bytes is measured in items.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._phase = ""
        self._by_number = False
        self._drawn = 0.0

    def update(self, progress: Progress) -> None:
        """Draw the progress, at most every 0.1 s; the first and last report of a phase are always drawn.

        A rate needs two reports, and a short phase has no others.
        """
        now = time.monotonic()
        new_phase = progress.phase != self._phase
        is_last = progress.files_done == progress.files_total
        if not new_phase and not is_last and now - self._drawn < _REDRAW_SECONDS:
            return
        if new_phase or self._bar is None or self._task is None:
            self._bar, self._task = self._begin(progress)
        self._drawn = now
        number = f"{progress.files_done:,}"
        if progress.files_total is not None:
            number += f"/{progress.files_total:,}"
        known = progress.files_done or progress.files_total is not None
        self._bar.update(
            self._task,
            completed=progress.files_done if self._by_number else progress.bytes_done,
            total=progress.files_total if self._by_number else progress.bytes_total,
            files=f"{number} {self._noun}s" if known else "",
            current=quoted(progress.current),
            refresh=True,
        )

    def _begin(self, progress: Progress) -> tuple[Bar, TaskID]:
        """Return the bar for a new phase, with a new task: the time left must not use the previous phase's rate."""
        by_number = progress.files_total is not None and progress.bytes_total is None
        bar = self._bar
        if bar is not None and self._task is not None:
            bar.remove_task(self._task)
        if bar is None or by_number != self._by_number:
            self.close()
            bar = _make_bar(by_number=by_number)
            bar.start()
        self._phase, self._by_number = progress.phase, by_number
        return bar, bar.add_task(legible(progress.phase), total=None, files="", current="")

    def close(self) -> None:
        """Remove the bar and restore the cursor."""
        if self._bar is not None:
            self._bar.stop()


def _make_bar(*, by_number: bool) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.table import Column

    # No refresh thread: it could hold a lock when the store forks its workers.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        *(() if by_number else (DownloadColumn(), TransferSpeedColumn())),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}", markup=False),
        TextColumn("{task.fields[current]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        expand=True,
    )


@contextmanager
def progress_bar(noun: str = "file") -> Iterator[Callable[[Progress], None] | None]:
    """Yield the progress callback for a long call; the bar is removed when the call ends.

    ``noun`` names the items that the call processes.  The callback is None without a terminal, so that the call need
    not count anything.
    """
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        yield None
        return
    display = _Display(noun)
    try:
        yield display.update
    finally:
        display.close()
