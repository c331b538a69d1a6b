"""A workspace with something of each kind, and the dispatcher of the direct transport over it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artfs.mount import inodes
from artfs.mount.counters import Counters, Epoch
from artfs.mount.transports.direct import Dispatcher
from artfs.mount.transports.protocol import Opcode
from artfs.mount.tree import Tree
from artstore.workspace import init_workspace
from fs.mount import wire
from fs.mount.wire import parsed, request

BIG = 3_000_000
SILENT = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY}
CHANGING = {
    Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
    Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE, Opcode.FALLOCATE, Opcode.RENAME2,
    Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
}  # fmt: skip


@dataclass
class Served:
    """A dispatcher over a workspace, and inodes of each kind in it."""

    dispatcher: Dispatcher
    tree: Tree
    counters: Counters
    inodes: dict[str, int]

    def answer(self, message: bytes) -> Sequence[bytes]:
        return self.dispatcher.answer(memoryview(bytearray(message)))

    def ask(self, opcode: int, inode: str, body: bytes = b"") -> wire.Answer:
        return parsed(self.answer(request(opcode, body, nodeid=self.inodes[inode])))


def serve(folder: Path) -> Served:
    """Put a folder with something of each kind, and serve it."""
    source = folder / "source"
    (source / "folder" / "deep").mkdir(parents=True)
    (source / "empty").touch()
    (source / "big").write_bytes(random.Random(1).randbytes(BIG))
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("folder/deep")
    for number in range(3000):
        (source / "folder" / f"{number:0{1 + number % 200}}").touch()
    workspace = init_workspace(folder / "ws")
    workspace.put(source, "team/data", aliases=["good"], metadata={"k": "v"})
    tree = Tree(workspace.store, Epoch())
    places = {"root": inodes.ROOT}
    for name, above in {
        "team": "root", "data": "team", "v0": "data", "latest": "data", "good": "data", "folder": "v0",
        "deep": "folder", "big": "v0", "empty": "v0", "run": "v0", "link": "v0",
    }.items():  # fmt: skip
        found = tree.lookup(places[above], name.encode())
        assert found is not None
        places[name] = found.inode
    counters = Counters(1)
    return Served(Dispatcher(tree, counters.slot(0), uid=7, gid=8, later=lambda *_: None), tree, counters, places)
