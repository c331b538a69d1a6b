"""The model of many machines on one remote's log, for minutes, and how often it finds each bug put in."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from itertools import count
from pathlib import Path

from soaks.report import Report, run
from store.remotes.log.log_bugs import BUGS
from store.remotes.log.log_model import run as run_model

SCENARIOS = ("sound", "sound", "hole", "rollback")
_BUG_RUNS = 200


def soak(report: Report, _: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    counts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    end = time.monotonic() + arguments.seconds
    for seed in count(arguments.seed):
        if time.monotonic() > end:
            break
        scenario = SCENARIOS[seed % len(SCENARIOS)]
        outcome = run_model(seed, scenario=scenario)
        counts += outcome.counts
        counts[f"runs: {scenario}"] += 1
        if outcome.wrong:
            findings[outcome.wrong] += 1
            print(f"  seed {seed}, {scenario}: {outcome.wrong}", flush=True)
    for what, number in sorted(counts.items()):
        report.figure(what, number, "")
    for bug in BUGS:
        found = sum(bool(run_model(seed, bug).wrong) for seed in range(arguments.seed, arguments.seed + arguments.bugs))
        report.figure(f"found of {arguments.bugs}: {bug}", found, "")
    report.figure("findings", sum(findings.values()), "", most=0)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=600.0, help="how long without bugs [600]")
    options.add_argument("--bugs", type=int, default=_BUG_RUNS, help=f"runs with each bug [{_BUG_RUNS}]")
    options.add_argument("--seed", type=int, default=1000, help="the first seed [1000]")
    run("remote-log", options, soak)
