"""Artifacts as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from artfs.documents import artifacts
from artfs.documents.encoding import encode
from artstore.queries.artifacts import ArtifactInfo
from fs.documents.shapes import check


def test_artifacts() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    document = encode(
        artifacts.ArtifactsDocument.of(
            [ArtifactInfo("x", None, None, 0, "", moment), ArtifactInfo("y", "model", 4, 2, "good", moment)]
        )
    )
    check(document)
    assert [item["latest"] for item in document["artifacts"]] == [None, "v4"]
    assert document["artifacts"][1] == {
        "name": "y",
        "type": "model",
        "description": "good",
        "latest": "v4",
        "versions": 2,
        "created_at": "2026-01-01T00:00:00.000000Z",
    }


def test_changes_of_an_artifact() -> None:
    for document in (
        artifacts.ArtifactTypeDocument("x", "model"),
        artifacts.ArtifactNameDocument("x", was="y"),
        artifacts.ArtifactDescriptionDocument("x", ""),
    ):
        check(encode(document))
