"""The page of a check has what the command finds, and what is wrong as sentences."""

from __future__ import annotations

import json

from artfs.documents.checking import CheckDocument
from artfs.documents.encoding import encode
from artstore.workspace import Workspace
from fs.ui.clients import Client
from fs.ui.test_artifacts import words


def page_of(client: Client, target: str) -> str:
    """Return the page, after the work that it takes."""
    answer = client.get(target)
    while answer.status == 303 or "data-running" in answer.text:
        answer = client.get(answer.headers.get("location", target))
        target = answer.headers.get("location", target)
    return answer.text


def test_a_clean_workspace(client: Client, workspace: Workspace) -> None:
    """Nothing is checked before it is asked; the figures are the command's."""
    assert "What was checked" not in words(client.get("/check").text)
    page = words(page_of(client, "/check?run=1&data=1"))
    assert "The workspace is clean" in page and "It changes nothing" not in page
    document = encode(CheckDocument.of(workspace.fsck(data=True)))
    assert json.loads(page_of(client, "/check?run=1&data=1&format=json")) == json.loads(json.dumps(document))


def test_damage(client: Client, workspace: Workspace) -> None:
    """Damaged content is named with the versions that have it, and how to repair it."""
    [pack, *_] = sorted((workspace.path / "packs").iterdir())
    content = bytearray(pack.read_bytes())
    content[200:260] = bytes(60)
    pack.chmod(0o600)
    pack.write_bytes(content)
    report = workspace.fsck(data=True)
    page = words(page_of(client, "/check?run=1&data=1"))
    assert report.problems and "artfs fsck --repair" in page
    for problem in report.problems:
        assert problem.message in page and all(path in page for path in problem.files)


def test_read_only_pages_check(workspace: Workspace) -> None:
    assert "The workspace is clean" in page_of(Client(workspace, is_read_only=True), "/check?run=1")
