"""Measure artfs beside the plain file system and its peers, in turns, and judge the goals.

Cold reads are measured in two regimes: from the disk, and from memory with only the mount's own caches empty. Data is
made once and kept; everything else is removed at the end. Works, to be named whole or by their beginning:
read-checkpoint, read-table, random-4k, random-64k, memmap, compressed-4k, compressed-64k, first-N, first-N-threads,
files-N, files-N-threads, find, stat, second, api-read-bytes, api-open, api-read-many, loader-N, torch-N, mount, memory,
put-releases, put-checkpoints, put-images, delete. Those named loader or torch need PyTorch, which --quick and --only do
not install unless they are named.

With --against PATH, this checkout is compared with another one instead: --against PATH --help.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.apiwork import CALLS, ApiWork
from benchmarks.commands import measured_on
from benchmarks.datasets import FULL, QUICK, DataSets, DownloadFailed, Scale
from benchmarks.deletework import DeleteWork
from benchmarks.floorwork import compressed_works
from benchmarks.installing import file_system
from benchmarks.keepers import KEEPERS, ArtfsKeeper, Borg, Keeper, Restic
from benchmarks.lineup import PEER_NAMES, VARIANTS, Lineup
from benchmarks.loaderwork import LoaderWork
from benchmarks.mountworks import MemoryWork, MountWork
from benchmarks.plan import announce
from benchmarks.plot import plot
from benchmarks.processes import SideFailed, end_mounts_below
from benchmarks.putworks import PutWork
from benchmarks.readworks import read_works
from benchmarks.regimes import Regime
from benchmarks.report import markdown, print_report, written_into
from benchmarks.results import Results, WrongBytes
from benchmarks.rounds import Bench, say
from benchmarks.secondwork import SecondWork

WORKERS = (2, 4)
QUICK_PEERS = ("borg", "erofs", "passthrough", "restic", "squashfuse")


class Work(Protocol):
    """A kind of measurement."""

    @property
    def name(self) -> str:
        """Return the name for --only."""

    def measure(self, bench: Bench) -> None:
        """Measure all sides."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    assert __doc__ is not None
    about, _, works = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(prog="scripts/bench", description=about, epilog=works)
    parser.add_argument("--quick", action="store_true", help="small data, 3 rounds, no PyTorch: a first look")
    parser.add_argument("--scale", type=float, metavar="PART", help="size of the data as a part of the full run's [1]")
    parser.add_argument(
        "--regime",
        choices=("disk", "memory", "both"),
        help="where cold reads come from; disk needs root [both; memory without root]",
    )
    parser.add_argument("--only", nargs="+", metavar="WORK", help="only these works [all]")
    known, few = " ".join([*PEER_NAMES, "none"]), " ".join(QUICK_PEERS)
    parser.add_argument(
        "--peers", nargs="+", choices=known.split(), metavar="PEER", help=f"{known} [all; quick: {few}]"
    )
    variants = " ".join([*VARIANTS, "none"])
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=variants.split(),
        metavar="VARIANT",
        help=f"of artfs: {variants} [user pyfuse3, and no-lane where there is one]",
    )
    parser.add_argument("--pairs", type=int, help="rounds of all sides with a goal; 6 at least for verdicts [9]")
    parser.add_argument("--peer-rounds", type=int, help="rounds of the peers without a goal [3]")
    parser.add_argument("--patience", type=float, help="seconds; a peer that takes longer runs only once [60]")
    parser.add_argument("--readers", type=int, nargs="+", help="readers of small files [1 4 16; quick: 1 4]")
    parser.add_argument("--transport", default="auto", choices=("auto", "direct", "pyfuse3"), help="[auto]")
    parser.add_argument("--directory", type=Path, help="folder for data and stores [/var/tmp/artfs-bench]")
    parser.add_argument("--output", type=Path, default=Path("bench-results.json"), help="[bench-results.json]")
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="measure nothing: show the rounds of these runs together"
    )
    parser.add_argument("--markdown", type=Path, help="also write the tables into this document")
    parser.add_argument("--plot", type=Path, help="also draw a picture (SVG)")
    return with_defaults(parser, parser.parse_args())


