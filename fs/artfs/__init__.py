"""artfs: every version of every artifact is a directory.

    import artfs
    ws = artfs.open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"])
    with v.open("train/cat/0001.jpg") as f: ...

Importing it loads nothing but names: each is fetched when it is first used.  The FUSE binding and the event loop are
never loaded into the caller's process, so it may stand at the top of any training script.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from artfs.api import Workspace, init_workspace, open_workspace
    from artstore import errors
    from artstore.errors import ArtfsError
    from artstore.versions import FileInfo, PutReceipt, Version
    from artstore.workspace import Artifact

__all__ = [
    "ArtfsError",
    "Artifact",
    "FileInfo",
    "PutReceipt",
    "Version",
    "Workspace",
    "__version__",
    "errors",
    "init_workspace",
    "open_workspace",
]

__version__ = "0.1.0"

_HOME: Final = {
    "Artifact": "artstore.workspace",
    "ArtfsError": "artstore.errors",
    "FileInfo": "artstore.versions",
    "PutReceipt": "artstore.versions",
    "Version": "artstore.versions",
    "Workspace": "artfs.api",
    "init_workspace": "artfs.api",
    "open_workspace": "artfs.api",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        value: Any = importlib.import_module("artstore.errors")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'artfs' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
