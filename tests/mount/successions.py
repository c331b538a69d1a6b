"""Random successions of a folder's states, each made a version in a random way, with what every version must hold.

Contents, sizes, names and times are few, so that states collide as often as possible.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path, PurePosixPath

from artstore.workspace import Workspace
from mount.inventory import Attributes, inventory

SECOND_NS = 1_000_000_000
SECONDS = (-5, 1_600_000_000, 1_600_000_001, 1_700_000_000)
CONTENTS = [letter * size for letter in (b"a", b"b", b"c") for size in (10, 10, 11)]
NAMES = ("one", "two", "three", "folder", "other")
MODES = (0o644, 0o600, 0o755, 0o444)

Identities = dict[str, tuple[int, int, bytes]]
"""What a version's digest covers, by path."""


def identities(found: dict[str, Attributes]) -> Identities:
    return {path: attributes.identity for path, attributes in found.items()}


def below(paths: Identities, path: str) -> list[str]:
    return [name for name in paths if name.startswith(path + "/")]


class Source:
    """The folder, and the ways in which people change folders."""

    def __init__(self, folder: Path, numbers: random.Random, many: int) -> None:
        self.folder = folder
        self.archives: list[Path] = []
        self._numbers = numbers
        self._changes = (
            *(self.edit, self.edit, self.edit, self.swap, self.swap, self.move, self.touch, self.remove),
            *(self.unpack, self.archive, self.change_kind, self.change_mode, self.link),
        )
        folder.mkdir()
        for name in ("one", "two", "folder/one", "folder/two", "folder/deep/one", "other/one"):
            self.write(folder / name)
        for number in range(many):
            self.write(folder / "many" / f"{number:03}")

    def change(self) -> None:
        for _ in range(self._numbers.randint(1, 4)):
            self._numbers.choice(self._changes)()
        for path in self.folder.rglob("*"):
            if path.is_symlink() and not path.is_file():
                path.unlink()  # a loop of links is refused

    def write(self, path: Path) -> None:
        """Write one of the few contents, now, or with one of the few times."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._numbers.choice(CONTENTS))
        if self._numbers.random() < 0.5:
            self.stamp(path)

    def stamp(self, path: Path) -> None:
        moment = self._numbers.choice(SECONDS) * SECOND_NS + self._numbers.choice((0, 1, 999_999_999))
        os.utime(path, ns=(moment, moment), follow_symlinks=False)

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())

    def folders(self) -> list[Path]:
        return [
            self.folder,
            *sorted(path for path in self.folder.rglob("*") if path.is_dir() and not path.is_symlink()),
        ]

    def free_path(self) -> Path:
        return self._numbers.choice(self.folders()) / self._numbers.choice(NAMES)

    def edit(self) -> None:
        path = self.free_path()
        if path.is_symlink():
            path.unlink()
        if not path.is_dir():
            self.write(path)

    def swap(self) -> None:
        files = self.files()
        if len(files) > 1:
            one, other = self._numbers.sample(files, 2)
            between = one.with_name("between")
            one.rename(between)
            other.rename(one)
            between.rename(other)

    def move(self) -> None:
        paths = sorted(self.folder.rglob("*"))
        target = self.free_path()
        if paths and not target.exists() and not target.is_symlink():
            path = self._numbers.choice(paths)
            if path not in target.parents:
                path.rename(target)

    def touch(self) -> None:
        paths = [self.folder, *sorted(self.folder.rglob("*"))]
        for path in self._numbers.sample(paths, min(2, len(paths))):
            if self._numbers.random() < 0.5:
                self.stamp(path)
            else:
                os.utime(path, follow_symlinks=False)

    def remove(self) -> None:
        files = self.files()
        if len(files) > 3:
            self._numbers.choice(files).unlink()

    def change_kind(self) -> None:
        """Make a file a folder that has it, or a folder a file."""
        path = self._numbers.choice(self.files() or [self.folder])
        if self._numbers.random() < 0.5 and path.parent != self.folder:
            shutil.rmtree(path.parent)
            self.write(path.parent)
        elif path != self.folder:
            path.unlink()
            self.write(path / "one")

    def change_mode(self) -> None:
        for path in self.files()[:1]:
            path.chmod(self._numbers.choice(MODES))
        self._numbers.choice(self.folders()).chmod(self._numbers.choice((0o755, 0o700, 0o775)))

    def link(self) -> None:
        path = self.free_path()
        if not path.exists() and not path.is_symlink():
            name = self._numbers.choice(["one", "two"])
            if (path.parent / name).is_file() and path.name != name:
                path.symlink_to(name)
                self.stamp(path)
                return
        self.touch()

    def archive(self) -> None:
        self.archives.append(self.folder.with_name(f"{self.folder.name}{len(self.archives)}.tar"))
        subprocess.run(["tar", "--format=pax", "-cf", self.archives[-1], "-C", self.folder, "."], check=True)

    def unpack(self) -> None:
        """Unpack what was archived over what is there, with the times and modes of then."""
        if self.archives:
            archive = self._numbers.choice(self.archives)
            command = ["tar", "--recursive-unlink", "-xpf", archive, "-C", self.folder, "--warning=none"]
            subprocess.run(command, check=True)


class Succession:
    """An artifact whose versions follow each other at random; ``expected`` has what each must hold, by number."""

    def __init__(self, workspace: Workspace, mounted: Path, folder: Path, seed: int, many: int = 0) -> None:
        """``many`` is the number of files in one folder, which has several records if they are more than 256."""
        self.name = f"succession{seed}"
        self.numbers = random.Random(seed)
        self.source = Source(folder / self.name, self.numbers, many)
        self.expected: dict[int, Identities] = {}
        self.sources: dict[int, dict[str, Attributes]] = {}
        """What the source was, for the versions that were put from it alone."""
        self.latest: dict[int, int | None] = {}
        """The latest version when such a version was put."""
        self._workspace = workspace
        self._mounted = mounted
        self._folder = folder
        self._ways = (
            *[self._put] * 7,
            *(self._restore, self._include, self._lay_over, self._draft, self._link, self._delete_and_undelete),
        )

    def path(self, number: int) -> Path:
        return self._mounted / self.name / f"v{number}"

    def run(self, steps: int) -> None:
        self._put()
        for _ in range(steps):
            self.source.change()
            self.numbers.choice(self._ways)()

    def _note(self, number: int, expected: Identities) -> bool:
        """Note what a version must hold; return whether it is new."""
        is_new = number not in self.expected
        assert is_new or self.expected[number] == expected, "no version was made for other content"
        self.expected[number] = expected
        return is_new

    def _put(self, deleted: int | None = None) -> None:
        found = inventory(self.source.folder)
        latest = max(self.expected.keys() - {deleted}, default=None)
        version = self._workspace.put(self.source.folder, self.name)
        if self._note(version.number, identities(found)):
            self.sources[version.number] = found
            self.latest[version.number] = latest

    def _any(self) -> int:
        return self.numbers.choice(list(self.expected))

    def _restore(self) -> None:
        number = self._any()
        self._note(self._workspace.put(self.path(number), self.name).number, self.expected[number])

    def _include(self) -> None:
        """Include a version, which becomes a folder of the artifact's name."""
        number = self._any()
        expected = {".": self.expected[number]["."]}
        for path, identity in self.expected[number].items():
            expected[self.name if path == "." else f"{self.name}/{path}"] = identity
        self._note(self._workspace.refer(f"artfs://{self.name}:v{number}", self.name).number, expected)

    def _link(self) -> None:
        """Put the source as another artifact, and add that version to this one."""
        expected = identities(inventory(self.source.folder))
        other = self._workspace.put(self.source.folder, f"{self.name}-other")
        self._note(self._workspace.link(other.name, self.name).number, expected)

    def _lay_over(self) -> None:
        """Put some files of the source over a version."""
        number = self._any()
        upper, found = self._some_files()
        expected = dict(self.expected[number])
        for path, identity in found.items():
            is_directory = found[path] == found["."]
            if not is_directory:
                for lost in below(expected, path):
                    del expected[lost]
            expected[path] = identity
        version = self._workspace.put(upper, self.name, base=f"v{number}")
        self._note(version.number, expected)

    def _some_files(self) -> tuple[Path, Identities]:
        upper = self._folder / "upper"
        shutil.rmtree(upper, ignore_errors=True)
        upper.mkdir()
        files = self.source.files()
        for path in self.numbers.sample(files, min(2, len(files))):
            place = upper / path.relative_to(self.source.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
        return upper, identities(inventory(upper))

    def _draft(self) -> None:
        """Move, remove and add files in a draft over a version."""
        number = self._any()
        expected = dict(self.expected[number])
        draft = self._workspace.drafts.new(self.name, base=f"v{number}")
        folder = expected["."]
        files = [path for path, identity in expected.items() if identity != folder]
        if len(files) > 2:
            moved, removed = self.numbers.sample(files, 2)
            draft.move(moved, f"moved{number}", overwrite=True)
            if moved != f"moved{number}":
                expected[f"moved{number}"] = expected.pop(moved)
            if removed != f"moved{number}":
                draft.remove(removed)
                del expected[removed]
            for path in (moved, removed):
                self._prune(expected, path)
        path = self.numbers.choice(self.source.files())
        draft.add(path, f"added{number}", overwrite=True)
        expected[f"added{number}"] = inventory(path.parent)[path.name].identity
        self._note(draft.commit().number, expected)

    def _prune(self, expected: Identities, path: str) -> None:
        """Take out the folders that lost their last entry, as drafts do."""
        for above in PurePosixPath(path).parents:
            if str(above) != "." and str(above) in expected and not below(expected, str(above)):
                del expected[str(above)]

    def _delete_and_undelete(self) -> None:
        """Put the next version while another is deleted."""
        deleted = self._any()
        if len(self.expected) > 1:
            self._workspace.delete(f"{self.name}:v{deleted}", cascade="orphan")
            self._put(deleted)
            self._workspace.undelete(f"{self.name}:v{deleted}")
