"""The application of all pages: routes, static files, and what is shown when something fails."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from artfs.ui import artifacts, checks, comparisons, files, lineage, space
from artfs.ui.jobs import Unfinished
from artfs.ui.pages import Pages
from artstore.errors import (
    ArtfsError,
    BusyError,
    DamageError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    OutOfSpaceError,
    OutsideError,
    RefusedError,
)
from artstore.limits import machine_error

__all__ = ["make_application"]

_MODULES: Final = (artifacts, checks, comparisons, files, lineage, space)
_STATIC: Final = {"style.css": "text/css", "ui.js": "text/javascript", "icon.svg": "image/svg+xml"}
_STATUS: Final = (
    (NotFoundError, 404),
    (InvalidInputError, 400),
    (InvalidNameError, 400),
    (RefusedError, 409),
    (OutsideError, 503),
    (BusyError, 503),
    (OutOfSpaceError, 507),
    (DamageError, 500),
)
_TITLES: Final = {
    404: "Not found",
    400: "Not understood",
    405: "Not allowed",
    409: "Refused",
    503: "Not now",
    507: "No space",
    500: "Failed",
}


def make_application(pages: Pages) -> Starlette:
    """Return the ASGI application of the pages; it answers every request, so `Guard` stands before it."""
    routes: list[BaseRoute] = [Route("/static/{name}", _static)]
    for module in _MODULES:
        routes += module.routes(pages)

    def failed(request: Request, error: Exception) -> Response:
        status, message, hint = _described(error)
        return pages.render(
            "error.html", request, status, title=_TITLES.get(status, "Failed"), message=message, hint=hint
        )

    def unfinished(request: Request, error: Exception) -> Response:
        assert isinstance(error, Unfinished)
        return pages.progress(request, error)

    kinds: Sequence[Any] = (ArtfsError, OSError, HTTPException, Exception)
    handlers: dict[Any, Any] = {**dict.fromkeys(kinds, failed), Unfinished: unfinished}
    return Starlette(routes=routes, exception_handlers=handlers)


def _described(error: Exception) -> tuple[int, str, str]:
    """Return (status, sentence, way out) of what a page failed with."""
    if isinstance(error, ArtfsError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return status, error.message, error.hint
    if isinstance(error, HTTPException):
        what = "there is no such page" if error.status_code == 404 else str(error.detail).lower()
        return error.status_code, what, ""
    found = machine_error(error, "")
    if found is not None:
        return 507 if found.kind == "out_of_space" else 500, found.message, found.hint
    return 500, f"internal error: {type(error).__name__}", "the terminal of 'artfs ui' shows where; please report it"


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404)
    content = resources.files("artfs.ui").joinpath("static", name).read_bytes()
    return Response(content, media_type=_STATIC[name], headers={"cache-control": "max-age=60"})
