"""Pages of space and retention: where the bytes are, what would free them, and what the rules will take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from artfs.documents.encoding import from_nanoseconds
from artfs.documents.retention import RetentionPlanDocument
from artfs.documents.usage import DISK_TERMS, UsageDocument
from artfs.drawing.bars import Part, stacked_bar
from artfs.drawing.timeline import Mark, timeline
from artfs.drawing.treemap import Area, treemap
from artfs.legible import rule_in_words
from artfs.metrics import families, text_of
from artfs.ui.addresses import address
from artfs.ui.pages import PER_PAGE, Pages, page_number, parameters
from artstore.queries.usage import DRAFTS

if TYPE_CHECKING:
    from artfs.ui.jobs import Job
    from artstore.queries.usage import GroupUsage, Usage, VersionUsage
    from artstore.retention.judging import Verdict

__all__ = ["routes"]

_MOST: Final = 20
_IN_TREEMAP: Final = 60
_IN_TIMELINE: Final = 60


class Term(NamedTuple):
    """A part of the workspace on its disk: ``part`` is its share in hundredths."""

    name: str
    bytes: int
    what: str
    part: float


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    return [
        Route("/space", lambda request: _space(pages, request)),
        Route("/metrics", lambda request: _metrics(pages, request)),
        Route("/retention", lambda request: _retention(pages, request)),
        Route("/expire", lambda request: _expire(pages, request)),
        Route("/expiry", pages.form(lambda _request, fields: _apply(pages, fields)), methods=["POST"]),
    ]


def _terms(usage: Usage) -> list[Term]:
    whole = max(usage.disk_bytes, 1)
    found = [(name, getattr(usage, field), what) for field, name, what in DISK_TERMS]
    return [Term(name, count, what, 100 * count / whole) for name, count, what in found]


def _space(pages: Pages, request: Request) -> Response:
    """Show every byte of the workspace on its disk, by term, by artifact, and by what deleting frees."""
    workspace = pages.workspace

    def measure(_job: Job) -> tuple[list[GroupUsage], list[tuple[str, VersionUsage]], Usage]:
        # The usage comes last: what the others keep for the next time takes room as well.
        return workspace.usage_by("artifact"), workspace.most_unique(_MOST), workspace.usage()

    groups, freeing, usage = pages.worked(request, "Measuring the workspace", measure)
    document = UsageDocument.of(usage)
    largest = sorted((each for each in groups if each.name != DRAFTS), key=lambda each: -each.attributed)
    areas = [
        Area(each.name, each.attributed, address("/artifact", name=each.name, costs=1))
        for each in largest[:_IN_TREEMAP]
    ]
    rest = sum(each.attributed for each in largest[_IN_TREEMAP:])
    areas += [Area(f"{len(largest) - _IN_TREEMAP:,} more", rest)] if rest else []
    return pages.answer(
        document,
        "space.html",
        request,
        usage=usage,
        terms=_terms(usage),
        bar=stacked_bar([Part(term.name, term.bytes) for term in _terms(usage)], title="Bytes of the workspace"),
        chart=treemap(areas, title="Stored bytes by artifact") if len(areas) > 1 else "",
        freeing=[(name, each, f"artfs rm {shlex.quote(name)}") for name, each in freeing if each.unique],
        oldest=None if usage.oldest_ns is None else from_nanoseconds(usage.oldest_ns),
        due=None if usage.oldest_due_ns is None else from_nanoseconds(usage.oldest_due_ns),
        interrupted_until=None if usage.interrupted_until_ns is None else from_nanoseconds(usage.interrupted_until_ns),
    )


def _metrics(pages: Pages, _request: Request) -> Response:
    """Return the figures of `artfs metrics`; Prometheus sends the token as a Bearer."""
    return Response(text_of(families(pages.workspace)), media_type="text/plain; version=0.0.4")


def _retention(pages: Pages, request: Request) -> Response:
    """Show the rules, and their verdict on every version with its reasons; nothing is deleted."""
    given = parameters(request)
    plan = pages.workspace.retention.plan()
    shown = plan.verdicts if given.get("all") else plan.expiring
    if given.get("format") == "json":
        return pages.json(RetentionPlanDocument.of(plan, shown))
    number = page_number(request)
    first = (number - 1) * PER_PAGE
    here: dict[str, Any] = {"all": given.get("all")}
    return pages.render(
        "retention.html",
        request,
        plan=plan,
        rules=[(rule.name, rule_in_words(rule)) for rule in plan.rules],
        is_all=bool(given.get("all")),
        verdicts=shown[first : first + PER_PAGE],
        chart=_on_time(plan.verdicts),
        everything=address("/retention", all=1),
        expiring=address("/retention"),
        before=address("/retention", **here, page=number - 1) if number > 1 else None,
        after=address("/retention", **here, page=number + 1) if len(shown) > first + PER_PAGE else None,
    )


def _on_time(verdicts: Sequence[Verdict]) -> str:
    """Return the versions that would expire, and some that are kept, on an axis of time."""
    expiring = [each for each in verdicts if each.expires][:_IN_TIMELINE]
    kept = [each for each in verdicts if not each.expires][: _IN_TIMELINE - len(expiring)]
    marks = [
        Mark(
            each.candidate.name,
            from_nanoseconds(each.candidate.created_ns),
            tuple(each.candidate.aliases),
            each.expires,
            address("/version", ref=each.candidate.name),
        )
        for each in expiring + kept
    ]
    return timeline(marks, title="Versions by time; those that would expire are marked") if marks else ""


def _expire(pages: Pages, request: Request) -> Response:
    """Show what applying the rules would delete, and ask."""
    return pages.render("expire.html", request, plan=pages.workspace.retention.apply(dry_run=True))


def _apply(pages: Pages, _fields: Mapping[str, str]) -> str:
    retired = pages.workspace.retention.apply()
    count = len(retired.versions)
    return address("/retention", said=f"Deleted {count:,} version{'' if count == 1 else 's'}.")
