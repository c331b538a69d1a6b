"""Pages of lineage and runs: what was made from what, by which runs, and what those logged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from artfs.documents.lineage import LineageDocument
from artfs.documents.runs import RunDocument, RunItem, RunsDocument
from artfs.drawing.graph import Edge, Node, layered_graph
from artfs.drawing.lines import Series, line_chart
from artfs.ui.addresses import address
from artfs.ui.pages import PER_PAGE, Pages, page_number, parameter_lists, parameters
from artstore.errors import ArtfsError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from artstore.queries.graph import GraphNode
    from artstore.records.catalogue import RunRecord
    from artstore.workspace import Workspace

__all__ = ["routes"]

_COLUMNS: Final = 6
_MOST_RUNS: Final = 20
_MOST_CHARTS: Final = 12
_HIDDEN: Final = "_"
"""What begins so in a row is about the row: its step and its time."""


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    return [
        Route("/lineage", lambda request: _lineage(pages, request)),
        Route("/runs", lambda request: _runs(pages, request)),
        Route("/run", lambda request: _run(pages, request)),
        Route("/curves", lambda request: _curves(pages, request)),
    ]


# -- lineage -----------------------------------------------------------------------------------------------------------


def _lineage(pages: Pages, request: Request) -> Response:
    """Draw what a version or run was made from, left, and what was made from it, right; say what `rm` would refuse."""
    ref = parameters(request).get("ref", "")
    graph = pages.workspace.lineage(ref)
    document = LineageDocument.of(graph)
    nodes = [
        Node(each.key, each.name, each.kind, each.state in ("deleted", "gone"), _page_of(each)) for each in graph.nodes
    ]
    edges = [Edge(each.source, each.target) for each in graph.edges]
    names = {each.key: each for each in graph.nodes}
    root = names[graph.root]
    return pages.answer(
        document,
        "lineage.html",
        request,
        root=root,
        is_run=root.kind == "run",
        chart=layered_graph(nodes, edges, root=graph.root, title=f"Lineage of {root.name}"),
        edges=[(names[each.source], each, names[each.target]) for each in graph.edges[:PER_PAGE]],
        left_out=max(0, len(graph.edges) - PER_PAGE),
        page_of=_page_of,
        refusal=_refusal(pages.workspace, root),
    )


def _page_of(node: GraphNode) -> str | None:
    if node.kind == "run":
        return address("/run", run=node.name)
    return None if node.state == "gone" else address("/version", ref=node.name)


def _refusal(workspace: Workspace, node: GraphNode) -> str | None:
    """Return why `rm` would refuse a version, or None."""
    if node.kind == "run" or node.state != "live":
        return None
    try:
        workspace.delete(node.name, dry_run=True)
    except NotFoundError:
        return None
    except ArtfsError as error:
        return error.message.removeprefix("nothing was deleted: ")
    return None


# -- runs --------------------------------------------------------------------------------------------------------------


def _runs(pages: Pages, request: Request) -> Response:
    """List runs, the newest first, with columns of what they were given and what they reached."""
    given, workspace = parameters(request), pages.workspace
    project = given.get("project", "").strip("/")
    records = list(reversed(workspace.runs.all(project or None)))
    if given.get("format") == "json":
        return pages.json(RunsDocument.of((each, workspace.runs.state(each)) for each in reversed(records)))
    number = page_number(request)
    first = (number - 1) * PER_PAGE
    shown = records[first : first + PER_PAGE]
    asked = [name.strip() for name in given.get("columns", "").split(",") if name.strip()]
    columns = asked or _columns_of(shown)
    here = {"project": project, "columns": ",".join(asked)}
    return pages.render(
        "runs.html",
        request,
        project=project,
        columns=columns,
        rows=[
            (item, [_value(each, name) for name in columns])
            for each in shown
            for item in [RunItem.of(each, workspace.runs.state(each))]
        ],
        before=address("/runs", **here, page=number - 1) if number > 1 else None,
        after=address("/runs", **here, page=number + 1) if len(records) > first + PER_PAGE else None,
    )


def _columns_of(records: Iterable[RunRecord]) -> list[str]:
    """Return the first keys of configurations and summaries whose values fit into a cell."""
    found: dict[str, None] = {}
    for record in records:
        for part, values in (("config", record.config), ("summary", record.summary)):
            for key, value in values.items():
                if isinstance(value, str | int | float | bool) and not key.startswith(_HIDDEN):
                    found[f"{part}.{key}"] = None
        if len(found) >= _COLUMNS:
            break
    return list(found)[:_COLUMNS]


def _value(record: RunRecord, column: str) -> str:
    part, _, key = column.partition(".")
    values: Mapping[str, Any] = {"config": record.config, "summary": record.summary}.get(part, {})
    value = values.get(key)
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:100]


def _run(pages: Pages, request: Request) -> Response:
    """Show one run: what it was given, used, made and logged."""
    workspace = pages.workspace
    record = workspace.runs.get(parameters(request).get("run", ""))
    used = [version.name for version in workspace.runs.versions(record.number, used=True)]
    made = [version.name for version in workspace.runs.versions(record.number, used=False)]
    document = RunDocument.shown(record, workspace.runs.state(record), used=used, logged=made, history=None)
    rows = workspace.runs.rows(record.number)
    names = _metrics_of(rows)
    return pages.answer(
        document,
        "run.html",
        request,
        charts=[line_chart([_series(name, rows, name)], title=name) for name in names[:_MOST_CHARTS]],
        metrics=names,
        facts={
            part: [(key, json.dumps(value, ensure_ascii=False)) for key, value in sorted(values.items())]
            for part, values in (("config", record.config), ("summary", record.summary))
        },
    )


def _curves(pages: Pages, request: Request) -> Response:
    """Draw one metric of several runs over their steps, or over time."""
    given, workspace = parameters(request), pages.workspace
    titles = parameter_lists(request).get("run", [])
    if not titles:
        raise InvalidInputError("no run is selected", hint="select runs on the page of runs")
    shown = [(title, workspace.runs.rows(workspace.runs.get(title).number)) for title in titles[:_MOST_RUNS]]
    names = list(dict.fromkeys(name for _, rows in shown for name in _metrics_of(rows)))
    over, is_log = ("time" if given.get("over") == "time" else "step"), bool(given.get("log"))
    chosen = [given["metric"]] if given.get("metric") in names else names[:_MOST_CHARTS]
    charts = [
        line_chart(
            [_series(title, rows, name, over) for title, rows in shown],
            title=name,
            horizontal="seconds" if over == "time" else "step",
            logarithmic=is_log,
        )
        for name in chosen
    ]
    return pages.render(
        "curves.html",
        request,
        titles=[title for title, _ in shown],
        left_out=max(0, len(titles) - _MOST_RUNS),
        metrics=names,
        chosen=given.get("metric", ""),
        over=over,
        is_log=is_log,
        charts=[chart for chart in charts if chart],
    )


def _metrics_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the numbers that rows have, in the order in which they came."""
    found: dict[str, None] = {}
    for row in rows:
        for key, value in row.items():
            if key not in found and not key.startswith(_HIDDEN) and _number(value) is not None:
                found[key] = None
    return list(found)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _series(title: str, rows: Sequence[Mapping[str, Any]], name: str, over: str = "step") -> Series:
    """Return one metric of a run by step, or by seconds since the run's first row."""
    start = next((_number(row.get("_timestamp")) for row in rows), None) or 0.0
    points: list[tuple[float, float | None]] = []
    for index, row in enumerate(rows):
        if name not in row:
            continue
        at = _number(row.get("_timestamp" if over == "time" else "_step"))
        points.append((index if at is None else at - start if over == "time" else at, _number(row[name])))
    return Series(title, points)
