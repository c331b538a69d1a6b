"""How long each test file takes: what the shards are balanced by.

The durations are kept in ``tests/durations.json``.  They need not be exact: a wrong one makes a run longer, and never
leaves out a test.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

__all__ = ["measured", "read_durations", "with_estimates", "write_durations"]


def read_durations(path: Path) -> dict[str, float]:
    """Read seconds by test file; empty if there is no such file."""
    try:
        return {str(file): float(seconds) for file, seconds in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}


def write_durations(path: Path, durations: Mapping[str, float]) -> None:
    """Write seconds by test file, one to a line, so that merges are easy."""
    path.write_text(json.dumps({file: round(durations[file], 1) for file in sorted(durations)}, indent=1) + "\n")


def with_estimates(files: Iterable[str], durations: Mapping[str, float]) -> dict[str, float]:
    """Return a duration for each of the files; those that were never measured get the median."""
    usual = median(durations.values()) if durations else 1.0
    return {file: durations.get(file, usual) for file in files}


def measured(reports: Iterable[Path]) -> dict[str, float]:
    """Add up the durations in pytest's JUnit reports (of the family xunit1, which names files) by test file."""
    seconds: Counter[str] = Counter()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            seconds[case.get("file", "")] += float(case.get("time", 0))  # type: ignore[assignment]
    return {file: duration for file, duration in seconds.items() if file}
