"""Files that moved between folders are grouped, and named from where their folders differ."""

from __future__ import annotations

from pathlib import Path

from artfs.comparing.moves import moves_of
from artstore.workspace import init_workspace


def test_images_that_changed_class(tmp_path: Path) -> None:
    """The largest group comes first; what was renamed in its folder, or changed on the way, has not moved."""
    data = tmp_path / "data"
    for digit in "34":
        (data / "train" / digit).mkdir(parents=True)
    for number in range(6):
        (data / "train" / "3" / f"{number}.png").write_bytes(b"image %d" % number)
    (data / "notes").write_text("text")
    with init_workspace(tmp_path / "ws") as workspace:
        workspace.put(data, "digits")
        for number in range(3):
            (data / "train/3" / f"{number}.png").rename(data / "train/4" / f"{number}.png")
        (data / "train/3/3.png").rename(data / "train/3/renamed.png")
        (data / "notes").rename(data / "train/notes")
        workspace.put(data, "digits")
        moves = moves_of(workspace.diff("digits:v0", "digits:v1"))
    assert [(move.old, move.new, move.images, len(move.files)) for move in moves] == [
        ("3", "4", 3, 3),
        (".", "train", 0, 1),
    ]
    assert moves[0].files[0] == ("train/3/0.png", "train/4/0.png")
