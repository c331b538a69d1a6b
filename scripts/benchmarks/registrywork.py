"""Measure the registry of models: finding among many, registering, loading, space, and memory.

Every measurement runs in a process of its own, so that none finds the caches or the memory of another.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import ROOT, Workspace, measured_on
from benchmarks.processes import allocated_bytes

DATASET = "wheat"
PIPELINE = "0001_pls"
BATCH = 1000
FOLDS = 5
BASES = 3
RESERVE = "reserve"

Figures = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """A figure's limit: what is measured must be at most that; None for one that is only reported."""

    figure: str
    text: str
    unit: str
    limit: float | None = None


GOALS = (
    Goal("resolve_ms", "resolve, by id", "ms", 0.2),
    Goal("by_chain_ms", "get_by_chain", "ms", 0.2),
    Goal("find_ms", "find(params=), ten results", "ms", 5),
    Goal("stats_s", "get_stats", "s", 1),
    Goal("stats_unscanned_s", "get_stats(scan_all_manifests=False)", "s"),
    Goal("open_mb", "memory of an open registry", "MB", 100),
    Goal("deferred_s", "1,000 small artifacts, deferred", "s", 5),
    Goal("commit_s", "the commit of these", "s", 0.25),
    Goal("register_ratio", "one registration, times a put of the same two files", "", 1.2),
    Goal("beyond_kb", "disk for an artifact beyond its payload", "kB", 6),
    Goal("listing_s", "mount to first listing of the data set", "s"),
    Goal("load_ratio", "load_by_id, cold, times skops.io.load", "", 1.3),
    Goal("cached_us", "load_by_id, cached", "us", 20),
    Goal("space_ratio", "stack of forests in two pipelines, times joblib files", "", 0.5),
    Goal("register_peak", "peak of registering a forest, times its payload", "", 2.5),
    Goal("load_peak", "peak of loading it, times that of skops.io.load", "", 1.1),
)


# -- in processes of their own -----------------------------------------------------------------------------------------


def _registry(folder: str, pipeline: str = PIPELINE) -> Any:
    from artfs.registry import ArtifactRegistry

    return ArtifactRegistry(folder, DATASET, pipeline)


def _chain(number: int) -> str:
    return f"s1.MinMaxScaler>s2.Detrend[br={number}]>s3.PLSRegression[br={number}]"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _own_bytes() -> int:
    """Return the memory of this process without the pages of files, such as LMDB's, which the kernel has anyway."""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("RssAnon")]
    return int(line.split()[1]) << 10


