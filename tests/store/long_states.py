"""The machine of `store.deletion_states` for as long as one likes, with other examples every time: ``soak states``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.commands import measured_on
from crash.places import quick_folder
from store.deletion_states import Deletion

ROUND = 50
"""Examples after which the clock is looked at."""


def counted(folder: Path, counts: Counter[str]) -> type[Deletion]:
    """Return the machine for a folder, counting its examples and steps."""

    class Counted(Deletion):
        def check_invariants(self, *arguments: Any) -> None:
            counts["steps"] += 1
            super().check_invariants(*arguments)

        def teardown(self) -> None:
            counts["examples"] += 1
            super().teardown()

    Counted.folder = folder
    return Counted


def run_round(machine: type[Deletion], options: argparse.Namespace, number: int) -> None:
    """Run `ROUND` examples that follow from a number; what they find is raised."""
    phases = [Phase.generate, Phase.shrink] if options.shrink else [Phase.generate]
    chosen = settings(
        max_examples=ROUND,
        stateful_step_count=options.steps,
        deadline=None,
        database=None,
        derandomize=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.normal,
    )
    run_state_machine_as_test(seed(number)(machine), settings=chosen)


def main() -> None:
    """Run rounds until the examples or the seconds are reached, and print what was done."""
    parser = argparse.ArgumentParser(prog="scripts/soak states", description=__doc__)
    parser.add_argument("--examples", type=int, default=5000, help="examples to run [5000]")
    parser.add_argument("--seconds", type=float, help="stop after so long, whatever the examples")
    parser.add_argument("--steps", type=int, default=50, help="steps in each example [50]")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**9, help="where to begin [the clock]")
    parser.add_argument("--shrink", action="store_true", help="make what fails small; takes minutes")
    parser.add_argument("--directory", type=Path, help="where to work [memory]")
    parser.add_argument("--output", type=Path, default=Path("soak-states.json"), help="JSON file [soak-states.json]")
    options = parser.parse_args()
    machine = measured_on()
    print("soak states: " + ", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    number, found = options.seed, ""
    with tempfile.TemporaryDirectory(dir=options.directory) as other, quick_folder(Path(other)) as memory:
        folder = Path(other) if options.directory else memory
        while not found and counts["examples"] < options.examples:
            if options.seconds is not None and time.monotonic() - begun >= options.seconds:
                break
            try:
                run_round(counted(folder, counts), options, number)
            except Exception as error:
                notes = "\n".join(getattr(error, "__notes__", []))
                found = f"--seed {number}: {type(error).__name__}: {error}\n{notes}"
            number += 1
            print(f"  {counts['examples']:>8,} examples, {time.monotonic() - begun:>8,.0f} s", flush=True)
    report = {
        "measured_on": machine,
        "seed": options.seed,
        "examples": counts["examples"],
        "steps": counts["steps"],
        "seconds": round(time.monotonic() - begun, 1),
        "found": found,
    }
    options.output.write_text(json.dumps(report, indent=2))
    print(
        f"  {counts['examples']:,} examples of {options.steps} steps ({counts['steps']:,} in all) from {options.seed}"
    )
    if found:
        raise SystemExit(f"soak states: {found}")


if __name__ == "__main__":
    main()
