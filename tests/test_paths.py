"""Paths in a workspace are opened, made and removed in `artstore.beneath` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
CHECKED: Final = ("store/artstore", "fs/artfs/mount")
EXEMPT: Final = {
    "store/artstore/beneath.py": "the module itself",
    "store/artstore/storage/lmdb_files.py": "a private folder of this process, for LMDB",
    "store/artstore/locate.py": "the user's configuration, and the system's table of mounts",
    "store/artstore/ingest/source/__init__.py": "the user's source",
    "store/artstore/ingest/source/entries.py": "the user's source",
    "store/artstore/ingest/source/links.py": "the user's source",
    "store/artstore/ingest/source/walk.py": "the user's source",
    "store/artstore/origins/repository.py": "the user's repository",
    "store/artstore/temporaries.py": "folders of users, by descriptors",
    "store/artstore/archives/reading.py": "the user's archive",
    "store/artstore/archives/writing.py": "the user's destination",
    "store/artstore/queries/exporting/__init__.py": "the user's destination",
    "store/artstore/queries/exporting/folders.py": "the user's destination",
    "store/artstore/queries/exporting/survey.py": "the user's destination",
    "store/artstore/queries/exporting/writing.py": "the user's destination",
    "store/artstore/objects/access.py": "the user's credentials",
    "store/artstore/objects/folders.py": "the user's folder that is a remote, by descriptors",
    "store/artstore/references/roots.py": "the user's configuration, and files of references",
    "store/artstore/references/pinning.py": "the user's files that become references",
    "fs/artfs/mount/holders.py": "/proc",
    "fs/artfs/mount/kernel.py": "/dev/fuse, /sys, and the mount point",
    "fs/artfs/mount/wakefulness.py": "/proc and a device",
}
"""Modules that have to do with other paths than those in a workspace, and which."""
ALLOWED: Final = {
    # The path of the workspace itself, which the user gives, and in which links are followed.
    "store/artstore/checking/__init__.py": {"os.path.realpath"},
    "store/artstore/ingest/source/forbidden.py": {"store.path.stat"},
    "store/artstore/queries/usage.py": {"folder.stat"},
    "store/artstore/repairing/__init__.py": {"os.path.realpath"},
    "store/artstore/repairing/rebuild.py": {"os.path.realpath"},
    "store/artstore/repairing/repair_folders.py": {"workspace.stat"},
    "store/artstore/storage/disk.py": {"os.statvfs"},
    "store/artstore/storage/write_turn.py": {"os.stat"},
    "store/artstore/storage/manifest_folders.py": {"os.path.lexists"},
    "store/artstore/storage/reserve.py": {"os.statvfs"},
    "store/artstore/privileges.py": {"os.open"},
    "store/artstore/store.py": {"os.path.realpath", "os.stat"},
    "store/artstore/remotes/lazy/cache.py": {"folder.mkdir"},
    "fs/artfs/mount/ownership.py": {"os.stat"},
    "fs/artfs/mount/tree.py": {"os.statvfs"},
    # Where there is no workspace yet: the user's folder, and a private one in it that is then opened.
    "store/artstore/creating.py": {
        *("(path / CURRENT).exists", "path.is_dir", "path.iterdir", "path.is_mount", "path.is_symlink"),
        *("path.parent.mkdir", "os.access", "os.mkdir", "os.open", "os.rename", "(whole / CURRENT).is_file"),
        "folder.glob",
    },
    # A device, and a program of this distribution.
    "fs/artfs/mount/lane.py": {"os.access", "os.open"},
    # Paths of the user: sources, files of references, mount points, targets of a question.
    "store/artstore/drafting/batches.py": {"content.read_bytes", "tempfile.NamedTemporaryFile"},
    "store/artstore/drafting/gathering.py": {"os.path.getsize"},
    "store/artstore/queries/explaining.py": {"os.path.realpath", "os.path.lexists"},
    "store/artstore/queries/resolving.py": {"os.path.isdir", "os.path.lexists"},
    "store/artstore/objects/opening.py": {"os.path.realpath"},
    "store/artstore/queries/mounted.py": {"os.path.realpath", "os.getxattr"},
    "store/artstore/references/local.py": {"os.open"},
    "fs/artfs/mount/checks.py": {
        "os.access",
        "os.path.exists",
        "os.scandir",
        "os.open",
        "os.readlink",
        "os.path.realpath",
        "_FUSE_CONFIGURATION.read_text",
    },
    "fs/artfs/mount/control.py": {"os.path.realpath"},
    "fs/artfs/mount/table.py": {"os.path.realpath", "os.statvfs", "os.access"},
    # The system's own files, and what has no path.
    "store/artstore/checking/lmdb_check.py": {"open", "os.open"},
    "store/artstore/checking/exclusive.py": {"Path('/proc').iterdir", "(process / 'fd').iterdir", "os.readlink"},
    "store/artstore/daemon_requests.py": {"call.connect"},
    "store/artstore/daemons.py": {"connection.connect", "listener.bind", "open", "os.open"},
    "store/artstore/mount_leases.py": {"os.open"},
    "store/artstore/references/web.py": {"sock.connect", "super().connect"},
    "store/artstore/rows/drafts.py": {"os.utime"},
    "fs/artfs/mount/children.py": {"os.open"},
    "fs/artfs/mount/daemon.py": {"os.open"},
    "fs/artfs/mount/supervisor.py": {"Path(f'/proc/{pid}/smaps_rollup').read_text"},
    "fs/artfs/mount/zygote.py": {"os.chdir"},
}
"""Single calls in other modules, with what they have to do with."""
OF_OS: Final = frozenset(
    {
        *("access", "chdir", "chmod", "chown", "fwalk", "getxattr", "lchown", "link", "listdir", "listxattr", "lstat"),
        *("makedirs", "mkdir", "mkfifo", "mknod", "open", "readlink", "remove", "removedirs", "removexattr", "rename"),
        *("renames", "replace", "rmdir", "scandir", "setxattr", "stat", "statvfs", "symlink", "truncate", "unlink"),
        *("utime", "walk"),
    }
)
OF_OS_PATH: Final = frozenset(
    {
        *("exists", "getatime", "getctime", "getmtime", "getsize", "isdir", "isfile", "islink", "ismount", "lexists"),
        *("realpath", "samefile"),
    }
)
OF_PATH: Final = frozenset(
    {
        *(
            "bind",
            "chmod",
            "connect",
            "exists",
            "expanduser",
            "glob",
            "hardlink_to",
            "is_block_device",
            "is_char_device",
        ),
        *("is_dir", "is_fifo", "is_file", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod", "lstat", "mkdir"),
        *("read_bytes", "read_text", "readlink", "rglob", "rmdir", "samefile", "symlink_to", "unlink", "write_bytes"),
        *("write_text",),
    }
)
"""Methods that nothing but a path or a socket has here."""
ALSO_OF_OTHERS: Final = frozenset({"open", "rename", "replace", "resolve", "stat", "touch"})
"""Methods of a path that other objects have, too: they count where the object's name is that of a path."""
NAMES_OF_PATHS: Final = frozenset(
    {"data", "dest", "file", "folder", "lease", "log", "path", "reserve", "temporary", "workspace"}
)


