"""Templates as files: YAML and JSON by name; whatever a file has, reading it runs nothing and ends soon."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from artfs.registry import LibraryManager, MissingLibraryError, RecordError
from artstore.errors import ExistsError, InvalidInputError, NotFoundError


def test_export(tmp_path: Path, library: LibraryManager) -> None:
    """A plain file that any reader of YAML or JSON takes; another file is not overwritten, the same one is."""
    library.save_template({"b": [1, 0.5], "a": "é"}, "team/pls", "said", category="c", tags=["t"], metrics={"m": 1})
    parsed = []
    for name, read in (("t.yaml", yaml.safe_load), ("t.yml", yaml.safe_load), ("t.json", json.loads)):
        file = library.export_template("team/pls", tmp_path / name)
        assert file == tmp_path / name and library.export_template("team/pls", str(file)) == file
        parsed.append(read(file.read_text()))
    assert parsed[0] == parsed[1] == parsed[2]
    assert parsed[0]["pipeline_config"] == {"b": [1, 0.5], "a": "é"} and parsed[0]["name"] == "team/pls"
    library.save_template([2], "team/pls")
    with pytest.raises(ExistsError, match=r"t\.yaml"):
        library.export_template("team/pls", tmp_path / "t.yaml")
    assert library.export_template("team/pls", tmp_path / "t.yaml", 0) == tmp_path / "t.yaml"
    library.export_template("team/pls", tmp_path / "t.yaml", overwrite=True)
    assert yaml.safe_load((tmp_path / "t.yaml").read_text())["pipeline_config"] == [2]
    assert sorted(os.listdir(tmp_path)) == ["t.json", "t.yaml", "t.yml", "workspace"]


def test_import(tmp_path: Path, library: LibraryManager) -> None:
    """Into another library under the same name or another; a configuration alone, and a template of nirs4all."""
    library.save_template({"range": (0, 1), 3: {"x"}}, "pls", "said", tags=["t"], notes="n")
    file = library.export_template("pls", tmp_path / "out.yaml")
    other = LibraryManager(tmp_path / "other")
    assert other.import_template(file).name == "library/templates/pls:v0"
    assert other.import_template(file, "mine").name == "library/templates/mine:v0"
    kept = ("description", "tags", "notes", "category", "metrics")
    for name in ("pls", "mine"):
        assert other.load_template(name) == {"range": (0, 1), 3: {"x"}}
        assert all(other.get_template_metadata(name)[key] == library.get_template_metadata("pls")[key] for key in kept)
    (tmp_path / "alone.yml").write_text("steps:\n- class: sklearn.linear_model.Ridge\n  params: {alpha: 0.5}\n")
    assert other.import_template(tmp_path / "alone.yml").name == "library/templates/alone:v0"
    assert other.load_template("alone")["steps"][0]["params"] == {"alpha": 0.5}
    (tmp_path / "aliases.YAML").write_text("a: &a {n: 1}\nb: *a\nc: {<<: *a, m: 2}\n")
    other.import_template(tmp_path / "aliases.YAML")
    assert other.load_template("aliases") == {"a": {"n": 1}, "b": {"n": 1}, "c": {"n": 1, "m": 2}}
    written = {"name": "old", "description": "d", "created_at": "2025", "config": {"s": 1}, "type": "template"}
    (tmp_path / "x.json").write_text(json.dumps(written))
    other.import_template(tmp_path / "x.json")
    assert other.load_template("old") == {"s": 1} and other.get_template_metadata("old")["description"] == "d"


LETTERS = "abcdefghijklmnopqrstuvwx"
HOSTILE = {
    "object": "!!python/object/apply:os.system ['touch CANARY']",
    "new": "pipeline_config: [!!python/object/new:os.system ['touch CANARY']]",
    "name": "a: !!python/name:os.system",
    "module": "a: !!python/module:os",
    "tuple": "a: !!python/tuple [1]",
    "itself": "&a [*a]",
    "itself merged": "&a {<<: *a, b: *a}",
    "laughs": "a: &a [1,1]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in pairwise(LETTERS)),
    "merges": "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a},*{a}]}}\n" for a, b in pairwise(LETTERS)),
    "deep": "[" * 20_000,
    "deep and closed": "[" * 900 + "]" * 900,
    "long": "a: " + "x" * (1 << 20),
    "date": "steps: [2020-01-01]",
    "impossible date": "steps: [2020-99-99]",
    "bytes": "steps: [!!binary aGk=]",
    "unhashable": "? [1]\n: 2",
    "equals": "steps: [=]",
    "two documents": "--- 1\n--- 2",
    "text": "just text",
    "empty": "",
    "control": "a: \x07",
    "not UTF-8": b"\xff\xfe\xfd",
    "digits": "a: " + "9" * 10_000,
    "tag": "a: {$tuple: 1}",
    "name of a list": "{pipeline_config: [1], name: [x]}",
    "name that leads out": "{pipeline_config: [1], name: ../../x}",
    "tags": "{pipeline_config: [1], tags: {a: 1}}",
    "metrics": "{pipeline_config: [1], metrics: [1]}",
    "no configuration": "{pipeline_config: 3}",
    "config alone": "{type: template, config: x}",
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_yaml(tmp_path: Path, canary: Path, library: LibraryManager, hostile: str) -> None:
    """Each is one error that names the file or the value; nothing ran, and nothing was saved."""
    content = HOSTILE[hostile]
    file = tmp_path / "t.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.replace("CANARY", str(canary)).encode())
    with pytest.raises(InvalidInputError if "leads" not in hostile else ValueError) as caught:
        library.import_template(file)
    assert "\n" not in str(caught.value) and len(str(caught.value).replace(str(tmp_path), "")) < 200
    assert not canary.exists() and library._existing() is None


@pytest.mark.parametrize("content", ["", "{", "[" * 200_000, '{"a": NaN', '"text"', "3", '{"pipeline_config": null}'])
def test_malformed_json(tmp_path: Path, library: LibraryManager, content: str) -> None:
    """The same for JSON."""
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(RecordError, match=r"t\.json"):
        library.import_template(tmp_path / "t.json")


def test_what_is_no_file(tmp_path: Path, library: LibraryManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of other formats, what is missing, a FIFO, a folder; YAML without its library is one sentence."""
    for name in ("t", "t.pkl", "t.yaml.gz"):
        with pytest.raises(InvalidInputError, match=r"\.json, \.yaml or \.yml|no name"):
            library.import_template(tmp_path / name)
    with pytest.raises(NotFoundError, match=r"t\.yaml"):
        library.import_template(tmp_path / "t.yaml")
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "large.json").touch()
    os.truncate(tmp_path / "large.json", 1 << 40)
    for name in ("fifo", "folder", "large"):
        with pytest.raises(RecordError, match=name):
            library.import_template(tmp_path / f"{name}.json")
    library.save_template([1], "t")
    with pytest.raises(NotFoundError):
        library.export_template("t", tmp_path / "missing" / "t.json")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingLibraryError, match="needs yaml"):
        library.export_template("t", tmp_path / "t.yaml")
    assert not (tmp_path / "t.yaml").exists()
