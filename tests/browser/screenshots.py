"""Pictures of the main pages on a workspace with a past, as a phone, a laptop and a large screen show them.

scripts/screenshots             # all pages at all widths, into build/screenshots
scripts/screenshots --for-docs  # the few that the documentation shows, into docs/pictures
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

import artfs
from browser import past
from browser.rig import Visitor, running_chromium, serving

ROOT: Final = Path(__file__).parents[2]
SIZES: Final = {390: 844, 1280: 900, 2560: 1440}
PAGES: Final = {
    "artifacts": "/?project=vision",
    "artifact": "/artifact?name=vision/digits",
    "version": "/version?ref=vision/digits:v1",
    "compare-images": "/compare?a=vision/digits:v0&b=vision/digits:v1",
    "compare-table": "/compare?a=wheat/measurements:v0&b=wheat/measurements:v1",
    "files": "/files?ref=vision/digits:v1",
    "images": "/files?ref=vision/digits:v1&path=train/4&view=images",
    "text": "/comparison?a=wheat/measurements:v0&b=wheat/measurements:v1&path=notes.txt",
    "rows": "/comparison?a=wheat/measurements:v0&b=wheat/measurements:v1&path=grains.parquet",
    "weights": "/comparison?a=vision/classifier:v1&b=vision/classifier:v2&path=weights.safetensors",
    "lineage": "/lineage?ref=vision/digits:v1",
    "runs": "/runs?project=vision",
    "space": "/space",
    "retention": "/retention",
    "delete": "/delete?ref=scratch/try:v0",
}
"""Pages by the name of their picture."""
FOR_DOCS: Final = {
    ("artifact", 1280, "light"),
    ("compare-images", 1280, "light"),
    ("space", 1280, "dark"),
    ("compare-images", 390, "dark"),
}


def small(picture: bytes) -> bytes:
    """Return a PNG of at most 128 colours, which pages have, in a fraction of the bytes."""
    output = io.BytesIO()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(output, "png", optimize=True)
    return output.getvalue()


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the pictures go")
    parser.add_argument("--for-docs", action="store_true", help="only those that the documentation shows")
    parser.add_argument("--only", nargs="+", choices=sorted(PAGES), metavar="PAGE", help=", ".join(PAGES))
    given = parser.parse_args()
    folder = given.folder or ROOT / ("docs/pictures" if given.for_docs else "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (name, width, scheme)
        for name in given.only or PAGES
        for width in SIZES
        for scheme in ("light", "dark")
        if (name, width, scheme) in FOR_DOCS or not given.for_docs
    ]
    with tempfile.TemporaryDirectory() as place, running_chromium() as browser:
        ws = artfs.init_workspace(Path(place) / "artfs")
        past.build(ws, Path(place) / "sources")
        with serving(ws) as served:
            for name, width, scheme in wanted:
                tab = Visitor(browser, served, viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme)
                visit = tab.visit(PAGES[name])
                tab.page.wait_for_timeout(300)  # for pictures that are fetched late
                file = folder / f"{name}-{width}-{scheme}.png"
                file.write_bytes(small(tab.page.screenshot(full_page=not given.for_docs)))
                print(f"{file}  {file.stat().st_size:,} bytes", *visit.problems, sep="\n  ", flush=True)
                tab.close()


if __name__ == "__main__":
    main()
