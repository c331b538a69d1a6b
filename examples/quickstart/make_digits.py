"""Write scikit-learn's handwritten digits out as image files in class folders: train/3/0042.pgm, test/3/1201.pgm.

The first call writes 400 training images, about one in four of them in the wrong class folder. With --corrected it
corrects the same folder: misfiled images move, and 800 more are added. The labels of the 597 test images are correct
from the start and never change, so both versions can be evaluated on the same files.

The digits have 8 by 8 pixels. They are written as a scanner would have: 64 by 64 pixels in 256 shades, with some noise.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

FIRST, TRAINING = 400, 1200
SCALE, NOISE = 8, 4


def write_image(path: Path, pixels: NDArray[np.float64], index: int) -> None:
    """Write one digit as a binary PGM file; the noise depends on its index, so that it is the same every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.kron(pixels * (255 / 16), np.ones((SCALE, SCALE)))
    noisy = shades + np.random.default_rng(index).normal(0, NOISE, shades.shape)
    height, width = noisy.shape
    path.write_bytes(b"P5 %d %d 255\n" % (width, height) + noisy.clip(0, 255).astype(np.uint8).tobytes())


def hurried_labels(truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first labels with about one in four replaced by another class, the same ones every time."""
    random = np.random.default_rng(seed=0)
    wrong = random.random(FIRST) < 0.25
    return np.where(wrong, (truth[:FIRST] + random.integers(1, 10, FIRST)) % 10, truth[:FIRST])


def main() -> None:
    """Write or correct the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corrected", action="store_true", help="correct and complete what an earlier call wrote")
    arguments = parser.parse_args()
    digits = load_digits()
    truth, hurried = digits.target, hurried_labels(digits.target)

    def training_file(label: int, index: int) -> Path:
        return Path(arguments.folder, "train", str(label), f"{index:04}.pgm")

    if not arguments.corrected:
        for index in range(FIRST):
            write_image(training_file(hurried[index], index), digits.images[index], index)
        for index in range(TRAINING, len(truth)):
            write_image(
                Path(arguments.folder, "test", str(truth[index]), f"{index:04}.pgm"), digits.images[index], index
            )
        print(f"{FIRST} training images and {len(truth) - TRAINING} test images")
        return
    misfiled = [index for index in range(FIRST) if hurried[index] != truth[index]]
    for index in misfiled:
        training_file(hurried[index], index).rename(training_file(truth[index], index))
    for index in range(FIRST, TRAINING):
        write_image(training_file(truth[index], index), digits.images[index], index)
    print(f"{len(misfiled)} images moved to their right class, {TRAINING - FIRST} added")


if __name__ == "__main__":
    main()
