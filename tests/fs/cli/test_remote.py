"""``remote`` on a real workspace: adding, showing, checking and forgetting, and what people get wrong."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from artstore.objects import probing
from artstore.remotes import adding
from artstore.remotes.exchanging import mounted_clone
from artstore.workspace import open_workspace
from messages import refused, reported
from store.with_remotes import live_with_remotes

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=2))


@pytest.fixture
def bucket(artfs: Run, tmp_path: Path) -> Path:
    """A folder for a remote, and a workspace with an artifact."""
    (tmp_path / "file").write_text("text")
    artfs("put", tmp_path / "file", "data")
    artfs("put", tmp_path / "file", "data", "--new")
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def test_from_adding_to_forgetting(artfs: Run, bucket: Path) -> None:
    done = artfs("remote", "add", "disk", bucket.as_uri())
    reported(done, names=["disk", bucket.as_uri(), "0 entries"])
    assert artfs("remote", "ls").text.split() == ["disk", bucket.as_uri(), "writable", "0"]
    shown = artfs("remote", "show", "disk").text
    assert bucket.as_uri() in shown and "writable" in shown
    assert artfs("remote", "check", "disk").text.splitlines()[0].split() == ["remote", "disk"]
    document = artfs("remote", "check", "disk", "--json").document
    assert document["probe"]["promises"]["one winner"] == "kept"
    assert (document["remote"]["read_only"], document["remote"]["entries"]) == (False, 0)
    reported(artfs("remote", "rm", "disk"), names=["disk"])
    assert artfs("remote", "ls").text == ""
    assert (bucket / "artfs-remote.json").is_file()
    done = artfs("remote", "add", "disk", bucket, "--read-only")
    reported(done, names=["disk", "read-only"])
    assert artfs("remote", "ls", "--json").document["remotes"][0]["read_only"] is True


def test_what_belongs_to_a_remote_is_kept(artfs: Run, bucket: Path) -> None:
    """Forgetting it needs a flag, and leaves all versions; deleting a version needs none."""
    live_with_remotes(open_workspace(os.environ["ARTFS_WORKSPACE"]), "data")
    assert artfs("remote", "ls", "--json").document["remotes"][1]["artifacts"] == ["data"]
    refused(artfs("remote", "rm", "origin"), code=4, names=["data", "origin", "--keep-local"])
    done = artfs("remote", "rm", "origin", "--keep-local")
    assert done.text == "data\n"
    assert [row["name"] for row in artfs("remote", "ls", "--json").document["remotes"]] == ["mirror"]
    assert artfs("show", "data:v1").code == 0
    assert artfs("fsck").code == 0


def test_mistakes(artfs: Run, bucket: Path, tmp_path: Path) -> None:
    """What people type first: a path that is not absolute, a folder in use, a missing disk, a password."""
    for url, code, names in (
        ("bucket", 2, ["'bucket'", "file:///FOLDER"]),
        (f"file://{tmp_path}", 4, [str(tmp_path), "empty"]),
        (f"file://{tmp_path}/missing", 3, [f"{tmp_path}/missing"]),
        ("s3://key:hunter2@bucket/x", 2, ["bucket/x", "environment"]),
    ):
        refused(artfs("remote", "add", "disk", url), code=code, names=names)
    refused(artfs("remote", "add", "disk", bucket, "--read-only"), code=3, names=[str(bucket), "artfs remote add"])
    refused(artfs("remote", "check", "disk"), code=3, names=["disk", "artfs remote ls"])
    assert list(bucket.iterdir()) == []


def test_a_store_that_does_not_answer(artfs: Run, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the place, exit code 1, and nothing is recorded; known remotes are still listed."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ALLOW_HTTP", "true"),
        ("ARTFS_REMOTE_TIMEOUT", "2"),
    ):
        monkeypatch.setenv(name, value)
    artfs("remote", "add", "disk", bucket)
    refused(artfs("remote", "add", "cloud", "s3://bucket/x"), code=1, names=["s3://bucket/x"])
    assert artfs("remote", "ls").text.split()[0] == "disk"
    assert len(artfs("remote", "ls").text.splitlines()) == 1


def test_from_a_push_to_a_clone(artfs: Run, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on two machines: push, clone, pull, and what each says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    refused(artfs("push", "data"), code=3, names=["artfs remote add"])
    artfs("remote", "add", "origin", bucket)
    reported(artfs("push", "data", "--dry-run"), names=["2 versions", "origin"])
    done = artfs("push", "data")
    assert (done.text, done.code) == ("data:v0\ndata:v1\n", 0)
    assert artfs("push", "--all").text == ""
    document = artfs("push", "data:v1", "origin", "--json").document
    assert [(one["name"], one["is_new"]) for one in document["versions"]] == [("data:v1", False)]
    fetched = artfs("fetch", "--json").document["artifacts"]
    assert [(one["name"], one["versions"], one["local"]) for one in fetched] == [("data", [0, 1], [0, 1])]
    monkeypatch.chdir(tmp_path)
    reported(artfs("clone", bucket.as_uri(), "copy"), names=["copy", "pull"])
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "copy"))
    assert artfs("ls").text.split()[0] == "data"
    assert artfs("fetch").text.split()[:4] == ["data", "v1", "2", "0"]
    assert artfs("pull", "data").text == "data:v1\n"
    assert artfs("pull", "--all").text == "data:v0\n"
    assert artfs("cat", "data:v0/file").text == "text"
    assert artfs("fsck", "--data").code == 0
    (tmp_path / "mnt").mkdir()
    refused(artfs("mount", "s3://key:secret@bucket/x", "mnt"), code=2, names=["a password"])
    refused(artfs("mount", bucket.as_uri(), "none"), code=3, names=["none"])
    refused(artfs("mount", (tmp_path / "nothing").as_uri(), "mnt"), code=3, names=["nothing"])
    shown = mounted_clone(bucket.as_uri())
    open_workspace(shown).remotes.remove("origin")  # as a killed clone leaves it
    assert mounted_clone(bucket.as_uri()) == shown
    assert artfs("-w", shown, "cat", "data:v0/file").text == "text"
    refused(artfs("-w", shown, "put", tmp_path / "file", "mine"), code=4, names=["artfs clone"])
    refused(artfs("pull", "none"), code=3, names=["none", "artfs fetch origin"])
    refused(artfs("clone", bucket.as_uri(), "copy"), code=4, names=["copy"])
    for words in (("push",), ("push", "a", "b", "c"), ("pull",), ("push", "--all", "a", "b")):
        assert artfs(*words).code == 2


def test_what_is_lost_in_a_remote_is_named(artfs: Run, bucket: Path) -> None:
    """With exit code 5: the object, the file and the versions; and what people type first."""
    (bucket.parent / "noise").write_bytes(os.urandom(100_000))
    artfs("put", bucket.parent / "noise", "data")
    for words, code, names in (
        (("fsck", "--remote"), 3, ["artfs remote add"]),
        (("fsck", "--remote", "origin"), 3, ["'origin'"]),
        (("fsck", "origin"), 2, ["'origin'", "--remote"]),
        (("fsck", "--remote", "--repair"), 2, ["--remote", "--repair"]),
        (("fsck", "--remote", "--rebuild"), 2, ["--remote", "--rebuild"]),
    ):
        refused(artfs(*words), code=code, names=names)
    artfs("remote", "add", "origin", bucket)
    artfs("push", "--all")
    done = artfs("fsck", "--remote", "--data")
    assert done.code == 0 and done.text.startswith("clean") and "3 versions" in done.text
    lost = max((path for path in bucket.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    lost.unlink()
    done = artfs("fsck", "--remote", "origin")
    assert done.code == 5 and lost.name in done.text and "data:v2/" in done.text and "damaged: 1 problem" in done.text
    (problem,) = artfs("fsck", "--remote", "--json").document["problems"]
    assert (problem["kind"], problem["versions"]) == ("object", ["data:v2"])
    (bucket / "artfs-remote.json").unlink()
    shutil.rmtree(bucket / "log")
    refused(artfs("fsck", "--remote"), code=3, names=["origin", "artfs-remote.json", "--keep-local"])


def test_a_deletion_on_another_machine_is_seen(
    artfs: Run, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rm, fetch, log and undelete say: who deleted what and when, and what comes back."""
    artfs("remote", "add", "origin", bucket)
    artfs("push", "data")
    monkeypatch.chdir(tmp_path)
    artfs("clone", bucket.as_uri(), "copy")
    here = os.environ["ARTFS_WORKSPACE"]
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "copy"))
    artfs("pull", "--all")
    planned = artfs("rm", "data:v0", "--dry-run")
    assert "origin: 1 version would be deleted" in planned.text and "artfs gc --remote origin" in planned.text
    assert artfs("rm", "data:v0", "-n", "--json").document["remotes"][0]["versions"] == ["data:v0"]
    assert "origin: 1 version deleted, undelete until" in artfs("rm", "data:v0").text
    monkeypatch.setenv("ARTFS_WORKSPACE", here)
    fetched = artfs("fetch")
    assert "data:v0  deleted by " in fetched.text
    reported(fetched, names=["deleted here as well: data:v0"])
    assert "(entry 3 of origin)" in artfs("log", "data").text
    assert artfs("fetch", "--json").document["deleted"][0]["name"] == "data:v0"
    assert "data:v0  restored" in artfs("undelete", "data:v0").text
    assert "deleted" not in artfs("fetch").text
    shutil.move(bucket, tmp_path / "unplugged")
    refused(artfs("rm", "data:v0"), code=3, names=["bucket"])
    assert artfs("rm", "data:v0", "--local").code == 0


