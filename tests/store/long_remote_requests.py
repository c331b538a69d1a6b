"""Requests of pushes and reads of 100,000 files of 4 KB, also after 200 small pushes, counted before moto."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path

from artstore.creating import create_workspace
from artstore.workspace import Workspace
from servers import s3 as servers
from servers.faults import FaultProxy
from soaks.report import Report, run
from store.remotes.remote_requests import BOUNDS, measure


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    with servers.moto() as server, FaultProxy(server.endpoint) as proxy:
        bucket = server.in_new_bucket()
        os.environ.update(bucket.environment)
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        with closing(Workspace(create_workspace(folder / "ws"))) as workspace:
            workspace.remotes.add("origin", bucket.uri("remote"))
            measure(
                workspace,
                bucket.uri("remote"),
                proxy,
                folder,
                files=arguments.files,
                folders=arguments.folders,
                pushes=arguments.pushes,
                told=lambda what, number: report.figure(what, number, "", most=BOUNDS.get(what)),
            )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=100_000, help="files of 4 KB [100000]")
    options.add_argument("--folders", type=int, default=1000, help="folders [1000]")
    options.add_argument("--pushes", type=int, default=200, help="pushes of three changed files [200]")
    run("remote-requests", options, soak)
