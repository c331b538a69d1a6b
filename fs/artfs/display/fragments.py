"""What notebooks and pages show of a value: a title, facts, a drawing and tables, made from its document.

The figures are those of the commands' JSON, because both are made from one document.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from artfs.documents.artifacts import ArtifactsDocument
from artfs.documents.differences import DifferenceDocument
from artfs.documents.lineage import LineageDocument
from artfs.documents.retention import RetentionPlanDocument
from artfs.documents.usage import DISK_TERMS, ProjectUsageItem, TypeUsageItem, UsageDocument
from artfs.documents.versions import VersionItem
from artfs.drawing.bars import Part, stacked_bar
from artfs.drawing.graph import Edge, Node, layered_graph
from artfs.legible import counted, quoted, size

if TYPE_CHECKING:
    from artfs.tracking.artifact import Artifact
    from artfs.tracking.run import Run
    from artstore.queries.difference import Difference
    from artstore.queries.graph import Graph
    from artstore.queries.usage import Usage
    from artstore.queries.versions import Version
    from artstore.retention.applying import RetentionPlan
    from artstore.workspace import Workspace

__all__ = [
    "Fragment",
    "Table",
    "of_artifact",
    "of_difference",
    "of_differences",
    "of_graph",
    "of_lineage",
    "of_plan",
    "of_run",
    "of_space",
    "of_usage",
    "of_version",
    "of_workspace",
]

_MOST: Final = 200
"""How many rows a table has."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; ``numbers`` are the columns that are aligned to the right, ``more`` counts the rows left out."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Fragment:
    """A value as it is shown; ``drawing`` is SVG or empty, everything else is text."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    drawing: str = ""
    tables: Sequence[Table] = ()


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Iterable[int] = (), total: int = 0
) -> list[Table]:
    more = max(total, len(rows)) - min(len(rows), _MOST)
    return [Table(caption, heads, rows[:_MOST], frozenset(numbers), more)] if rows else []


def of_workspace(workspace: Workspace) -> Fragment:
    """Return the artifacts of a workspace."""
    artifacts = ArtifactsDocument.of(workspace.artifacts()).artifacts
    rows = [[each.name, each.type or "", each.latest or "", f"{each.versions:,}"] for each in artifacts[:_MOST]]
    facts = [("artifacts", f"{len(artifacts):,}"), ("versions", f"{sum(each.versions for each in artifacts):,}")]
    table = _table("Artifacts", ["name", "type", "latest", "versions"], rows, numbers=[3], total=len(artifacts))
    return Fragment(f"Workspace {quoted(str(workspace.path))}", facts, tables=table)


def of_version(version: Version) -> Fragment:
    """Return what is recorded about a version."""
    item = VersionItem.of(version)
    facts = [
        ("type", item.type or "none"),
        ("created", item.created_at.isoformat(sep=" ", timespec="seconds")),
        ("files", f"{item.files:,}"),
        ("size", f"{size(item.bytes)} ({item.bytes:,} bytes)"),
        ("new when put", size(item.new_bytes)),
        ("aliases", ", ".join(item.aliases) or "none"),
        ("tags", ", ".join(item.tags) or "none"),
        ("digest", item.digest),
    ]
    if item.description:
        facts.append(("description", item.description))
    return Fragment(item.name, facts, tables=_values("Metadata", item.metadata))


def _values(caption: str, values: Any) -> list[Table]:
    rows = [[str(key), _text(value)] for key, value in sorted(values.items(), key=lambda pair: str(pair[0]))]
    return _table(caption, ["key", "value"], rows)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= 1000 else f"{text[:1000]}…"


def of_artifact(artifact: Artifact) -> Fragment:
    """Return the version of an artifact that was logged, else what it will have."""
    if artifact.stored is not None:
        return of_version(artifact.stored)
    facts = [("type", artifact.type or "none"), ("state", "not logged yet")]
    return Fragment(artifact.name, facts, tables=_values("Metadata", artifact.metadata))


def of_run(run: Run) -> Fragment:
    """Return the configuration and the summary of a run."""
    facts = [("state", run.state), ("created", run.created_at), ("job type", run.job_type or "none")]
    facts += [("tags", ", ".join(run.tags) or "none")]
    tables = _values("Configuration", dict(run.config)) + _values("Summary", dict(run.summary))
    return Fragment(f"Run {run.project}/{run.id}", facts, tables=tables)


def of_difference(difference: Difference) -> Fragment:
    """Return the changes of a difference between trees that are not named."""
    return of_differences(DifferenceDocument.of("", "", difference))


def of_differences(document: DifferenceDocument) -> Fragment:
    """Return the changes of a document: totals by kind, and the paths."""
    counts = Counter(change.kind for change in document.changes)
    facts = [(kind, f"{count:,}") for kind, count in sorted(counts.items())] or [("changes", "none")]
    rows = [
        [
            change.kind,
            f"{quoted(change.old_path)} → {quoted(change.path)}" if change.old_path else quoted(change.path),
            "" if change.old_size is None else size(change.old_size),
            "" if change.new_size is None else size(change.new_size),
        ]
        for change in document.changes[:_MOST]
    ]
    heads = ["change", "path", "before", "after"]
    title = f"{quoted(document.from_)} → {quoted(document.to)}" if document.from_ else "Differences"
    return Fragment(title, facts, tables=_table("Paths", heads, rows, numbers=[2, 3], total=len(document.changes)))


def of_usage(usage: Usage) -> Fragment:
    """Return where the bytes of a workspace are."""
    return of_space(UsageDocument.of(usage), title="Disk usage")


def of_space(document: UsageDocument, *, title: str) -> Fragment:
    """Return the bytes of a document: one bar as long as the disk usage, and what it holds by version or group."""
    terms = [(name, int(getattr(document, key)), about) for key, name, about in DISK_TERMS]
    bar = stacked_bar([Part(name, amount) for name, amount, _ in terms], title="What the workspace takes on its disk")
    facts = [
        ("versions", f"{document.versions:,}"),
        ("logical", f"{size(document.logical_bytes)} ({document.logical_bytes:,} bytes)"),
        ("disk", f"{size(document.disk_bytes)} ({document.disk_bytes:,} bytes)"),
    ]
    if document.interrupted_bytes:
        facts.append(("interrupted", f"{size(document.interrupted_bytes)} of the stored bytes"))
    rows = [[name, f"{amount:,}", size(amount), about] for name, amount, about in terms]
    tables = _table("Disk", ["part", "bytes", "size", "what it is"], rows, numbers=[1, 2])
    return Fragment(title, facts, bar, tables + _shares(document))


def _shares(document: UsageDocument) -> list[Table]:
    """Return the tables of the versions of an artifact, or of the groups, if the document has them."""
    versions = [
        [each.version, *(size(count) for count in (each.logical, each.alone, each.unique, each.attributed))]
        for each in document.by_version or ()
    ]
    heads = ["version", "logical", "alone", "unique", "attributed"]
    tables = _table(document.artifact or "", heads, versions, numbers=[1, 2, 3, 4])
    groups: list[tuple[str, str | None, ProjectUsageItem | TypeUsageItem]] = []
    groups += [("project", each.project, each) for each in document.by_project or ()]
    groups += [("type", each.type, each) for each in document.by_type or ()]
    for kind in ("project", "type"):
        rows = [
            [name or "none", f"{each.versions:,}", size(each.logical), size(each.attributed)]
            for group, name, each in groups
            if group == kind
        ]
        tables += _table(f"By {kind}", [kind, "versions", "logical", "attributed"], rows, numbers=[1, 2, 3])
    return tables


def of_graph(graph: Graph) -> Fragment:
    """Return the lineage around a version or run."""
    return of_lineage(LineageDocument.of(graph))


def of_lineage(document: LineageDocument) -> Fragment:
    """Return a document as a graph from left to right, and its relations as a table."""
    nodes = [Node(node.name, node.name, node.kind, node.state in ("deleted", "gone")) for node in document.nodes]
    edges = [Edge(edge.source, edge.target) for edge in document.edges]
    drawing = layered_graph(nodes, edges, root=document.root, title=f"Lineage of {document.root}")
    rows = [
        [edge.source, edge.kind, edge.target, edge.created_at.isoformat(sep=" ", timespec="seconds")]
        for edge in document.edges[:_MOST]
    ]
    facts = [
        ("versions and runs", f"{len(nodes):,}"),
        ("deleted", f"{sum(node.deleted for node in nodes):,}"),
    ]
    tables = _table("Relations", ["from", "relation", "to", "since"], rows, total=len(edges))
    return Fragment(f"Lineage of {document.root}", facts, drawing, tables)


def of_plan(plan: RetentionPlan) -> Fragment:
    """Return what retention would delete and keep, with the reasons; what expires comes first."""
    document = RetentionPlanDocument.of(plan, plan.verdicts)
    ordered = sorted(document.versions, key=lambda item: not item.expires)
    rows = [["expires" if each.expires else "kept", each.name, ", ".join(each.reasons)] for each in ordered[:_MOST]]
    facts = [
        ("expire", counted(document.expiring, "version")),
        ("kept", counted(len(document.versions) - document.expiring, "version")),
        ("would be freed", f"{size(document.freed_bytes)} ({document.freed_bytes:,} bytes)"),
    ]
    tables = _table("Versions", ["verdict", "version", "reasons"], rows, total=len(ordered))
    return Fragment("Retention plan", facts, tables=tables)