def _median_of(call: Callable[[Any], object], values: Iterable[Any]) -> float:
    """Return the median seconds of a call with each of the values."""
    seconds = []
    for value in values:
        start = time.perf_counter()
        call(value)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def fill(folder: str, count: int) -> Figures:
    """Register ``count`` small artifacts, deferred in batches; return the median times of a batch."""
    registry = _registry(folder)
    batches, commits = [], []
    for first in range(0, count, BATCH):
        start = time.perf_counter()
        registry.begin_deferred()
        for number in range(first, min(first + BATCH, count)):
            params = {"n_components": number // 10, "scale": True}
            registry.register_with_chain(
                {"coefficients": [number, number + 1]}, _chain(number), "model", 3, branch_path=[number], params=params
            )
        before = time.perf_counter()
        registry.commit_deferred()
        commits.append(time.perf_counter() - before)
        batches.append(time.perf_counter() - start)
    return {"deferred_s": statistics.median(batches), "commit_s": statistics.median(commits)}


def find(folder: str, count: int) -> Figures:
    """Look for artifacts in a newly opened registry."""
    registry = _registry(folder)
    numbers = [number * 7919 % count for number in range(300)]
    ids = [registry.generate_id(_chain(number)) for number in numbers]
    assert all(registry.resolve(each) is not None for each in ids[:3])
    tens = [number // 10 for number in numbers[:50]]
    figures = {
        "resolve_ms": 1e3 * _median_of(registry.resolve, ids),
        "by_chain_ms": 1e3 * _median_of(registry.get_by_chain, [_chain(number) for number in numbers]),
        "find_ms": 1e3 * _median_of(lambda ten: registry.find(params={"n_components": ten}), tens),
    }
    assert len(registry.find(params={"n_components": 0})) == min(10, count)
    figures["open_mb"] = _own_bytes() / 1e6
    return figures


def describe(folder: str, count: int) -> Figures:
    """Sum up the data set."""
    registry = _registry(folder)
    start = time.perf_counter()
    stats = registry.get_stats()
    middle = time.perf_counter()
    registry.get_stats(scan_all_manifests=False)
    end = time.perf_counter()
    assert stats["total_artifacts"] == count
    return {"stats_s": middle - start, "stats_unscanned_s": end - middle}


def register_and_put(folder: str, count: int) -> Figures:
    """Register one small artifact at a time, in turns with a put of the files that this makes."""
    import artfs

    registry = _registry(folder)
    record = registry.register_with_chain({"coefficients": [-1]}, "s1.Ridge", "model", 1)
    workspace = artfs.open_workspace(Path(folder, ".artfs"))
    files = Path(folder, "files")
    workspace.get(record.ref, files)
    payload = files / "payload.json"
    registrations, puts = [], []
    for number in range(count):
        value = {"coefficients": [number, "one"]}
        start = time.perf_counter()
        registry.register_with_chain(value, f"s1.Ridge>s{number + 2}.PLS", "model", number + 2)
        middle = time.perf_counter()
        payload.write_text(json.dumps({"coefficients": [number, "two"]}))
        again = time.perf_counter()
        workspace.put(files, f"put/{number}", type="model")
        registrations.append(middle - start)
        puts.append(time.perf_counter() - again)
    return {"register_ratio": statistics.median(registrations) / statistics.median(puts)}


def load(folder: str, rounds: int) -> Figures:
    """Load a pipeline from the registry and from a plain file, both read before, each in turn."""
    import skops.io
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from artfs.registry import ArtifactLoader

    features, target = _data(400, 60)
    fitted = make_pipeline(StandardScaler(), PLSRegression(10)).fit(features, target)
    registry = _registry(folder)
    record = registry.register_with_chain(fitted, "s1.StandardScaler>s2.PLSRegression", "model", 2)
    plain = Path(folder, "plain.skops")
    skops.io.dump(fitted, plain)
    trusted = skops.io.get_untrusted_types(file=plain)
    skops.io.load(plain, trusted=trusted)
    loader = ArtifactLoader(folder, DATASET, cache_size=0)
    loader.load_by_id(record.artifact_id)
    ours = _median_of(loader.load_by_id, [record.artifact_id] * rounds)
    theirs = _median_of(lambda file: skops.io.load(file, trusted=trusted), [plain] * rounds)
    caching = ArtifactLoader(folder, DATASET)
    caching.load_by_id(record.artifact_id)
    cached = _median_of(caching.load_by_id, [record.artifact_id] * (10 * rounds))
    return {"load_ratio": ours / theirs, "cached_us": 1e6 * cached}


def _data(rows: int, columns: int) -> Any:
    import numpy

    chance = numpy.random.default_rng(7)
    features = chance.normal(size=(rows, columns))
    return features, features[:, 0] + chance.normal(size=rows) / 10


def stack(folder: str, trees: int) -> Figures:
    """Keep folds of three base models and a meta-model for two pipelines: as joblib files, and registered."""
    import joblib  # type: ignore[import-untyped]
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge

    features, target = _data(1000, 20)
    plain = Path(folder, "joblib")
    for pipeline in ("0001_stack", "0002_stack"):
        registry = _registry(folder, pipeline)
        (plain / pipeline).mkdir(parents=True)
        for fold in range(FOLDS):
            rows = [row for row in range(len(target)) if row % FOLDS != fold]
            models = [
                RandomForestRegressor(trees, random_state=1),
                ExtraTreesRegressor(trees, random_state=1),
                Ridge(),
            ]
            ids = []
            for number, model in enumerate(models[:BASES]):
                model.fit(features[rows], target[rows])
                joblib.dump(model, plain / pipeline / f"{fold}-{number}.joblib", compress=3)
                chain = f"s1.Split>s2.{type(model).__name__}[br={number}]"
                made = registry.register_with_chain(model, chain, "model", 2, branch_path=[number], fold_id=fold)
                ids.append(made.artifact_id)
            meta = Ridge().fit([[model.predict(features[:1])[0] for model in models]], target[:1])
            joblib.dump(meta, plain / pipeline / f"{fold}-meta.joblib", compress=3)
            chain = "s1.Split>s2.RandomForestRegressor[br=0]+s2.ExtraTreesRegressor[br=1]+s2.Ridge[br=2]>s3.Ridge"
            registry.register_meta_model(meta, None, ids, chain=f"{chain}>s{4 + fold}.Ridge")
    kept = Path(folder, ".artfs")
    ours = allocated_bytes(kept) - (kept / RESERVE).stat().st_blocks * 512
    return {"space_ratio": ours / allocated_bytes(plain)}


def forest(folder: str, megabytes: int) -> Figures:
    """Fit a forest whose payload has about so many megabytes, and keep it as a plain file; return the file's size."""
    import skops.io
    from sklearn.ensemble import RandomForestRegressor

    features, target = _data(20_000, 10)
    trees = max(1, megabytes * 1_000_000 // _FOREST_TREE_BYTES)
    model = RandomForestRegressor(trees, random_state=1, n_jobs=-1).fit(features, target)
    skops.io.dump(model, Path(folder, "forest.skops"))
    return {"bytes": Path(folder, "forest.skops").stat().st_size}


_FOREST_TREE_BYTES = 1_600_000


def load_plain(folder: str, _: int) -> Figures:
    """Load the forest's plain file; return the peak of memory."""
    import skops.io

    file = Path(folder, "forest.skops")
    skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    return {"peak": _peak_bytes()}


def register_forest(folder: str, _: int) -> Figures:
    """Register the forest; return its payload's size, and how far this raised the peak of memory."""
    import skops.io

    file = Path(folder, "forest.skops")
    model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    before = _current_bytes()
    record = _registry(folder).register_with_chain(model, "s1.RandomForestRegressor", "model", 1)
    return {"payload": record.size_bytes, "raised": _peak_bytes() - before}


def load_forest(folder: str, _: int) -> Figures:
    """Load the registered forest; return the peak of memory."""
    from artfs.registry import ArtifactLoader

    registry = _registry(folder)
    ArtifactLoader(folder, DATASET).load_by_id(registry.generate_id("s1.RandomForestRegressor"))
    return {"peak": _peak_bytes()}


def _current_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


CHILDREN: dict[str, Callable[[str, int], Figures]] = {
    each.__name__: each
    for each in (
        fill,
        find,
        describe,
        register_and_put,
        load,
        stack,
        forest,
        load_plain,
        register_forest,
        load_forest,
    )
}


# -- the run -----------------------------------------------------------------------------------------------------------


def child(name: str, folder: Path, number: int) -> Figures:
    """Run one of `CHILDREN` in a process of its own; return its figures."""
    command = [sys.executable, "-m", "benchmarks.registrywork", "child", name, str(folder), str(number)]
    paths = [str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    finished = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if finished.returncode:
        raise SystemExit(f"bench: {name} failed")
    figures: Figures = json.loads(finished.stdout)
    return figures


def among_many(folder: Path, count: int) -> Iterator[Figures]:
    """Yield the figures of a registry of so many artifacts."""
    yield child("fill", folder, count)
    kept = folder / ".artfs"
    beyond = allocated_bytes(kept) - (kept / RESERVE).stat().st_blocks * 512
    yield {"beyond_kb": beyond / count / 1e3 - 0.03}
    for name in ("find", "describe"):
        yield child(name, folder, count)
    workspace, mount = Workspace(kept), folder / "mount"
    start = time.perf_counter()
    with workspace.mounted(mount):
        assert len(list((mount / "runs" / DATASET / PIPELINE).iterdir())) == count
        yield {"listing_s": time.perf_counter() - start}


def of_a_forest(folder: Path, megabytes: int) -> Figures:
    """Return the peaks of a large model as multiples."""
    child("forest", folder, megabytes)
    plain = child("load_plain", folder, 0)["peak"]
    registered = child("register_forest", folder, 0)
    loaded = child("load_forest", folder, 0)["peak"]
    return {"register_peak": registered["raised"] / registered["payload"], "load_peak": loaded / plain}


def report(figures: Figures) -> list[str]:
    """Return a line for each goal."""
    lines = []
    for goal in GOALS:
        if goal.figure in figures:
            value = figures[goal.figure]
            verdict = ""
            if goal.limit is not None:
                verdict = f"  (goal {goal.limit:g}: {'reached' if value <= goal.limit else 'not reached'})"
            lines.append(f"{goal.text}: {value:.3g} {goal.unit}".rstrip() + verdict)
    return lines


def main() -> None:
    """Measure everything once and write the JSON file."""
    if sys.argv[1:2] == ["child"]:
        print(json.dumps(CHILDREN[sys.argv[2]](sys.argv[3], int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(
        prog="scripts/bench registry", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--artifacts", type=int, default=100_000, help="artifacts to find among [100000]")
    parser.add_argument("--trees", type=int, default=50, help="trees of each forest of the stack [50]")
    parser.add_argument("--forest-mb", type=int, default=300, help="size of the large forest [300]")
    parser.add_argument("--rounds", type=int, default=50, help="turns of a registration and a put [50]")
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    parser.add_argument("--output", type=Path, default=Path("bench-registry.json"), help="[bench-registry.json]")
    arguments = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="artfs-bench-", dir=arguments.directory) as name:
        folder = Path(name)
        for part in ("many", "turns", "loads", "stack", "forest"):
            (folder / part).mkdir()
        for found in among_many(folder / "many", arguments.artifacts):
            figures |= found
        figures |= child("register_and_put", folder / "turns", arguments.rounds)
        figures |= child("load", folder / "loads", arguments.rounds)
        figures |= child("stack", folder / "stack", arguments.trees)
        figures |= of_a_forest(folder / "forest", arguments.forest_mb)
    machine = measured_on()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"{arguments.artifacts:,} artifacts")
    print("\n".join(report(figures)))
    arguments.output.write_text(json.dumps({"measured_on": machine, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
