"""The page that checks the workspace, as ``artfs fsck`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from artfs.documents.checking import CheckDocument
from artfs.ui.jobs import Job
from artfs.ui.pages import Pages, parameters
from artstore.progress import Progress

if TYPE_CHECKING:
    from artstore.checking.report import Progress as CheckProgress
    from artstore.checking.report import Report

__all__ = ["routes"]


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [Route("/check", lambda request: _check(pages, request))]


def _check(pages: Pages, request: Request) -> Response:
    """Offer to check the workspace, show how far a check is, or what it found; nothing is repaired."""
    given = parameters(request)
    if not given.get("run") and not given.get("job"):
        return pages.render("check.html", request, document=None)
    data = bool(given.get("data"))

    def work(job: Job) -> Report:
        return pages.workspace.fsck(data=data, progress=lambda done: job.tell(_progress(done)))

    report = pages.worked(request, "Checking the workspace", work, unit="items")
    return pages.answer(CheckDocument.of(report), "check.html", request)


def _progress(done: CheckProgress) -> Progress:
    """Return the progress of a check: bytes while content is read, else items."""
    if done.phase == "data":
        return Progress("content", 0, done.done, None, done.total, "")
    return Progress(done.phase, done.done, 0, done.total, None, "")
