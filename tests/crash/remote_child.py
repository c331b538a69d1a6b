"""A process that forks one child for each command line: the modules are loaded once, and each child can be killed.

It reads lines of JSON and writes ``pid`` when a child begins and ``status`` when it has ended.  A child has the
environment that it is given, a short probe, small packs, and a bug if one is named.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from artfs.cli import exchange, main, remote  # noqa: F401  (commands that a child would load)
from artstore import creating
from artstore.objects import probing
from artstore.remotes import adding, checking, cloning, pushing  # noqa: F401
from artstore.remotes.packs.output import PackOutput
from artstore.storage import reserve
from crash.remote_bugs import BUGS

__all__ = ["DATA_TARGET", "main_loop", "prepare"]

DATA_TARGET = 60_000


def prepare(change: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make this process as the children are: workspaces, probes and packs are small."""
    for module in (creating, reserve):
        change(module, "RESERVE", 4096)
    change(adding, "probe", partial(probing.probe, threads=1, rounds=1))  # moto lets two of two win at times
    change(pushing, "PackOutput", partial(PackOutput, data_target=DATA_TARGET))


def _be_child(order: dict[str, Any]) -> None:
    """Run one command in this process, and end."""
    os.environ.clear()
    os.environ.update(order["environment"])
    Path(order["folder"]).mkdir(parents=True, exist_ok=True)
    os.chdir(order["folder"])
    for fd, path in ((1, order["stdout"]), (2, order["stderr"])):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    sys.stdin.close()
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    if order["bug"]:
        BUGS[order["bug"]]()
    code = 70
    try:
        code = main.main(order["words"])
        sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        os._exit(code)


def main_loop() -> None:
    """Serve orders until there are no more."""
    prepare()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_child(json.loads(line))
        print(pid, file=out)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=out)


if __name__ == "__main__":
    main_loop()
