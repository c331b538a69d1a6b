"""``show``, ``log``, ``diff`` and ``artifact`` on a real workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from messages import refused, reported

Run = Callable[..., Any]


def test_a_type_is_fixed_until_it_is_set_anew(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "--type", "dataset")
    result = artfs("put", data, "x", "--type", "model", "--new")
    refused(result, code=4, names=["'x'", "'dataset'", "'model'", "artfs artifact set-type x model"])
    assert artfs("artifact", "set-type", "x", "model", "--json").json == {"artifact": "x", "type": "model"}
    assert artfs("put", data, "x", "--type", "model", "--new").code == 0


def test_log_lists_the_newest_first(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "-a", "old", "--description", "line one\nline two")
    artfs("put", data, "x", "--new")
    records = artfs("log", "x", "--json").json
    assert records["artifact"] == "x"
    assert [record["version"] for record in records["versions"]] == ["v1", "v0"]
    lines = artfs("log", "x").text.splitlines()
    assert lines[0].startswith("v1  ") and lines[0].split("  ")[-2] == "latest"
    assert lines[1].startswith("v0  ") and lines[1].split("  ")[-2] == "old"
    assert lines[2:] == ["    line one", "    line two"]


def test_where_versions_come_from(artfs: Run, data: Path) -> None:
    """Who made a version, with which command, where; and the commit of the folder, if it has one."""
    (data / ".git" / "refs").mkdir(parents=True)
    (data / ".git" / "HEAD").write_text("4f" * 20 + "\n")
    artfs("put", data, "x", "--exclude", ".git")
    origin = artfs("show", "x", "--json").json["origin"]
    assert (origin["repository"], origin["commit"], origin["dirty"]) == (True, "4f" * 20, None)
    shown = artfs("show", "x").text
    assert f"{origin['user']} on {origin['host']}" in shown and origin["folder"] in shown
    assert f"{'4f' * 20}, changes unknown" in shown
    (line,) = artfs("log", "x").text.splitlines()
    assert line.endswith(f"{origin['user']}@{origin['host']} 4f4f4f4f4f")
    assert [each["name"] for each in artfs("find", "--origin", "commit^=4f4f", "--json").json["versions"]] == ["x:v0"]
    artfs("config", "record-origin", "none")
    artfs("put", data, "x", "--new", "--exclude", ".git")
    assert artfs("show", "x", "--json").json["origin"] is None
    assert "made by" not in artfs("show", "x").text


def test_diff_lists_each_change_with_its_sizes_and_sums_up(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    (data / "train" / "a.txt").write_text("b" * 2000)
    (data / "train" / "b.bin").rename(data / "moved.bin")
    (data / "empty").unlink()
    (data / "new\nline").write_text("12345")
    (data / "run.sh").chmod(0o644)
    artfs("put", data, "x")
    lines = artfs("diff", "x:v0", "x:v1").text.splitlines()
    assert "M  train/a.txt  1.0 kB -> 2.0 kB" in lines
    assert "R  train/b.bin -> moved.bin  10.2 kB" in lines
    assert 'A  "new\\nline"  5 B' in lines
    assert "D  empty  0 B" in lines
    assert "M  run.sh  executable bit" in lines
    assert lines[-1].startswith("1 added (5 B), 1 removed (0 B), 1 changed (2.0 kB), 1 changed in mode only")
    document = artfs("diff", "x:v0", "x", "--json").json
    assert (document["from"], document["to"]) == ("x:v0", "x:v1"), "what the references meant"
    kinds = {change["kind"]: change for change in document["changes"]}
    assert set(kinds) == {"added", "removed", "changed", "renamed", "mode"}
    assert kinds["renamed"]["old_path"] == "train/b.bin" and kinds["renamed"]["path"] == "moved.bin"
    assert kinds["changed"]["old_size"] == 1000 and kinds["changed"]["new_size"] == 2000
    same = artfs("diff", "x:v0", "x:v0")
    assert (same.code, same.text) == (0, "no differences\n")


def test_an_artifact_is_described(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    reported(artfs("artifact", "describe", "x", "all of it"), names=["x", "all of it"])
    assert artfs("ls", "-l").text.rstrip().endswith("all of it")
    (listed,) = artfs("ls", "--json").json["artifacts"]
    assert listed["description"] == "all of it"
    assert artfs("artifact", "describe", "x", "", "--json").json == {"artifact": "x", "description": ""}
    assert artfs("artifact", "describe", "none", "text").code == 3
    assert artfs("fsck").code == 0


def test_the_history_of_a_file(artfs: Run, data: Path) -> None:
    """Each content is listed once, the newest first, with the versions that have it; JSON has all of them."""
    labels = data / "labels.csv"
    for text in ("one", "two", "two", "one"):
        labels.write_text(text)
        artfs("put", data, "x", "--new")
    labels.chmod(0o755)
    artfs("put", data, "x")
    labels.unlink()
    artfs("put", data, "x")
    lines = [line.split("  ") for line in artfs("log", "x:/labels.csv").text.splitlines()]
    assert [line[0] for line in lines] == ["v4", "v1..v2", "v0, v3"]
    assert [line[-1] == "executable" for line in lines] == [True, False, False]
    document = artfs("log", "x:v5/labels.csv", "--json").json
    assert (document["artifact"], document["path"]) == ("x", "labels.csv")
    assert [content["versions"] for content in document["contents"]] == [["v4"], ["v1", "v2"], ["v0", "v3"]]
    assert artfs("log", "x:/labels.csv", "-n", "1", "--json").json["contents"] == document["contents"][:1]
    refused(artfs("log", "x:v0"), code=2, names=["'x:v0'", "x"])
    refused(artfs("log", "x:/none"), code=3, names=["'x'", "'none'"])
    refused(artfs("log", "x:/labels.csv/below"), code=3, names=["labels.csv/below"])
