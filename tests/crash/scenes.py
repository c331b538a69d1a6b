"""Scenes: a workspace and one operation on it, for the rigs that interrupt the operation or make it fail.

The operations run in processes of their own (`crash.child`), in small batches, so that small folders pass through many
states.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3

from artstore.objects.locations import file_uri
from artstore.records.references import ReferenceRecord
from artstore.records.tables import Table
from artstore.rows.nodes import change_counts
from artstore.storage import manifest
from artstore.storage.packs import PACK_LIMIT
from corpora import folders
from corpora.folders import DIRECTORY, Content, Entry, content_of
from crash.states import forget

TESTS = Path(__file__).parents[1]
BATCH_NODES = 12
SECRET = "the-secret-of-the-rig"
SMALL_PACKS = 1_000_000
"""Bytes after which the scenes' puts start another pack."""


@dataclass(frozen=True)
class Scene:
    """An operation, the workspace's content before it, and its possible contents after it."""

    name: str
    base: Path | None
    words: Sequence[str]
    """The operation, for `crash.child`."""
    line: Sequence[str]
    """The same for the command line."""
    before: Mapping[str, Content]
    """The versions that are there whatever happens."""
    after: Mapping[str, Content]
    """Those that the operation makes."""
    gone: Mapping[str, Content]
    """Those that it deletes."""
    aliased: int | None = None
    """The version that the alias ``good`` names afterwards."""
    can_be_undone: bool = False
    """Whether what is gone can be undeleted."""
    sound: bool = True
    """Whether its records contradict nothing before the operation."""
    damaged: Mapping[str, Content] = field(default_factory=dict)
    """Versions that do not read before ``heal``, a put of the same content."""
    heal: Sequence[str] = ()
    purged: bytes = b""
    """What is in no pack, journal or manifest afterwards."""
    draft: Sequence[Content] = ()
    """What the open draft ``rig`` holds before it and after it."""


def environment() -> dict[str, str]:
    """Return the environment that lets `crash.child` find the code and this package."""
    paths = [str(TESTS), *[path for path in sys.path if path], os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def command(
    workspace: Path,
    words: Sequence[str],
    *,
    bug: str | None = None,
    nodes: int = BATCH_NODES,
    pack_limit: int = PACK_LIMIT,
) -> list[str]:
    """Return the command line of the child that does an operation on a workspace."""
    operation, *rest = words
    seeded = ["--bug", bug] if bug else []
    return [
        *(sys.executable, "-m", "crash.child", "--batch-nodes", str(nodes), "--pack-limit", str(pack_limit), *seeded),
        *(operation, str(workspace), *rest),
    ]


def run(arguments: Sequence[str]) -> str:
    """Run a child that must succeed; return its output."""
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr}")
    return done.stdout


def copy_workspace(base: Path | None, to: Path) -> None:
    """Copy an unused workspace, with the holes in its files; its reserve becomes a hole."""
    if to.exists():
        shutil.rmtree(to)
    if base is not None:
        shutil.copytree(base, to, ignore=shutil.ignore_patterns("reserve"), copy_function=_copy_with_holes)
        with (to / "reserve").open("wb") as reserve:
            reserve.truncate((base / "reserve").stat().st_size)


def _copy_with_holes(source: str, target: str) -> None:
    with open(source, "rb") as file, open(target, "wb") as copy:
        size, start = os.fstat(file.fileno()).st_size, 0
        while start < size:
            try:
                start = os.lseek(file.fileno(), start, os.SEEK_DATA)
            except OSError:
                break  # a hole up to the end
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            os.pwrite(copy.fileno(), os.pread(file.fileno(), end - start, start), start)
            start = end
        copy.truncate(size)
    shutil.copystat(source, target)


def scenes(folder: Path, *, only: Sequence[str] = ()) -> Iterator[Scene]:
    """Make the scenes, in an order in which most begin with another's end state; or only those with certain names."""
    for scene in _Stage(folder).scenes():
        if not only or scene.name in only:
            yield scene


