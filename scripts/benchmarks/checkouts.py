"""Compare two checkouts of artfs: both do the same work in alternating rounds; each row shows the ratio.

A checkout is a folder with the source code, such as a clone or a git worktree. Its .venv is used if there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import ROOT, Workspace, measured_on
from benchmarks.comparison import Comparison, alternated
from benchmarks.installing import file_system
from benchmarks.processes import SideFailed, end_mounts_below
from benchmarks.results import WrongBytes
from benchmarks.rounds import say
from benchmarks.visits import PARTS, Sources, Visit

__all__ = ["Checkout"]


@dataclass(frozen=True)
class Checkout:
    """A checkout, and the folder that isolates its settings, sockets and workspaces from the user's."""

    name: str
    root: Path
    folder: Path

    @property
    def python(self) -> Path:
        """The Python of the checkout's own environment, else the one that runs this program."""
        own = self.root / ".venv/bin/python"
        return own if own.exists() else Path(sys.executable)

    @property
    def settings(self) -> dict[str, str]:
        """The environment that makes the commands those of this checkout."""
        places = {name: str(self.folder / "user") for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")}
        return {"PYTHONPATH": f"{self.root / 'fs'}:{self.root / 'store'}", **places}

    def commit(self) -> str:
        """Return the commit of the checkout, if it is a clone."""
        describe = ["git", "-C", str(self.root), "describe", "--always", "--dirty"]
        return subprocess.run(describe, capture_output=True, text=True).stdout.strip() if shutil.which("git") else ""

    def prepare(self) -> Workspace:
        """Remove what an earlier round left; return a workspace that does not exist yet."""
        if not (self.root / "store/artstore").is_dir():
            raise SideFailed(f"{self.root} is not a checkout of artfs")
        shutil.rmtree(self.folder / "workspace", ignore_errors=True)
        (self.folder / "user").mkdir(mode=0o700, parents=True, exist_ok=True)
        return Workspace(self.folder / "workspace", self.python, self.settings)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--against", type=Path, required=True, metavar="PATH", help="the checkout to compare with")
    parser.add_argument("--files", type=int, default=20_000, help="small files [20000]")
    parser.add_argument("--large", type=int, default=128, help="MiB of each of the two large files [128]")
    parser.add_argument("--rounds", type=int, default=9, help="rounds; 6 at least for verdicts [9]")
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 4, 16], help="readers of small files [1 4 16]")
    parser.add_argument("--rows", nargs="+", choices=PARTS, metavar="PART", help=f"{' '.join(PARTS)} [all]")
    parser.add_argument("--transport", default="auto", choices=("auto", "direct", "pyfuse3"), help="[auto]")
    parser.add_argument("--directory", type=Path, help="folder for data and stores [/var/tmp/artfs-bench]")
    parser.add_argument("--output", type=Path, default=Path("bench-against.json"), help="[bench-against.json]")
    parser.add_argument("--markdown", type=Path, help="also write the table into this new document")
    arguments = parser.parse_args()
    if arguments.files < 100:
        parser.error("--files must be at least 100")
    if os.geteuid():
        parser.error("--against needs root, because only root can empty the page cache")
    arguments.directory = (arguments.directory or Path("/var/tmp/artfs-bench")).absolute()
    return arguments


def compare(arguments: argparse.Namespace, folder: Path) -> tuple[Comparison, dict[str, object]]:
    """Run all rounds; write the JSON file after each."""
    checkouts = {
        "this": Checkout("this", ROOT, folder / "this"),
        "other": Checkout("other", arguments.against.resolve(), folder / "other"),
    }
    facts: dict[str, object] = measured_on() | {"file system": file_system(arguments.directory)}
    facts["commit"] = ", ".join(f"{name} {checkout.commit() or 'unknown'}" for name, checkout in checkouts.items())
    facts |= {"small files": arguments.files, "large files, MiB": arguments.large, "transport": arguments.transport}
    sources = Sources.make(arguments.directory / "against", arguments.files, arguments.large << 20)
    parts = [part for part in PARTS if arguments.rows is None or part in arguments.rows]
    warm_up(checkouts, sources, arguments)
    comparison = Comparison(("this", "other"))
    for number, name in alternated(list(checkouts), arguments.rounds):
        start = time.monotonic()
        workspace = checkouts[name].prepare()
        visit = Visit(comparison, name, workspace, folder / f"{name}.m", sources, arguments.transport, number == 0)
        visit.run(parts, arguments.readers)
        say(f"round {number + 1}/{arguments.rounds}, {name}: {time.monotonic() - start:.0f} s")
        arguments.output.write_text(json.dumps(comparison.document(facts), indent=1) + "\n")
    return comparison, facts


def warm_up(checkouts: dict[str, Checkout], sources: Sources, arguments: argparse.Namespace) -> None:
    """Let each checkout compile its modules and run everything once with little data; the values are dropped."""
    little = Sources.make(sources.folder.parent / "against-warm-up", 100, 1 << 20)
    for name, checkout in checkouts.items():
        say(f"{name}: {checkout.root}, {checkout.commit() or 'no clone'}, {checkout.python}")
        dropped = Comparison(("this", "other"))
        point = checkout.folder.with_suffix(".m")
        Visit(dropped, name, checkout.prepare(), point, little, arguments.transport, True).run(list(PARTS), [1])


def main() -> None:
    """Compare, print the table, write the files."""
    arguments = parse()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every command compile all modules that it loads
    arguments.directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="run-", dir=arguments.directory) as name:
        try:
            comparison, facts = compare(arguments, Path(name))
        except (SideFailed, WrongBytes) as failure:
            raise SystemExit(f"bench: {failure}") from None
        except KeyboardInterrupt:
            say("interrupted")
            raise SystemExit(130) from None
        finally:
            end_mounts_below(Path(name))
    lines = [*comparison.table(), "", *(f"- {fact}: {value}" for fact, value in facts.items())]
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
