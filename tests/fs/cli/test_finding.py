"""``find``, and ``ls`` with a glob: versions and artifacts by what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import refused, reported

Run = Callable[..., Any]


@pytest.fixture
def filled(artfs: Run, tmp_path: Path) -> None:
    """Logs of two years, and a model with two versions."""
    for number, (name, *options) in enumerate(
        [
            ("logs/2023_12", "--type", "logs", "--meta", "rows=1"),
            ("logs/2024_01", "--type", "logs", "--meta", "rows=2"),
            ("logs/2024_02", "--type", "logs", "--meta", "rows=2"),
            ("net", "--type", "model", "--meta", "stage=draft", "--meta", "rows=2"),
            ("net", "--meta", "stage=final", "-a", "prod"),
        ]
    ):
        (tmp_path / "file").write_text(str(number))
        artfs("put", tmp_path / "file", name, *options)
    artfs("tag", "add", "logs/2024_01:v0", "checked")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), ["logs/2023_12:v0", "logs/2024_01:v0", "logs/2024_02:v0", "net:v0", "net:v1"]),
        (("logs/2024_*",), ["logs/2024_01:v0", "logs/2024_02:v0"]),
        (("*2",), ["logs/2023_12:v0", "logs/2024_02:v0"]),
        (("--project", "logs"), ["logs/2023_12:v0", "logs/2024_01:v0", "logs/2024_02:v0"]),
        (("--project", "log"), []),
        (("--type", "model"), ["net:v0", "net:v1"]),
        (("--type", "model", "--latest"), ["net:v1"]),
        (("--meta", "rows=2"), ["logs/2024_01:v0", "logs/2024_02:v0", "net:v0"]),
        (("--meta", "rows=2", "--latest"), ["logs/2024_01:v0", "logs/2024_02:v0"]),
        (("--meta", "stage=draft", "--meta", "rows=2"), ["net:v0"]),
        (("--tag", "checked"), ["logs/2024_01:v0"]),
        (("--meta", "rows>1"), ["logs/2024_01:v0", "logs/2024_02:v0", "net:v0"]),
        (("--meta", "rows>=1", "--meta", "rows<2"), ["logs/2023_12:v0"]),
        (("--meta", "stage"), ["net:v0", "net:v1"]),
        (("--meta", "stage!=final"), ["net:v0"]),
        (("--meta", '{"stage": "draft", "rows": 2}'), ["net:v0"]),
        (("--sort", "rows", "-r", "-n", "2", "--meta", "rows"), ["logs/2024_01:v0", "logs/2024_02:v0"]),
        (("--younger", "1h", "net"), ["net:v0", "net:v1"]),
        (("--older", "1h"), []),
    ],
    ids=lambda value: " ".join(value) or "all",
)
def test_find(artfs: Run, arguments: tuple[str, ...], names: list[str]) -> None:
    assert [version["name"] for version in artfs("find", *arguments, "--json").json["versions"]] == names
    assert [line.split()[0] for line in artfs("find", *arguments).text.splitlines()] == names


@pytest.mark.usefixtures("filled")
def test_what_is_shown(artfs: Run) -> None:
    (line,) = artfs("find", "net", "--latest").text.splitlines()
    assert line.split()[:2] == ["net:v1", "model"] and line.endswith("1 B  latest, prod")
    (line,) = artfs("find", "--tag", "checked").text.splitlines()
    assert line.endswith("latest, [checked]")


@pytest.mark.usefixtures("filled")
def test_ls_with_a_glob(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts whose full name matches; a file of that name in the current folder is something else."""
    monkeypatch.chdir(tmp_path)
    assert artfs("ls", "logs/2024_*").text == "logs/2024_01  logs  v0  1\nlogs/2024_02  logs  v0  1\n"
    listed = artfs("ls", "[ln]*", "--json").json["artifacts"]
    assert [artifact["name"] for artifact in listed] == ["logs/2023_12", "logs/2024_01", "logs/2024_02", "net"]
    refused(artfs("ls", "x*"), code=3, names=["'x*'", "artfs ls"])


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "arguments", [("--younger", "soon"), ("--older", "-1d"), ("--meta", "=x"), ("--meta", "rows>")]
)
def test_mistakes(artfs: Run, arguments: tuple[str, ...]) -> None:
    done = artfs("find", *arguments)
    refused(done, code=2, names=[f"'{arguments[1]}'"])
    assert done.out == b""


@pytest.mark.usefixtures("filled")
def test_columns(artfs: Run) -> None:
    """Keys of metadata as columns, numbers to the right; a dash for what is not there."""
    artfs("meta", "set", "net:v1", "rows=11")
    assert artfs("find", "net", "--columns", "rows,stage,none").text.splitlines() == [
        "net:v0   2  draft  -",
        "net:v1  11  final  -",
    ]


@pytest.mark.usefixtures("filled")
def test_what_was_left_out(artfs: Run) -> None:
    """Values that cannot be compared and versions that cannot be ordered are counted, not hidden."""
    artfs("meta", "set", "net:v1", "rows=many")
    found = artfs("find", "--meta", "rows>1")
    assert len(found.text.splitlines()) == 3
    reported(found, names=["1 value"])
    found = artfs("find", "--sort", "rows")
    assert found.text.splitlines()[-1].startswith("net:v1")
    reported(found, names=["1 version", "rows"])
    document = artfs("find", "--meta", "rows<9", "--sort", "stage", "--json").json
    assert (document["left_out"], document["unordered"]) == (1, 3)