def with_defaults(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Check the options, and fill in those that depend on others."""
    if arguments.scale is not None and not 0.001 <= arguments.scale <= 10:
        parser.error("--scale must be between 0.001 and 10")
    if arguments.regime in ("disk", "both") and os.geteuid():
        parser.error("reads from the disk need root, because only root can empty the page cache: take --regime memory")
    arguments.data = QUICK if arguments.quick else FULL
    if arguments.scale is not None:
        arguments.data = Scale.of(arguments.scale)
    regimes = tuple(Regime) if os.geteuid() == 0 else (Regime.MEMORY,)
    arguments.regimes = (Regime(arguments.regime),) if arguments.regime in ("disk", "memory") else regimes
    arguments.variants = arguments.variants or (["user", "no-lane"] if arguments.quick else [*VARIANTS])
    arguments.pairs = arguments.pairs or (3 if arguments.quick else 9)
    arguments.readers = arguments.readers or ([1, 4] if arguments.quick else [1, 4, 16])
    arguments.peers = arguments.peers or (QUICK_PEERS if arguments.quick else PEER_NAMES)
    arguments.directory = (arguments.directory or Path("/var/tmp/artfs-bench")).absolute()
    arguments.patience = arguments.patience or (5 if arguments.quick else 60)
    arguments.peer_rounds = arguments.peer_rounds or (1 if arguments.quick else 3)
    return arguments


def all_works(readers: list[int], keepers: Sequence[type[Keeper]], scale: Scale = FULL) -> list[Work]:
    """Return all works in the order in which they run."""
    judged = ["plain", "artfs", "borg", "restic"]
    deleting = [keeper for keeper in keepers if keeper in (ArtfsKeeper, Borg, Restic)]
    return [
        *read_works(readers, scale.checkpoint_bytes, scale.images),
        *compressed_works(scale.table_bytes),
        SecondWork(),
        *(ApiWork(call) for call in CALLS),
        *(LoaderWork(workers) for workers in WORKERS),
        LoaderWork(max(WORKERS), in_process=True),
        MountWork(),
        MemoryWork(),
        PutWork("put-releases", "put of releases, one after another", "releases", keepers, [*judged, "dvc"]),
        PutWork("put-checkpoints", "put of checkpoints", "checkpoints", keepers, judged),
        PutWork("put-images", "put of small files", "images", keepers, judged, again=True),
        DeleteWork("delete", "deleting two middle releases", deleting),
    ]


def chosen(works: list[Work], only: list[str] | None) -> list[Work]:
    """Return the requested works."""
    wanted = [work for work in works if only is None or any(f"{work.name}-".startswith(f"{name}-") for name in only)]
    if not wanted:
        raise SystemExit(f"there is no such work; there are {' '.join(work.name for work in works)}")
    return wanted


def runnable(works: list[Work], results: Results) -> list[Work]:
    """Return the works that this environment can run; note why the others cannot."""
    reasons = {work.name: work.lacks() for work in works if isinstance(work, LoaderWork)}
    for name, reason in reasons.items():
        if reason:
            results.left_out[f"{name}: all sides"] = reason
            say(f"left out: {name}: {reason}")
    return [work for work in works if not reasons.get(work.name)]


def line_up(arguments: argparse.Namespace, data: DataSets, folder: Path) -> Lineup:
    """Determine the sides that can run the requested works; install missing programs."""
    lineup = Lineup()
    names = [work.name for work in chosen(all_works(arguments.readers, KEEPERS, arguments.data), arguments.only)]
    putting = [name for name in names if name.startswith(("put", "delete"))]
    peers = arguments.peers if len(putting) < len(names) else ()
    lineup.add_sides(data, folder, arguments.transport, arguments.variants, peers)
    if putting:
        lineup.add_keepers(arguments.directory, arguments.peers)
    return lineup


def run(arguments: argparse.Namespace, folder: Path, results: Results) -> None:
    """Run the works one after another; write the JSON file after each."""
    data = DataSets(arguments.directory, arguments.data, say)
    lineup = line_up(arguments, data, folder)
    works = runnable(chosen(all_works(arguments.readers, lineup.keepers, arguments.data), arguments.only), results)
    who = list(dict.fromkeys([*(side.name for side in lineup.sides), *(keeper.name for keeper in lineup.keepers)]))
    names = [work.name for work in works]
    for line in announce(data.scale, names, who, lineup.stores, arguments.directory):
        say(line)
    results.facts.update({"data": data.scale.name, **lineup.versions, "lane": lineup.check_lane()})
    results.left_out.update(lineup.left_out)
    rounds = (arguments.pairs, arguments.peer_rounds, arguments.patience)
    bench = Bench(data, folder, arguments.transport, lineup.sides, results, *rounds, arguments.regimes)
    for number, work in enumerate(works, 1):
        start = time.monotonic()
        work.measure(bench)
        results.took[work.name] = round(time.monotonic() - start)
        say(f"{work.name} took {results.took[work.name]} s; {number} of {len(works)} works done")
        arguments.output.write_text(json.dumps(results.document(), indent=1) + "\n")


def main() -> None:
    """Measure, print the tables, write the files."""
    arguments = parse()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every command compile all modules that it loads
    results = merged(arguments.merge) if arguments.merge else measured(arguments)
    print_report(results)
    if arguments.markdown:
        document = arguments.markdown.read_text() if arguments.markdown.exists() else ""
        arguments.markdown.write_text(written_into(document, markdown(results)))
    if arguments.plot:
        arguments.plot.write_text(plot(results))


def merged(paths: Sequence[Path]) -> Results:
    """Return the merged results of several runs."""
    try:
        return Results.read([json.loads(path.read_text()) for path in paths])
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"bench: these runs cannot be shown together: {error}") from None


def measured(arguments: argparse.Namespace) -> Results:
    """Run the requested measurements."""
    arguments.directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results()
    results.facts.update(measured_on() | {"file system": file_system(arguments.directory)})
    with tempfile.TemporaryDirectory(prefix="run-", dir=arguments.directory) as folder:
        try:
            run(arguments, Path(folder), results)
        except (SideFailed, DownloadFailed, WrongBytes) as failure:
            raise SystemExit(f"bench: {failure}") from None
        except KeyboardInterrupt:
            say("interrupted")
            raise SystemExit(130) from None
        finally:
            end_mounts_below(Path(folder))
    return results


if __name__ == "__main__":
    main()