class _Stage:
    """Sources and workspaces that the scenes begin with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources = [folder / name for name in ("first", "second", "third")]
        for number, source in enumerate(self._sources):
            source.mkdir(parents=True)
            folders.small(source, seed=1, files=40)
            if number:
                folders.change_some(source, seed=number + 1)

    def _base(self, name: str, *steps: Sequence[str], of: Path | None = None) -> Path:
        """Return a new workspace in which steps were run, after those of another."""
        base = self._folder / f"base-{name}"
        copy_workspace(of, base)
        for words in steps:
            run(command(base, words, pack_limit=SMALL_PACKS))
        return base

    def scenes(self) -> Iterator[Scene]:
        """Make all."""
        first, second, third = map(str, self._sources)
        v0, v1, v2 = map(content_of, self._sources)
        zero, one = {"data:v0": v0}, {"data:v1": v1}
        yield Scene("init", None, ["init"], ["init"], {}, {}, {})
        put = ["put", first, "data"]
        empty = self._base("empty", ["init"])
        yield Scene("first put", empty, put, put, {}, zero, {})
        single = self._base("single", put, of=empty)
        put = ["put", second, "data"]
        yield Scene("second put", single, [*put, "good"], [*put, "-a", "good"], zero, one, {}, aliased=1)
        both = self._base("both", put, of=single)
        alias = ["data:v0", "good"]
        yield Scene("alias", both, ["alias", *alias], ["alias", "set", *alias], {**zero, **one}, {}, {}, aliased=0)
        noted = ["note", "data:v0", SECRET]
        line = ["meta", "set", "data:v0", f"note={SECRET}"]
        yield Scene("note", both, noted, line, {**zero, **one}, {}, {})
        with_note = self._base("noted", noted, of=both)
        line = ["meta", "rm", "data:v0", "note", "--purge"]
        forget_note = Scene("forget note", with_note, ["forget-note", "data:v0"], line, {**zero, **one}, {}, {})
        yield replace(forget_note, purged=SECRET.encode())
        delete = ["delete", "data:v0"]
        yield Scene("delete", both, delete, ["rm", "data:v0"], one, {}, zero, can_be_undone=True)
        yield Scene("delete now", both, [*delete, "--now"], ["rm", "--now", "data:v0"], one, {}, zero)
        deleted = self._base("deleted", delete, of=both)
        yield Scene("undelete", deleted, ["undelete", "data:v0"], ["undelete", "data:v0"], one, zero, {})
        line = ["retention", "set", "only", "--keep-last", "1"]
        yield Scene("rule", both, ["rule", "only"], line, {**zero, **one}, {}, {})
        ruled = self._base("ruled", ["rule", "only"], of=both)
        yield Scene("retain", ruled, ["retain"], ["retention", "apply"], one, {}, zero, can_be_undone=True)
        link = ["link", "data:v0", "shown"]
        yield Scene("link", both, link, link, {**zero, **one}, {"shown:v0": v0}, {})
        outside = ["ref", "add", third, "outside"]
        pinned = {path: _pinned(third, path, v2) for path in v2}
        words = ["refer", third, "outside"]
        yield Scene("refer", both, words, outside, {**zero, **one}, {"outside:v0": pinned}, {})
        line = ["artifact", "put", "--name", "model", third]
        yield Scene("work", both, ["work", "model", "data:v0", third], line, {**zero, **one}, {"model:v0": v2}, {})
        yield Scene("reap", deleted, ["gc", "--now"], ["gc", "--now"], one, {}, {})
        holes = self._base("holes", ["put", third, "other"], ["delete", "data:v0", "data:v1", "--now"], of=both)
        kept = {"other:v0": v2}
        yield Scene("compact", holes, ["gc", "--compact"], ["gc", "--compact"], kept, {}, {})
        yield self._purge(both, v0, v1)
        yield from self._drafts(single, v0, v1)
        yield from self._damage(both, zero, one)
        rebuild = self._base("lost", of=deleted)
        (rebuild / "manifest.1" / "data.mdb").unlink()
        yield Scene("rebuild", rebuild, ["rebuild"], ["fsck", "--rebuild"], one, {}, {}, sound=False)

    def _purge(self, base: Path, v0: Content, v1: Content) -> Scene:
        """Purge a file that both versions have."""
        path = next(path for path in v0 if v0[path] == v1.get(path) and v0[path].size == 20_000 and path[-1] % 2 == 0)
        without = [{at: entry for at, entry in version.items() if at != path} for version in (v0, v1)]
        words = [v0[path].id, "--everywhere"]
        return Scene(
            name="purge",
            base=base,
            words=["purge", *words],
            line=["purge", *words, "--reason", "of the rig"],
            before={"data:v0": v0, "data:v1": v1},
            after={"data:v0": without[0], "data:v1": without[1]},
            gone={},
            purged=(self._sources[0] / os.fsdecode(path)).read_bytes(),
        )

    def _drafts(self, base: Path, v0: Content, v1: Content) -> Iterator[Scene]:
        """Build a version in one go, and in steps of which one is interrupted."""
        second = str(self._sources[1])
        inside = {b"added": DIRECTORY, **{b"added/" + path: entry for path, entry in v1.items()}}
        changed = {
            b"moved" + path[7:] if path.startswith(b"class-1") else path: entry
            for path, entry in v0.items()
            if not path.startswith(b"class-0")
        }
        zero, one = {"data:v0": v0}, {"data:v1": {**changed, **inside}}
        yield Scene("draft", base, ["draft", second, "data"], [], zero, one, {})
        opened = self._base("opened", ["draft-new", "data", "rig"], of=base)
        adding = ["rig", second, "added"]
        yield Scene(
            name="draft add",
            base=opened,
            words=["draft-add", *adding],
            line=["draft", "add", *adding],
            before=zero,
            after={},
            gone={},
            draft=[v0, {**v0, **inside}],
        )
        yield Scene(
            name="draft bring",
            base=opened,
            words=["draft-bring", "rig", second],
            line=[],
            before=zero,
            after={},
            gone={},
            draft=[v0, {**v0, **v1}],
        )
        filled = self._base("filled", ["draft-add", *adding], of=opened)
        line = ["draft", "commit", "rig"]
        yield Scene("draft commit", filled, ["draft-commit", "rig"], line, zero, {"data:v1": {**v0, **inside}}, {})

    def _damage(self, base: Path, zero: dict[str, Content], one: dict[str, Content]) -> Iterator[Scene]:
        """Repair wrong counts, and unreadable content."""
        words, line = ["fsck", "--repair"], ["fsck", "--repair"]
        counts = self._base("counts", of=base)
        with manifest.write(counts) as transaction:
            change_counts(transaction, {node: 1 for node, _ in transaction.numbered_rows(Table.NODES) if node % 3 == 0})
        forget(counts)
        yield Scene("repair counts", counts, words, line, {**zero, **one}, {}, {}, sound=False)
        flipped = self._base("flipped", of=base)
        unique = (self._sources[0] / "class-0" / "item-0000").read_bytes()
        pack = next(path for path in (flipped / "packs").iterdir() if unique in path.read_bytes())
        data = bytearray(pack.read_bytes())
        data[data.index(unique)] ^= 1
        pack.write_bytes(data)
        yield Scene(
            name="repair content",
            base=flipped,
            words=[*words, "--data"],
            line=[*line, "--data"],
            before=one,
            after={},
            gone={},
            damaged=zero,
            heal=["put", str(self._sources[0]), "healing"],
        )


def _pinned(folder: str, path: bytes, content: Content) -> Entry:
    """Return a version's entry for a file of a referenced folder; for a link, the entry of its target."""
    entry = content[content[path].text] if content[path].kind == "link" else content[path]
    if entry.kind != "file":
        return entry
    uri = file_uri(os.fsencode(folder) + b"/" + path)
    record = ReferenceRecord(uri, entry.size, blake3=entry.id).encode()
    return Entry("reference", size=entry.size, id=blake3(record).hexdigest())
