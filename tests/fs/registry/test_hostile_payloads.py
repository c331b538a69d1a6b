"""Every hostile payload is refused with one typed error, and nothing of it runs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.registry.serializers import deserialize
from artstore.errors import ArtfsError
from hostile_payloads import Hostile, corpus


@pytest.fixture(scope="module")
def canary_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary") / "canary"


@pytest.fixture(scope="module")
def payloads(canary_of_all: Path) -> list[Hostile]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return corpus(canary_of_all)


def refusals(payloads: list[Hostile]) -> Iterator[tuple[str, str]]:
    """Yield (name, what happened) for each payload that is not refused by an error of ours with one sentence."""
    for payload in payloads:
        try:
            deserialize(io.BytesIO(payload.data), payload.format, **payload.options)
        except ArtfsError as error:
            if not isinstance(error, ValueError | PermissionError) or "\n" in str(error) or len(str(error)) > 400:
                yield payload.name, f"{type(error).__name__}: {error}"
            elif payload.kind == "malformed_payload" and "inconsistent" not in str(error):
                yield payload.name, f"for another reason: {error}"
            elif payload.kind and error.kind != payload.kind:
                yield payload.name, f"for another reason, {error.kind}: {error}"
        except BaseException as error:
            yield payload.name, f"{type(error).__name__}: {error}"
        else:
            yield payload.name, "loaded"


def test_every_one_is_refused(payloads: list[Hostile], canary_of_all: Path) -> None:
    """N of N: the names are those that were not refused."""
    assert len(payloads) >= 150
    assert len({payload.name for payload in payloads}) == len(payloads)
    assert list(refusals(payloads)) == []
    assert not canary_of_all.exists()
