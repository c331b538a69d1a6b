"""Every byte on the page of space is the command's, and a rule deletes nothing before it is asked."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from artfs.documents.encoding import encode, to_json
from artfs.documents.retention import RetentionPlanDocument
from artfs.documents.usage import UsageDocument
from artfs.metrics import families, text_of
from artstore.workspace import Workspace
from fs.ui.clients import Client
from fs.ui.test_artifacts import words


def test_the_terms_sum_to_the_disk(client: Client, workspace: Workspace) -> None:
    """Each term is on the page to the byte; their sum is the size of the workspace."""
    workspace.delete("notes:v0")
    client.get_result("/space")  # which keeps figures for the next time
    page = client.get_result("/space").text
    usage = workspace.usage()
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th><td class="number">([\d,]+)</td>', page))
    amounts = {name: int(text.replace(",", "")) for name, text in rows.items()}
    disk = amounts.pop("disk")
    assert sum(amounts.values()) == disk == usage.disk_bytes
    assert amounts["stored"] == usage.stored_bytes and amounts["deleted"] == usage.deadlist_bytes > 0
    assert f"{usage.logical_bytes} B as separate copies" in words(page)


def test_the_commands_document(client: Client, workspace: Workspace) -> None:
    client.get_result("/space")
    shown = client.get_result("/space?format=json").text
    assert shown == to_json(UsageDocument.of(workspace.usage()))


def test_what_would_free_most(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    """The order and the bytes are those of a deletion's plan, also where versions share content."""
    for number in range(6):
        folder = tmp_path / f"big{number}"
        folder.mkdir()
        (folder / "shared").write_bytes(bytes(200_000))
        (folder / "own").write_bytes(os.urandom(3_000 * (number + 1)))
        workspace.put(folder, f"big{number % 2}")
    every = [version for artifact in workspace.artifacts() for version in workspace.versions(artifact.name)]
    freed = {each.name: workspace.delete(each.name, force=True, dry_run=True).freed_bytes for each in every}
    best = sorted(freed.values(), reverse=True)
    for most in (1, 3, len(every), 100):
        found = workspace.most_unique(most)
        assert [usage.unique for _, usage in found] == best[:most]
        assert all(usage.unique == freed[name] for name, usage in found)
    page = client.get_result("/space").text
    (name, largest), *_ = workspace.most_unique(1)
    assert f"artfs rm {name}" in page and f"{largest.unique:,} bytes" in page and "<svg" in page


def test_metrics(client: Client, workspace: Workspace) -> None:
    """Prometheus reads the same figures as the command prints, with the token as a Bearer."""
    answer = client.get("/metrics", cookie=None, authorization=f"Bearer {client.guard.token}")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "artfs_stored_bytes{" in answer.text
    assert [line.split(" ")[0] for line in answer.text.splitlines()] == [
        line.split(" ")[0] for line in text_of(families(workspace)).splitlines()
    ]


def test_retention(client: Client, workspace: Workspace) -> None:
    """The plan has every verdict with its reasons; applying it is shown first, and deletes what was shown."""
    assert "no rules" in words(client.get("/retention").text)
    workspace.retention.set("few", artifact="team/*", last=1)
    page = words(client.get("/retention?all=1").text)
    plan = workspace.retention.plan()
    assert f"{len(plan.expiring)} version of {len(plan.verdicts)}" in page.replace("versions of", "version of")
    assert all(verdict.candidate.name in page for verdict in plan.verdicts)
    assert all(reason in page for verdict in plan.verdicts for reason in verdict.reasons)
    shown = json.loads(client.get("/retention?all=1&format=json").text)
    expected = encode(RetentionPlanDocument.of(plan, plan.verdicts))
    assert shown == json.loads(json.dumps(expected))
    names = [verdict.candidate.name for verdict in plan.expiring]
    assert names and all(name in client.get("/expire").text for name in names)
    assert len(workspace.versions("team/images")) == 3
    assert client.post("/expiry", {}).status == 303
    assert not {version.name for version in workspace.versions("team/images")} & set(names)


def test_read_only_pages_apply_nothing(workspace: Workspace) -> None:
    workspace.retention.set("few", artifact="team/*", last=1)
    client = Client(workspace, is_read_only=True)
    assert "/expire" not in client.get("/retention").text and client.post("/expiry", {}).status == 409
