"""``lineage``, ``link`` and ``run``: what was made from what, and by which runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.output import moment, quoted, write_document, write_fields, write_line, write_table
from artfs.cli.projects import require_project
from artfs.cli.reports import check_report, html_option, write_report
from artfs.cli.session import Group, Session, subcommand

if TYPE_CHECKING:
    from artstore.queries.graph import Graph, GraphNode

__all__ = ["lineage", "link", "near", "run"]

_AHEAD: Final = {
    "used by": "used by",
    "logged": "logged",
    "base of": "base of",
    "included in": "included in",
    "linked as": "linked as",
}
_BACK: Final = {
    "used by": "used",
    "logged": "made by",
    "base of": "based on",
    "included in": "includes",
    "linked as": "link to",
}


@subcommand("lineage", paged=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.option("--up", is_flag=True, help="Show only its inputs.")
@click.option("--down", is_flag=True, help="Show only what was made from it.")
@click.option("--dot", is_flag=True, help="Print a graph for Graphviz.")
@html_option
def lineage(session: Session, reference: str, up: bool, down: bool, dot: bool, html: str | None) -> None:
    """Show a version's inputs, and what was made from it.

    REF is a version (a deleted one too) or run:PROJECT/ID. Deleted versions are listed by name as long as something
    that was made from them is recorded.

    \b
    Examples:
      artfs lineage resnet:production --up
      artfs lineage imagenet:v3 --dot | dot -Tsvg > lineage.svg
      artfs lineage imagenet:v3 --html lineage.html
    """
    check_report(session, html, dot=dot)
    both = up == down
    graph = session.open().lineage(reference, up=up or both, down=down or both)
    if html is not None:
        write_report(html, lambda fragments: fragments.of_graph(graph))
    elif dot:
        for line in _dot(graph):
            write_line(line)
    elif session.json:
        from artfs.documents.lineage import LineageDocument

        write_document(LineageDocument.of(graph))
    else:
        for line in _tree(graph, up=up or both, down=down or both):
            write_line(line)


def _shown(node: GraphNode) -> str:
    state = f" ({node.state})" if node.state not in ("live", "finished") else ""
    return f"{'run ' if node.kind == 'run' else ''}{node.name}{state}"


def _tree(graph: Graph, *, up: bool, down: bool) -> list[str]:
    nodes = {node.key: node for node in graph.nodes}
    lines = [_shown(nodes[graph.root])]
    seen = {graph.root}

    def walk(key: str, depth: int, *, ahead: bool) -> None:
        for edge in graph.edges:
            near_end, far_end = (edge.source, edge.target) if ahead else (edge.target, edge.source)
            if near_end != key:
                continue
            word = (_AHEAD if ahead else _BACK)[edge.kind]
            again = " ..." if far_end in seen else ""
            lines.append(f"{'  ' * depth}{word} {_shown(nodes[far_end])}{again}")
            if far_end not in seen:
                seen.add(far_end)
                walk(far_end, depth + 1, ahead=ahead)

    if up:
        walk(graph.root, 1, ahead=False)
    if down:
        walk(graph.root, 1, ahead=True)
    return lines


def _dot(graph: Graph) -> list[str]:
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for node in graph.nodes:
        shape = "ellipse" if node.kind == "run" else "box"
        lines.append(f"  {node.key} [shape={shape}, label={json.dumps(_shown(node), ensure_ascii=False)}];")
    for edge in graph.edges:
        lines.append(f"  {edge.source} -> {edge.target} [label={json.dumps(edge.kind)}];")
    return [*lines, "}"]


def near(graph: Graph) -> dict[str, list[str]]:
    """Return the neighbours of the root of a graph by relation."""
    nodes = {node.key: node for node in graph.nodes}
    names: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.target == graph.root:
            names.setdefault(_BACK[edge.kind], []).append(nodes[edge.source].name)
        elif edge.source == graph.root:
            names.setdefault(_AHEAD[edge.kind], []).append(nodes[edge.target].name)
    return names


@subcommand("link", writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("name", type=NAME)
@click.option("-a", "--alias", "aliases", multiple=True, metavar="ALIAS", help="An alias of the link; repeatable.")
def link(session: Session, reference: str, name: str, aliases: tuple[str, ...]) -> None:
    """Link a version into another artifact.

    The link is the next version of NAME, which may be in another project. Nothing is copied. The link stays complete
    even if the version is deleted, and 'artfs rm' refuses to delete the version while the link exists. 'artfs rm' of
    the link removes only the link.

    \b
    Example:
      artfs link team/resnet:v3 registry/classifier -a production
    """
    version = session.open().link(reference, name, aliases=aliases)
    assert version.receipt is not None
    if session.json:
        from artfs.documents.versions import LinkDocument

        write_document(LinkDocument.of(version))
    else:
        write_line(
            f"{version.name}  {'links to' if version.receipt.created else 'unchanged, already links to'} {reference}"
        )


@click.group("run", cls=Group)
def run() -> None:
    """Show the runs that used and made versions.

    \b
    Example:
      artfs run ls dataset-pipeline
    """


@subcommand("ls", group=run, paged=True)
@click.argument("project", metavar="[PROJECT]", required=False)
def run_ls(session: Session, project: str | None) -> None:
    """List all runs, or those of a project, newest last.

    \b
    Example:
      artfs run ls dataset-pipeline
    """
    from artfs.documents.runs import RunsDocument

    workspace = session.open()
    records = workspace.runs.all(project)
    if not records:
        require_project(workspace, project)
    document = RunsDocument.of((record, workspace.runs.state(record)) for record in records)
    if session.json:
        write_document(document)
        return
    rows = [[item.run, item.state, item.job_type, moment(item.created_at)] for item in document.runs]
    write_table(["RUN", "STATE", "JOB", "BEGAN"], rows, empty="no runs are recorded")


@subcommand("show", group=run, paged=True)
@click.argument("title", metavar="PROJECT/ID")
@click.option("--history", is_flag=True, help="Also print the rows that it logged.")
def run_show(session: Session, title: str, history: bool) -> None:
    """Show a run.

    The output has its configuration, what it logged, and the versions that it used and made.

    \b
    Example:
      artfs run show dataset-pipeline/r1
    """
    from artfs.documents.encoding import encode
    from artfs.documents.runs import RunDocument

    workspace = session.open()
    record = workspace.runs.get(title)
    used = [version.name for version in workspace.runs.versions(record.number, used=True)]
    made = [version.name for version in workspace.runs.versions(record.number, used=False)]
    rows = workspace.runs.rows(record.number) if history else None
    document = RunDocument.shown(record, workspace.runs.state(record), used=used, logged=made, history=rows)
    if session.json:
        write_document(document)
        return
    shown = {key: value for key, value in encode(document).items() if key not in ("schema", "history")}
    write_fields([[key.replace("_", " "), _text(value)] for key, value in shown.items()])
    for row in rows or ():
        write_line(json.dumps(row, ensure_ascii=False))


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value) or "none"
    if isinstance(value, str):
        return quoted(value) if value else "none"
    return quoted(json.dumps(value, ensure_ascii=False, sort_keys=True)) if value else "none"
