"""A workspace with a past, for whatever is to be looked at: each thing that a page can show is there at least once.

`build` takes some seconds and is the same at each call but for ids and digests of times.  It spans four weeks, which a
clock of its own counts.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import random
import sys
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import save_file

import artfs
from artfs.tracking import active_run
from artstore.ingest import staging
from artstore.progress import Progress
from artstore.workspace import Workspace

DAY = 86400 * 10**9


@dataclass
class Clock:
    """A clock that starts some weeks ago and is moved on by its caller."""

    ns: int

    def days(self, count: float) -> None:
        self.ns += int(count * DAY)

    def hours(self, count: float) -> None:
        self.days(count / 24)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have this process ask this clock; each question takes a millisecond."""

        def now() -> int:
            self.ns += 10**6
            return self.ns

        with mock.patch.object(time, "time_ns", now), mock.patch.object(time, "time", lambda: now() / 1e9):
            yield


def build(ws: Workspace, folder: Path) -> None:
    """Give an empty workspace its past, from files that are written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = Clock(time.time_ns() - 27 * DAY)
    with clock.running(), _recording_in(ws):
        _digits(ws, folder / "digits", clock)
        _measurements(ws, folder / "measurements", clock)
        _recordings(ws, folder / "recordings")
        _runs(ws, folder / "runs", clock)
        _checkpoints(ws, folder / "checkpoints", clock)
        _references(ws, folder / "outside")
        clock.days(2)
        _endings(ws, folder / "endings")
    _recent(ws, folder / "recent")


@contextlib.contextmanager
def _recording_in(ws: Workspace) -> Iterator[None]:
    with (
        mock.patch.dict(os.environ, {"ARTFS_WORKSPACE": str(ws.path)}),
        mock.patch.object(sys, "argv", ["train.py", "--epochs", "60"]),
        mock.patch.object(active_run, "_run", None),
        mock.patch.object(active_run, "_hooked", True),
    ):
        yield


# -- images ------------------------------------------------------------------------------------------------------------


def digit(label: int, seed: int) -> Image.Image:
    """Draw a digit of 32 by 32 pixels, differently for each seed."""
    noise = random.Random(label * 10_007 + seed)
    image = Image.new("L", (32, 32), noise.randrange(8, 40))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=noise.randrange(20, 28))
    draw.text((noise.randrange(5, 12), noise.randrange(0, 6)), str(label), fill=noise.randrange(190, 255), font=font)
    return image.rotate(noise.uniform(-12, 12))


WRONG = [*((4, number) for number in range(9)), *((9, number) for number in range(3))]
"""Digits that are in the folder of the one before at first."""


def _digits(ws: Workspace, folder: Path, clock: Clock) -> None:
    train = folder / "train"
    for label in range(10):
        (train / str(label)).mkdir(parents=True)
        for seed in range(14):
            digit(label, seed).save(train / str(label) / f"{seed:04}.png")
    for label, number in WRONG:
        digit(label, 100 + number).save(train / str(label - 1) / f"{100 + number:04}.png")
    (folder / "README.md").write_text("# Digits\n\nCollected in a hurry.\n\n- ten classes\n- some are wrong\n")
    _label(folder)
    ws.put(
        folder, "vision/digits", type="dataset", description="as collected", metadata={"split": "train", "year": 2026}
    )
    clock.days(3)
    for label, number in WRONG:
        name = f"{100 + number:04}.png"
        (train / str(label - 1) / name).rename(train / str(label) / name)
    for label in range(10):
        for seed in range(20, 24):
            digit(label, seed).save(train / str(label) / f"{seed:04}.png")
    digit(7, 999).save(train / "7" / "0003.png")
    (folder / "README.md").write_text(
        "# Digits\n\nCollected in a hurry, then corrected.\n\n- ten classes\n- checked twice\n"
    )
    _label(folder)
    ws.put(folder, "vision/digits", description="labels corrected, 40 images added", aliases=["clean"])
    ws.tags.add("vision/digits:v1", "reviewed", "release")
    clock.days(2)
    for seed in range(5):
        (train / "0" / f"{seed:04}.png").unlink()
    ws.put(folder, "vision/digits", description="a mistake: zeros are missing")
    clock.days(1)
    for label in range(10):
        (folder / "test" / str(label)).mkdir(parents=True)
        for seed in range(300, 306):
            digit(label, seed).save(folder / "test" / str(label) / f"{seed:04}.png")
    ws.put(folder, "vision/digits", description="a test split", aliases=["production"], metadata={"split": "both"})


def _label(folder: Path) -> None:
    with (folder / "labels.csv").open("w", newline="") as output:
        table = csv.writer(output)
        table.writerow(["path", "label"])
        for path in sorted((folder / "train").rglob("*.png")):
            table.writerow([path.relative_to(folder), path.parent.name])


# -- tables and other files --------------------------------------------------------------------------------------------


def _table(seed: int, rows: int) -> pa.Table:
    noise = np.random.default_rng(seed)
    columns: dict[str, object] = {"id": np.arange(rows, dtype=np.int64)}
    for name, mean in (("length", 7.0), ("width", 3.1), ("height", 1.4)):
        columns[name] = noise.normal(mean, 0.5, rows).round(4)
    columns["species"] = [("emmer", "spelt", "durum")[each] for each in noise.integers(0, 3, rows)]
    return pa.table(columns)


def _measurements(ws: Workspace, folder: Path, clock: Clock) -> None:
    folder.mkdir()
    table = _table(1, 2000)
    pa.parquet.write_table(table, folder / "grains.parquet")
    pa.feather.write_feather(table.slice(0, 100), folder / "sample.arrow", compression="uncompressed")
    pa_csv = "\n".join(["id,length,species", *(f"{n},{n / 7:.3f},spelt" for n in range(60))])
    (folder / "sites.csv").write_text(pa_csv + "\n")
    events = [{"id": n, "event": ("sown", "cut")[n % 2], "at": f"2026-04-{n % 28 + 1:02}"} for n in range(80)]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "protocol.json").write_text(
        json.dumps({"device": {"name": "NIR", "range": [400, 2500]}, "ok": True}, indent=2)
    )
    (folder / "notes.txt").write_text(
        "".join(f"{n}: plot {n % 7}, weather {('dry', 'wet')[n % 2]}\n" for n in range(120))
    )
    np.save(folder / "spectra.npy", np.random.default_rng(2).normal(size=(40, 16)).astype(np.float32))
    np.savez(folder / "splits.npz", train=np.arange(30), test=np.arange(30, 40))
    ws.put(folder, "wheat/measurements", type="table", metadata={"season": 2026, "site": "north"})
    clock.days(4)
    length, species = table["length"].to_numpy().copy(), table["species"].to_pylist()
    for row in range(0, 2000, 100):
        length[row] += 1.5
    species[7] = "einkorn"
    changed = table.set_column(1, "length", pa.array(length)).set_column(4, "species", pa.array(species))
    changed = pa.concat_tables([changed.slice(15), _table(3, 2030).slice(2000)])
    changed = changed.append_column("moisture", pa.array(np.linspace(9, 14, changed.num_rows)))
    pa.parquet.write_table(changed, folder / "grains.parquet")
    (folder / "sites.csv").write_text(pa_csv.replace("5,0.714,spelt", "5,0.999,emmer") + "\n60,8.6,durum\n")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events[4:]))
    (folder / "notes.txt").write_text((folder / "notes.txt").read_text().replace("50: plot 1", "50: plot 1 (repeated)"))
    (folder / "protocol.json").unlink()
    np.save(folder / "spectra.npy", np.random.default_rng(4).normal(size=(44, 16)).astype(np.float32))
    ws.put(folder, "wheat/measurements", description="second season, moisture measured", aliases=["season-2"])


def _recordings(ws: Workspace, folder: Path) -> None:
    (folder / "birds").mkdir(parents=True)
    with wave.open(str(folder / "birds" / "wren.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = (int(9000 * math.sin(n / (3 + n / 4000))) for n in range(8000))
        sound.writeframes(b"".join(value.to_bytes(2, "little", signed=True) for value in tone))
    (folder / "birds" / "field.webm").write_bytes(Path(__file__).with_name("clip.webm").read_bytes())
    (folder / "logo.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
    )
    (folder / "page.html").write_text("<!doctype html><title>A report</title><h1>Report</h1><p>Two birds.</p>")
    (folder / "raw.bin").write_bytes(random.Random(5).randbytes(5000))
    (folder / "empty").write_bytes(b"")
    (folder / "notes").symlink_to("birds")
    (folder / "run.sh").write_text("#!/bin/sh\necho counted\n")
    (folder / "run.sh").chmod(0o755)
    ws.put(folder, "field/recordings", type="recordings", links="keep")


# -- runs and what they made -------------------------------------------------------------------------------------------


def _weights(path: Path, seed: int, *, wide: bool = False) -> None:
    noise = np.random.default_rng(seed)
    tensors = {
        "embed.weight": np.random.default_rng(0).normal(size=(32, 16)).astype(np.float32),
        "layer.weight": noise.normal(size=(48 if wide else 32, 16)).astype(np.float32),
        "layer.bias": noise.normal(size=(48 if wide else 32,)).astype(np.float16 if wide else np.float32),
    }
    if wide:
        tensors["head.weight"] = noise.normal(size=(10, 48)).astype(np.float32)
    save_file(tensors, path)


def _runs(ws: Workspace, folder: Path, clock: Clock) -> None:
    folder.mkdir()
    for number, (rate, layers) in enumerate([(0.1, 2), (0.03, 2), (0.01, 3), (0.3, 3)]):
        clock.days(1)
        config = {"lr": rate, "layers": layers, "optimizer": "adam", "augment": {"flip": bool(number % 2)}}
        run = artfs.init(project="vision", name=f"train-{number}", job_type="train", config=config, tags=["sweep"])
        run.use_artifact(f"digits:{'v0' if number == 0 else 'v1'}")
        for step in range(60):
            clock.hours(0.01)
            loss = math.exp(-step * rate) + 0.3 / (1 + step) + 0.02 * math.sin(step * (1 + number))
            row = {"loss": loss, "accuracy": 1 - loss / 2}
            if step % 10 == 0:
                row["val/accuracy"] = 0.97 - loss / 2
            run.log(row)
        if number == 3:
            run.finish(exit_code=1)
            continue
        model = artfs.Artifact("classifier", "model", metadata={"val_accuracy": round(0.9 + number / 50, 3)})
        _weights(folder / "weights.safetensors", number, wide=number == 2)
        (folder / "config.json").write_text(json.dumps(config))
        model.add_file(str(folder / "weights.safetensors"))
        model.add_file(str(folder / "config.json"))
        run.log_artifact(model, aliases=["best"] if number == 2 else [])
        run.finish()
    clock.days(1)
    with artfs.init(project="vision", name="evaluate", job_type="evaluation", config={"split": "test"}) as run:
        run.use_artifact("digits:production")
        run.use_artifact("classifier:best")
        report = artfs.Artifact("report", "report")
        with report.new_file("scores.csv", "w") as output:
            output.write("class,precision,recall\n" + "".join(f"{n},0.9{n},0.8{n}\n" for n in range(10)))
        run.log({"f1": 0.913})
        run.log_artifact(report)
    ws.link("vision/classifier:v2", "registry/digits-classifier", aliases=["staging"])


# -- what ends ---------------------------------------------------------------------------------------------------------


def _checkpoints(ws: Workspace, folder: Path, clock: Clock) -> None:
    folder.mkdir()
    for step in range(12):
        clock.hours(9)
        (folder / "state.bin").write_bytes(random.Random(step).randbytes(40_000))
        (folder / "step").write_text(f"{step}\n")
        accuracy = round(0.6 + 0.3 * math.sin(step / 5), 4)
        ws.put(folder, "vision/checkpoints", type="checkpoint", metadata={"step": step, "val_accuracy": accuracy})
    ws.aliases.set("vision/checkpoints:v4", "resume-here")
    ws.retention.set("checkpoints", type="checkpoint", best=3, field="val_accuracy", last=2)
    ws.retention.set("scratch", project="scratch", within="20d")
    ws.retention.set("released", tag="release", everything=True)
    clock.days(1)
    for name, ttl in (("scratch/try", "5d"), ("scratch/sweep", None)):
        for number in range(3):
            clock.hours(5)
            (folder / "step").write_text(f"{name} {number}\n")
            ws.put(folder, name, ttl=ttl)


def _references(ws: Workspace, folder: Path) -> None:
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "gone.jpg"):
        digit(len(name), 77).convert("RGB").save(folder / name)
    ws.refer(str(folder), "field/photos", type="dataset", description="stays outside")
    (folder / "gone.jpg").unlink()
    digit(1, 78).convert("RGB").save(folder / "b.jpg")


def _endings(ws: Workspace, folder: Path) -> None:
    folder.mkdir()
    (folder / "old").write_bytes(random.Random(8).randbytes(60_000))
    ws.put(folder, "attic/old")
    (folder / "old").write_bytes(random.Random(9).randbytes(60_000))
    ws.put(folder, "attic/old")
    ws.delete("attic/old:v0")
    ws.gc(now=True)


def _recent(ws: Workspace, folder: Path) -> None:
    """Leave what ends soon: deleted versions in their window, an open draft, and a put that was interrupted."""
    ws.delete("vision/digits:v2")
    ws.delete("scratch/sweep:v0")
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(150_000))
    draft = ws.drafts.new("vision/digits", base="latest", id="fixes")
    draft.remove("train/0/0007.png")
    child = os.fork()
    if child == 0:
        _die_while_putting(ws, folder)
    os.waitpid(child, 0)


def _die_while_putting(ws: Workspace, folder: Path) -> NoReturn:
    def die(done: Progress) -> None:
        if done.bytes_done > 3_000_000:
            os._exit(0)

    staging.BATCH_BYTES = 1 << 20  # type: ignore[misc]  # of this process, which ends
    try:
        ws.put(folder, "field/interrupted", progress=die)
    finally:
        os._exit(1)
