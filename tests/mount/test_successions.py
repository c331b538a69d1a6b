"""Whatever versions follow each other, a copy that follows one with rsync becomes exactly another."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.ingest.earlier import EarlierDirectory
from artstore.workspace import Workspace, init_workspace
from mount.conftest import Mounts
from mount.inventory import Attributes, inventory
from mount.successions import SECOND_NS, Succession, identities

pytestmark = pytest.mark.one_transport

GIVEN_AHEAD_NS = 60 * SECOND_NS
STEPS = 14
PAIRS = 6
Inventory = dict[str, Attributes]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[tuple[Workspace, Path]]:
    folder = tmp_path_factory.mktemp("successions")
    workspace = init_workspace(folder / "ws")
    mounts = Mounts(workspace.path, folder, transport)
    yield workspace, mounts().directory
    mounts.end()


def is_file(attributes: Attributes) -> bool:
    return stat.S_ISREG(attributes.type)


def check_pairs(shown: dict[int, Inventory]) -> None:
    """Check that two contents at one path never have one size and second."""
    for number, one in shown.items():
        for other_number, other in shown.items():
            for path in one.keys() & other.keys() if number < other_number else ():
                if is_file(one[path]) and is_file(other[path]) and one[path].content != other[path].content:
                    pairs = {(each[path].size, each[path].mtime_ns // SECOND_NS) for each in (one, other)}
                    assert len(pairs) == 2, f"v{number} and v{other_number} at {path}"


def check_rsync(succession: Succession, shown: dict[int, Inventory], folder: Path) -> None:
    """Follow one version and then another with one copy."""
    for turn in range(PAIRS):
        first, second = sorted(succession.numbers.choices(sorted(shown), k=2))
        copy = folder / f"{succession.name}-copy{turn}"
        for number in (first, second):
            subprocess.run(["rsync", "-a", "--delete", f"{succession.path(number)}/", copy], check=True)
        assert identities(inventory(copy)) == succession.expected[second], f"v{first}, then v{second}"


def check_attributes(succession: Succession, shown: dict[int, Inventory], number: int) -> int:
    """Compare a version that was put from a source with that, but for directories that the version before has.

    Returns the number of times that were moved.
    """
    source, found = succession.sources[number], shown[number]
    latest = succession.latest[number]
    before = {} if latest is None else shown[latest]
    assert (found["."].mode, found["."].mtime_ns) == (source["."].mode | 0o555, source["."].mtime_ns)
    moved = 0
    directories = [path for path, attributes in source.items() if attributes.is_directory]
    for directory in directories:
        paths = [path for path in source if path != "." and str(Path(path).parent) == directory]
        if is_unchanged(directory, before, source):
            assert [found[path] for path in paths] == [before[path] for path in paths], directory
            continue
        for path in paths:
            expected = source[path]
            if is_taken_by_other_content(path, expected, [shown[each] for each in shown if each < number]):
                is_kept = path in before and found[path] == expected._replace(mtime_ns=before[path].mtime_ns)
                assert is_kept or found[path].mtime_ns > expected.mtime_ns, path
                expected = expected._replace(mtime_ns=found[path].mtime_ns)
                moved += 1
            elif is_given_later(expected, found[path], before.get(path)):
                continue
            assert found[path] == expected, f"v{number} at {path}"
    return moved


def is_unchanged(directory: str, before: Inventory, source: Inventory) -> bool:
    """Return whether a directory has the same content in the version before."""

    def inside(found: Inventory) -> dict[str, tuple[int, int, bytes]]:
        prefix = "" if directory == "." else directory + "/"
        return {path: found[path].identity for path in found if path.startswith(prefix) and path != "."}

    return directory in before and before[directory].is_directory and inside(before) == inside(source)


def is_given_later(source: Attributes, found: Attributes, before: Attributes | None) -> bool:
    """Return whether a file that has just been written got a time after that which the version before was given."""
    if before is None or before.is_directory or before.content == source.content or source.is_directory:
        return False
    is_later = (
        source.mtime_ns <= before.mtime_ns < source.mtime_ns + GIVEN_AHEAD_NS and found.mtime_ns > before.mtime_ns
    )
    return is_later and found == source._replace(mtime_ns=found.mtime_ns)


def is_taken_by_other_content(path: str, attributes: Attributes, earlier: list[Inventory]) -> bool:
    """Return whether an earlier version shows other content of the same size and second at a path."""
    wanted = attributes.size, attributes.mtime_ns // SECOND_NS
    present = [found[path] for found in earlier if path in found and not found[path].is_directory]
    return not attributes.is_directory and any(
        (other.size, other.mtime_ns // SECOND_NS) == wanted and other.content != attributes.content for other in present
    )


def make(
    mounted: tuple[Workspace, Path], folder: Path, seed: int, steps: int = STEPS, many: int = 0
) -> tuple[Succession, dict[int, Inventory]]:
    """Return a succession, and what each of its versions shows."""
    succession = Succession(*mounted, folder, seed, many)
    succession.run(steps)
    return succession, {number: inventory(succession.path(number)) for number in sorted(succession.expected)}


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_follows_from_version_to_version(mounted: tuple[Workspace, Path], tmp_path: Path, seed: int) -> None:
    """Moves, swaps, edits within a second, old content, touches, old archives, drafts, restored versions, and more."""
    succession, shown = make(mounted, tmp_path, seed)
    for number, expected in succession.expected.items():
        assert identities(shown[number]) == expected, f"v{number}"
    assert {**shown[0], ".": succession.sources[0]["."]} == succession.sources[0]
    check_pairs(shown)
    check_rsync(succession, shown, tmp_path)
    for number in succession.sources:
        check_attributes(succession, shown, number)


def test_a_copy_follows_where_a_folder_has_many_records(mounted: tuple[Workspace, Path], tmp_path: Path) -> None:
    succession, shown = make(mounted, tmp_path, 2000, steps=8, many=400)
    for number, expected in succession.expected.items():
        assert identities(shown[number]) == expected, f"v{number}"
    check_pairs(shown)
    check_rsync(succession, shown, tmp_path)


def test_without_the_look_up_in_earlier_versions_this_fails(
    mounted: tuple[Workspace, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check finds versions that were made without comparing them with those before."""
    monkeypatch.setattr(EarlierDirectory, "_seconds_shown", lambda *_, **__: set())
    succession, shown = make(mounted, tmp_path, 1000)
    with pytest.raises(AssertionError, match=r"v\d+ and v\d+ at "):
        check_pairs(shown)
    for number, expected in succession.expected.items():
        assert identities(shown[number]) == expected, f"v{number}"