def test_space_of_a_remote(artfs: Run, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What usage and gc say from a deletion to free space; and what people type first."""
    for words, code, names in (
        (("gc", "--remote"), 3, ["artfs remote add"]),
        (("gc", "origin"), 2, ["'origin'", "--remote"]),
        (("gc", "--remote", "--now"), 2, ["--dry-run"]),
        (("usage", "--remote", "none"), 3, ["'none'"]),
        (("usage", "--remote", "--by", "type"), 2, ["--by", "--remote"]),
    ):
        refused(artfs(*words), code=code, names=names)
    artfs("remote", "add", "origin", bucket)
    artfs("push", "data")
    shown = artfs("usage", "--remote").text
    assert "living versions need it" in shown and shown.splitlines()[-1].split()[:2] == ["data", "2"]
    stored = sum(path.stat().st_size for path in bucket.rglob("*") if path.is_file())
    assert artfs("usage", "origin", "--remote", "--json").document["bytes"] == stored
    artfs("rm", "-r", "data")
    assert artfs("gc", "--remote").text == "0 B freed, 0 objects\n"
    now = time.time()
    monkeypatch.setattr("artstore.objects.folders.time.time", lambda: now + 90_000)
    assert "data:v0..v1  could no longer be undeleted" in artfs("gc", "--remote", "--dry-run").text
    done = artfs("gc", "--remote", "origin").text
    assert "data:v0..v1  can no longer be undeleted" in done and "given up, to be deleted a day later" in done
    assert "given up, to be deleted by 'artfs gc --remote', the first after" in artfs("usage", "--remote").text
    monkeypatch.setattr("artstore.objects.folders.time.time", lambda: now + 180_000)
    freed = artfs("gc", "--remote", "--json").document
    assert freed["deleted"] >= 1 and freed["reaped"] == []
    assert artfs("fsck", "--remote").code == 0
