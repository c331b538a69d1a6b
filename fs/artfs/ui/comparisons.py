"""Pages that compare: two versions, a version and a folder of the disk, and two contents of one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from artfs.comparing.contents import compare_files
from artfs.comparing.moves import is_image, moves_of
from artfs.contents.sources import version_source
from artfs.documents.differences import DifferenceDocument
from artfs.drawing.bars import Bin, histogram
from artfs.ui.addresses import address
from artfs.ui.jobs import Job, Jobs
from artfs.ui.pages import PER_PAGE, Pages, page_number, parameters
from artstore.errors import ArtfsError, InvalidInputError

if TYPE_CHECKING:
    from artfs.documents.contents import Histogram
    from artstore.queries.difference import Difference
    from artstore.queries.versions import Version

__all__ = ["routes"]

_IN_GRID: Final = 100
_SIDE_BY_SIDE: Final = 20


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    jobs = pages.jobs
    return [
        Route("/compare", lambda request: _compare(pages, request)),
        Route("/comparison", lambda request: _comparison(pages, request)),
        Route("/folder", lambda request: _folder(pages, jobs, request)),
        Route(
            "/compare-folder",
            pages.form(lambda _request, fields: _start(pages, jobs, fields)),
            methods=["POST"],
        ),
    ]


def _compare(pages: Pages, request: Request) -> Response:
    """Show what differs between two versions: counts, images that moved or changed, and every path by pages."""
    given = parameters(request)
    old, new = (pages.workspace.version(given.get(side, "")) for side in ("a", "b"))
    difference = pages.workspace.diff(old.name, new.name)
    if given.get("format") == "json":
        return pages.json(DifferenceDocument.of(old.name, new.name, difference))
    return pages.render("compare.html", request, old=old, new=new, folder=None, **_parts(request, difference))


def _parts(request: Request, difference: Difference) -> dict[str, Any]:
    """Return what the page of a difference shows."""
    given, number = parameters(request), page_number(request)
    kind = given.get("kind", "")
    changes = [change for change in difference if kind in ("", change.kind)]
    first = (number - 1) * PER_PAGE
    here = {name: given.get(name) for name in ("a", "b", "job")} | {"kind": kind}
    page = request.url.path
    counts = Counter(change.kind for change in difference)
    images = [change for change in difference if change.kind == "changed" and is_image(change.path)]
    return {
        "counts": [(name, counts[name], address(page, **{**here, "kind": name})) for name in sorted(counts)],
        "total": len(difference),
        "everything": address(page, **{**here, "kind": None}),
        "kind": kind,
        "moves": [move for move in moves_of(difference) if move.images] if number == 1 else [],
        "images": images[:_SIDE_BY_SIDE] if number == 1 else [],
        "shown_images": _IN_GRID,
        "changes": changes[first : first + PER_PAGE],
        "before": address(page, **here, page=number - 1) if number > 1 else None,
        "after": address(page, **here, page=number + 1) if len(changes) > first + PER_PAGE else None,
    }


# -- one file ----------------------------------------------------------------------------------------------------------


def _comparison(pages: Pages, request: Request) -> Response:
    """Show what differs between a file of one version and one of another, of the same path or its former one."""
    given = parameters(request)
    old, new = (pages.workspace.version(given.get(side, "")) for side in ("a", "b"))
    path = given.get("path", "").strip("/")
    old_path = given.get("old", "").strip("/") or path
    sides = [(side, where, side.stat(where)) for side, where in ((old, old_path), (new, path))]
    if any(info.kind == "directory" for _, _, info in sides):
        raise InvalidInputError(f"{path!r} is a folder", hint="compare the versions")
    key = [name.strip() for name in given.get("key", "").split(",") if name.strip()]
    found, failure = None, None
    try:
        with version_source(old, old_path) as one, version_source(new, path) as other:
            found = compare_files(one, other, key, path=path, old_path=None if old_path == path else old_path)
    except (ArtfsError, OSError) as error:
        failure = str(error)
    table = None if found is None else found.table
    return pages.render(
        "comparison.html",
        request,
        old=old,
        new=new,
        path=path,
        old_path=old_path,
        sides=sides,
        found=found,
        failure=failure if found is None else found.failure,
        table=table,
        key=",".join(key),
        charts=[] if table is None else [_chart(each) for each in table.histograms],
    )


def _chart(distribution: Histogram) -> tuple[str, str]:
    """Return (column, chart) of the values of a column before and after."""
    bins = [Bin(each.low, each.high, each.before, each.after) for each in distribution.bins]
    return distribution.column, histogram(bins, title=f"{distribution.column} before and after")


# -- a folder of the disk ----------------------------------------------------------------------------------------------


def _start(pages: Pages, jobs: Jobs, fields: Mapping[str, str]) -> str:
    """Begin to compare a version with a folder that a form names; return the address that shows how far it is."""
    version = pages.workspace.version(fields.get("ref", ""))
    folder = os.path.expanduser(fields.get("folder", "").strip())
    if not os.path.isabs(folder):
        raise InvalidInputError("the folder must be named from the root, such as /home/me/data")

    def work(job: Job) -> tuple[Version, Difference]:
        return version, pages.workspace.diff(version.name, folder, progress=job.tell)

    key = jobs.start(f"Comparing {version.name} with {folder}", folder, work)
    return address("/folder", job=key)


def _folder(pages: Pages, jobs: Jobs, request: Request) -> Response:
    """Show how far a comparison with a folder is, or what differs."""
    job = jobs.get(parameters(request).get("job", ""))
    if not job.is_done:
        return pages.render("job.html", request, job=job)
    if job.error is not None:
        raise job.error
    version, difference = job.result
    return pages.render(
        "compare.html", request, old=version, new=None, folder=job.target, **_parts(request, difference)
    )
