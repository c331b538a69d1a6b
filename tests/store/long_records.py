"""Every decoder against mutations of its records, for an hour: each is refused, or encodes back to the same bytes.

The work is done in children whose memory is limited, and no decoding may take longer than a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

from record_codecs import CODECS, holds, mutant
from soaks.report import Report, run

ROOM: Final = 256 << 20
"""Bytes that a child may map beside what it has when it begins."""
MOST_SECONDS: Final = 1.0
"""Processor time for one record: what else the machine does makes no decoder slow."""
_BATCH: Final = 50


def _too_long(*_: object) -> None:
    raise TimeoutError("it takes too long")


def _try(name: str, data: bytes) -> tuple[bool, str]:
    """Return whether a decoder accepts some bytes, and what is wrong, or an empty text."""
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        return holds(CODECS[name], data), ""
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return False, f"{name}: {type(error).__name__} in {place.name}, line {place.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def tried(seed: int, seconds: float, most: int | None = None) -> dict[str, Any]:
    """Try all decoders in turn in this process, until the time is over or each has been tried ``most`` times."""
    signal.signal(signal.SIGPROF, _too_long)
    chance, end = random.Random(seed), time.monotonic() + seconds
    runs, accepted = 0, 0
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    while time.monotonic() < end and (most is None or runs < most * len(CODECS)):
        for name, codec in CODECS.items():
            for _ in range(_BATCH):
                data = mutant(codec, chance)
                is_accepted, wrong = _try(name, data)
                accepted += is_accepted
                if wrong:
                    found[wrong] += 1
                    examples.setdefault(wrong, data[:4000].hex())
            runs += _BATCH
    return {"runs": runs, "accepted": accepted, "found": dict(found), "examples": examples}


def in_child(seed: int, seconds: float, most: int | None = None) -> dict[str, Any]:
    """Do the same in a child with limited memory; that it is killed is a finding too."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ours)
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            room = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
            resource.setrlimit(resource.RLIMIT_AS, (room, room))
            with os.fdopen(theirs, "w") as output:
                json.dump(tried(seed, seconds, most), output)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        text = answer.read()
    status = os.waitpid(pid, 0)[1]
    if not text:
        return {"runs": 0, "accepted": 0, "found": {f"the child ended with {status}": 1}, "examples": {}}
    return dict(json.loads(text))


def soak(report: Report, _: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    end = time.monotonic() + arguments.seconds
    seed = arguments.seed
    runs = accepted = 0
    found: Counter[str] = Counter()
    while (left := end - time.monotonic()) > 0:
        result = in_child(seed, min(60.0, left))
        runs, accepted, seed = runs + result["runs"], accepted + result["accepted"], seed + 1
        for wrong, example in result["examples"].items():
            if wrong not in found:
                print(f"  {wrong}: {example}", flush=True)
        found.update(result["found"])
    report.figure("decoders", len(CODECS), "")
    report.figure("records tried", runs, "")
    report.figure("of which were accepted", accepted, "")
    report.figure("findings", len(found), "", most=0)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3600.0, help="how long [3600]")
    options.add_argument("--seed", type=int, default=1, help="the first seed [1]")
    run("records", options, soak)
