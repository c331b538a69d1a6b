"""Three workspaces on one remote against a model, for minutes: see `store.remotes.fleet`."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from itertools import count
from pathlib import Path

from soaks.report import Report, run
from store.remotes.fleet import FleetError
from store.remotes.fleet import run as run_fleet


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    counts: Counter[str] = Counter()
    findings = examples = 0
    end = time.monotonic() + arguments.seconds
    for seed in count(arguments.seed):
        if time.monotonic() > end or examples == arguments.examples:
            break
        examples += 1
        try:
            made = run_fleet(folder / f"fleet{seed}", seed, arguments.steps)
        except FleetError as error:
            findings += 1
            print(f"  {error}", flush=True)
            continue
        for line in made.told:
            machine, _, rest = line.partition(" ")
            if machine.isdigit():
                counts[rest.partition(" ")[0] + (", failed" if " failed: " in line else "")] += 1
    for what, number in sorted(counts.items()):
        report.figure(f"steps: {what}", number, "")
    report.figure("examples", examples, "")
    report.figure("findings", findings, "", most=0)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=1800.0, help="how long at most [1800]")
    options.add_argument("--examples", type=int, default=5000, help="examples at most [5000]")
    options.add_argument("--steps", type=int, default=40, help="steps of each [40]")
    options.add_argument("--seed", type=int, default=1000, help="the first seed [1000]")
    run("remotes", options, soak)
