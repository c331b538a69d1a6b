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
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from artfs.api import Workspace, init_workspace, open_workspace
    from artfs.errors import CommError, Error, UsageError
    from artfs.tracking.active_run import finish, init, log, login
    from artfs.tracking.api import Api
    from artfs.tracking.artifact import Artifact
    from artfs.tracking.description import ArtifactTTL
    from artfs.tracking.run import Run
    from artfs.tracking.run_functions import (
        AlertLevel,
        alert,
        define_metric,
        join,
        link_artifact,
        link_model,
        log_artifact,
        log_code,
        log_model,
        mark_preempting,
        pin_config_keys,
        require,
        restore,
        save,
        setup,
        teardown,
        termerror,
        termlog,
        termwarn,
        unwatch,
        use_artifact,
        use_model,
        watch,
    )
    from artfs.tracking.run_values import Words
    from artfs.tracking.settings import Settings
    from artfs.tracking.tables import Table
    from artstore.errors import ArtfsError
    from artstore.queries.versions import FileInfo, PutReceipt, Version
    from artstore.workspace import ArtifactInfo

    config: Words
    run: Run | None
    summary: Words

__all__ = [
    "AlertLevel",
    "Api",
    "ArtfsError",
    "Artifact",
    "ArtifactInfo",
    "ArtifactTTL",
    "CommError",
    "Error",
    "FileInfo",
    "PutReceipt",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Version",
    "Workspace",
    "__version__",
    "alert",
    "define_metric",
    "errors",
    "finish",
    "init",
    "init_workspace",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_code",
    "log_model",
    "login",
    "mark_preempting",
    "open_workspace",
    "pin_config_keys",
    "require",
    "restore",
    "save",
    "setup",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]

__version__ = "0.1.0"

_HOME: Final = {
    "AlertLevel": "artfs.tracking.run_functions",
    "Api": "artfs.tracking.api",
    "ArtfsError": "artstore.errors",
    "Artifact": "artfs.tracking.artifact",
    "ArtifactInfo": "artstore.workspace",
    "ArtifactTTL": "artfs.tracking.description",
    "CommError": "artfs.errors",
    "Error": "artfs.errors",
    "FileInfo": "artstore.queries.versions",
    "PutReceipt": "artstore.queries.versions",
    "Run": "artfs.tracking.run",
    "Settings": "artfs.tracking.settings",
    "Table": "artfs.tracking.tables",
    "UsageError": "artfs.errors",
    "Version": "artstore.queries.versions",
    "Workspace": "artfs.api",
    "alert": "artfs.tracking.run_functions",
    "define_metric": "artfs.tracking.run_functions",
    "finish": "artfs.tracking.active_run",
    "init": "artfs.tracking.active_run",
    "init_workspace": "artfs.api",
    "join": "artfs.tracking.run_functions",
    "link_artifact": "artfs.tracking.run_functions",
    "link_model": "artfs.tracking.run_functions",
    "log": "artfs.tracking.active_run",
    "log_artifact": "artfs.tracking.run_functions",
    "log_code": "artfs.tracking.run_functions",
    "log_model": "artfs.tracking.run_functions",
    "login": "artfs.tracking.active_run",
    "mark_preempting": "artfs.tracking.run_functions",
    "open_workspace": "artfs.api",
    "pin_config_keys": "artfs.tracking.run_functions",
    "require": "artfs.tracking.run_functions",
    "restore": "artfs.tracking.run_functions",
    "save": "artfs.tracking.run_functions",
    "setup": "artfs.tracking.run_functions",
    "teardown": "artfs.tracking.run_functions",
    "termerror": "artfs.tracking.run_functions",
    "termlog": "artfs.tracking.run_functions",
    "termwarn": "artfs.tracking.run_functions",
    "unwatch": "artfs.tracking.run_functions",
    "use_artifact": "artfs.tracking.run_functions",
    "use_model": "artfs.tracking.run_functions",
    "watch": "artfs.tracking.run_functions",
}
_OF_THE_RUN: Final = frozenset({"config", "run", "summary"})
"""Names whose value depends on the current run, so they are looked up each time."""


def __getattr__(name: str) -> Any:
    if name in _OF_THE_RUN:
        return getattr(importlib.import_module("artfs.tracking.active_run"), name)()
    if name == "errors":
        value: Any = importlib.import_module("artfs.errors")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name.startswith("_"):
        raise AttributeError(f"module 'artfs' has no attribute {name!r}")
    else:
        from artfs.tracking.absent import absent

        raise AttributeError(absent("wandb", name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_OF_THE_RUN])


if "IPython" in sys.modules:  # a session that shows values
    importlib.import_module("artfs.notebook").register()
