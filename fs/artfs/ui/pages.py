"""What every page shares: the workspace, templates, answers, and forms that change something.

A module of pages has ``routes(pages)``, which returns Starlette's routes.  A page is a plain function of a `Request`
that returns a `Response`; Starlette runs it in a thread, because the store is synchronous.  A form is the same with
`Pages.form`, and gets the fields as a second argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from artfs.documents.encoding import from_nanoseconds, to_json
from artfs.legible import age, counted, legible, quoted, size
from artfs.ui.addresses import address, parameters_of
from artfs.ui.jobs import Job, Jobs, Unfinished
from artstore.errors import InvalidInputError, RefusedError

if TYPE_CHECKING:
    from artfs.documents.encoding import Document
    from artstore.workspace import Workspace

__all__ = ["FIELD", "PER_PAGE", "Pages", "page_number", "parameter_lists", "parameters"]

FIELD: Final = "form_token"
"""The field of the token that every form carries."""
PER_PAGE: Final = 100
_FORM_BYTES: Final = 1 << 20
_AT_ONCE: Final = 0.2
"""Seconds that a page waits for long work before it shows how far it is."""


class Pages:
    """The workspace that is shown, and how pages are made.  ``is_read_only``: no page has forms, and none is taken."""

    def __init__(self, workspace: Workspace, *, is_read_only: bool = False) -> None:
        self.workspace = workspace
        self.is_read_only = is_read_only
        self.jobs = Jobs()

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("artfs.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"address": address, "FIELD": FIELD}
        environment.filters |= {
            "size": size,
            "exact": lambda number: f"{number:,}",
            "legible": legible,
            "name": quoted,
            "moment": _moment,
            "since": _since,
            "age_of": lambda created_ns: _since(from_nanoseconds(created_ns)),
        }
        environment.globals["counted"] = counted
        return environment

    def render(self, template: str, request: Request, status: int = 200, **values: Any) -> Response:
        """Return the page that a template makes of values."""
        text = self._environment.get_template(template).render(
            request=request,
            workspace=str(self.workspace.path),
            is_read_only=self.is_read_only,
            form_token=getattr(request.state, "form_token", ""),
            here=request.url.path,
            said=parameters(request).get("said", ""),
            **values,
        )
        # A name may hold bytes that are no UTF-8: the page shows them escaped, so what is left cannot be encoded.
        return Response(text.encode(errors="replace"), status, media_type="text/html")

    def answer(self, document: Document, template: str, request: Request, **values: Any) -> Response:
        """Return a document: the command's JSON with ``format=json``, else the page that a template makes."""
        if parameters(request).get("format") == "json":
            return self.json(document)
        return self.render(template, request, document=document, **values)

    def json(self, document: Document) -> Response:
        """Return the JSON that the command prints."""
        return Response(to_json(document), media_type="application/json")

    def worked(self, request: Request, title: str, work: Callable[[Job], Any], *, unit: str = "files") -> Any:
        """Return what long work returns; raise what it raises.

        If it does not end at once, `Unfinished` is raised: the browser gets the address of this page with the parameter
        ``job``, where the progress is shown until the result is there.
        """
        given = parameters(request)
        if "job" in given:
            job = self.jobs.get(given["job"])
        else:
            given["job"] = self.jobs.start(title, request.url.path, work, unit)
            job = self.jobs.get(given["job"])
            job.wait(_AT_ONCE)
        if not job.is_done:
            raise Unfinished(job, address(request.url.path, **given))
        if job.error is not None:
            raise job.error
        return job.result

    def progress(self, request: Request, unfinished: Unfinished) -> Response:
        """Return the page that shows how far work is, or the way to it."""
        if "job" not in parameters(request):
            return RedirectResponse(unfinished.address, 303)
        return self.render("job.html", request, job=unfinished.job)

    def form(self, handler: Callable[[Request, Mapping[str, str]], str]) -> Callable[[Request], Any]:
        """Return the endpoint of a form: *handler* gets its fields in a thread and returns what address follows.

        Raises `RefusedError` for a form without this server's token, and if the pages are read-only.
        """

        async def endpoint(request: Request) -> Response:
            fields = await _fields_of(request)
            if not compare_digest(fields.pop(FIELD, "").encode(), request.state.form_token.encode()):
                raise RefusedError("the form is of another start of the server", hint="reload the page and try again")
            if self.is_read_only:
                raise RefusedError("these pages are read-only")
            where = await run_in_threadpool(handler, request, fields)
            return RedirectResponse(where, 303)

        return endpoint


async def _fields_of(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInputError(f"a form is application/x-www-form-urlencoded, not {kind or 'nothing'}")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM_BYTES:
            raise InvalidInputError("the form has more than 1 MiB")
    return _last(_parameters(bytes(body)))


def parameters(request: Request) -> dict[str, str]:
    """Return the parameters of a request, the last of each; raise `InvalidInputError` if they are too many."""
    return _last(parameter_lists(request))


def parameter_lists(request: Request) -> dict[str, list[str]]:
    """Return all values of each parameter of a request; raise `InvalidInputError` if they are too many."""
    return _parameters(request.scope["query_string"])


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: each[-1] for name, each in values.items()}


def _parameters(query: bytes) -> dict[str, list[str]]:
    try:
        return parameters_of(query)
    except ValueError as error:
        raise InvalidInputError("the request has too many parameters") from error


def page_number(request: Request) -> int:
    """Return the page that is asked for, from 1; what is no number is the first."""
    text = parameters(request).get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _moment(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M}"


def _since(time: datetime | None) -> str:
    if time is None:
        return ""
    passed = datetime.now(UTC) - time
    return f"{age(passed)} ago" if passed.total_seconds() >= 0 else f"in {age(-passed)}"