def calls_on_paths(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, function) of the calls that take a path, except those with a descriptor from `beneath`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        if isinstance(node.func, ast.Name):
            opens_a_descriptor = node.args and ast.unparse(node.args[0]).startswith("beneath.open_")
            if node.func.id == "open" and not opens_a_descriptor:
                yield node.lineno, text
        elif isinstance(node.func, ast.Attribute):
            module, _, name = text.rpartition(".")
            is_path = (
                module == "os" and name in OF_OS,
                module == "os.path" and name in OF_OS_PATH,
                module in ("shutil", "tempfile") or text == "lmdb.open",
                module not in ("os", "os.path", "beneath", "self") and name in OF_PATH,
                name in ALSO_OF_OTHERS and _is_named_as_path(node.func.value),
            )
            if any(is_path):
                yield node.lineno, text


def _is_named_as_path(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith(("_path", "Path"))
    return name in NAMES_OF_PATHS or name.endswith(("_path", "_dir", "_folder")) or name == "parent"


def modules() -> list[str]:
    return sorted(str(file.relative_to(ROOT)) for folder in CHECKED for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("module", modules())
def test_paths_in_a_workspace_are_left_to_one_module(module: str) -> None:
    if module in EXEMPT:
        return
    found = set(calls_on_paths(ast.parse((ROOT / module).read_text())))
    allowed = ALLOWED.get(module, set())
    assert [f"{module}:{line}: {call}" for line, call in sorted(found) if call not in allowed] == []
    assert allowed <= {call for _, call in found}, "an exception that is not needed"


def test_the_exceptions_exist() -> None:
    assert not {*EXEMPT, *ALLOWED} - set(modules())
    assert not set(EXEMPT) & set(ALLOWED)


@pytest.mark.parametrize(
    "text",
    [
        "os.open(path, 0)",
        "os.stat(workspace / 'run')",
        "open(path)",
        "(workspace / 'current').stat()",
        "pack_path(workspace, 1).open('rb')",
        "path.unlink()",
        "self._path.rename(new)",
        "shutil.rmtree(folder)",
        "tempfile.mkstemp(dir=folder)",
        "lmdb.open(folder)",
        "os.path.exists(path)",
    ],
)
def test_calls_are_recognized(text: str) -> None:
    assert list(calls_on_paths(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["snapshot.resolve(root)", "open(beneath.open_file(root, name))", "beneath.names(root)"]
)
def test_other_calls_are_not(text: str) -> None:
    assert not list(calls_on_paths(ast.parse(text)))
