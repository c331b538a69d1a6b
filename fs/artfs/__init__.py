"""artfs: every version of every artifact is a directory.

    import artfs
    ws = artfs.open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"])
    with v.open("train/cat/0001.jpg") as f: ...

Importing it loads no submodule: each name is loaded at its first use.  The FUSE binding and the event loop are never
loaded into the caller's process, so any training script can import it at its top.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from artfs.api import Workspace, init_workspace, open_workspace
    from artfs.tracking.active_run import finish, init, log, login
    from artfs.tracking.api import Api
    from artfs.tracking.artifact import Artifact
    from artfs.tracking.run import Run
    from artfs.tracking.run_values import Words
    from artstore import errors
    from artstore.errors import ArtfsError
    from artstore.queries.versions import FileInfo, PutReceipt, Version
    from artstore.workspace import ArtifactInfo

    config: Words
    run: Run | None
    summary: Words

__all__ = [
    "Api",
    "ArtfsError",
    "Artifact",
    "ArtifactInfo",
    "FileInfo",
    "PutReceipt",
    "Run",
    "Version",
    "Workspace",
    "__version__",
    "errors",
    "finish",
    "init",
    "init_workspace",
    "log",
    "login",
    "open_workspace",
]

__version__ = "0.1.0"

_HOME: Final = {
    "Api": "artfs.tracking.api",
    "ArtfsError": "artstore.errors",
    "Artifact": "artfs.tracking.artifact",
    "ArtifactInfo": "artstore.workspace",
    "FileInfo": "artstore.queries.versions",
    "PutReceipt": "artstore.queries.versions",
    "Run": "artfs.tracking.run",
    "Version": "artstore.queries.versions",
    "Workspace": "artfs.api",
    "finish": "artfs.tracking.active_run",
    "init": "artfs.tracking.active_run",
    "init_workspace": "artfs.api",
    "log": "artfs.tracking.active_run",
    "login": "artfs.tracking.active_run",
    "open_workspace": "artfs.api",
}
_OF_THE_RUN: Final = frozenset({"config", "run", "summary"})
"""Names whose value depends on the current run, so they are looked up each time."""


def __getattr__(name: str) -> Any:
    if name in _OF_THE_RUN:
        return getattr(importlib.import_module("artfs.tracking.active_run"), name)()
    if name == "errors":
        value: Any = importlib.import_module("artstore.errors")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name.startswith("_"):
        raise AttributeError(f"module 'artfs' has no attribute {name!r}")
    else:
        raise AttributeError(
            f"artfs has no {name!r}: it provides runs and artifacts; for the rest, use wandb alongside it"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_OF_THE_RUN])
