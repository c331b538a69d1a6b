"""The report of a soak: each figure with its bound."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.commands import measured_on


class Report:
    """Figures, each printed at once and kept for the JSON file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.machine = measured_on()
        self.figures: list[dict[str, object]] = []
        self.missed = 0
        print(f"soak {name}: " + ", ".join(f"{key} {value}" for key, value in self.machine.items()), flush=True)

    def figure(self, what: str, value: float, unit: str, *, most: float | None = None) -> None:
        """Record one figure, with the bound that it must not exceed if there is one."""
        kept = most is None or value <= most
        self.missed += not kept
        self.figures.append({"what": what, "value": value, "unit": unit, "most": most, "kept": kept})
        bound = "" if most is None else f"   at most {most:,.4g} {unit}: {'kept' if kept else 'MISSED'}"
        print(f"  {what:<58} {value:>12,.3f} {unit}{bound}", flush=True)

    def holds(self, what: str, truth: bool) -> None:
        """Record a condition that must be true."""
        self.missed += not truth
        self.figures.append({"what": what, "kept": truth})
        print(f"  {what:<58} {'true' if truth else 'FALSE':>12}", flush=True)

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        path.write_text(json.dumps({"measured_on": self.machine, "soak": self.name, "figures": self.figures}, indent=2))


def run(name: str, parser: argparse.ArgumentParser, soak: Callable[[Report, Path, argparse.Namespace], None]) -> None:
    """Run a soak in a temporary folder, write its report, and exit with 1 if a bound was missed."""
    parser.prog = f"scripts/soak {name}"
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    parser.add_argument("--output", type=Path, default=Path(f"soak-{name}.json"), help=f"JSON file [soak-{name}.json]")
    arguments = parser.parse_args()
    report = Report(name)
    with tempfile.TemporaryDirectory(prefix="artfs-soak-", dir=arguments.directory) as folder:
        soak(report, Path(folder), arguments)
    report.write(arguments.output)
    if report.missed:
        raise SystemExit(f"soak {name}: {report.missed} missed")
