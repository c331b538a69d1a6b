"""References lead only where the reading user allows it, whatever a record says and wherever links lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, NotAllowedError, NotFoundError, RefusedError
from artstore.references import roots
from artstore.references.roots import allow_file, allow_root, allowed_roots, change_roots, require_file, root_of
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ARTFS_REFERENCE_ROOTS", raising=False)
    monkeypatch.setattr(roots, "_unkept", set())
    return tmp_path / "config" / "artfs" / "reference-roots"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a secret, and one with data, in which links lead to both."""
    (tmp_path / "home" / "data" / "sub").mkdir(parents=True)
    (tmp_path / "home" / "secret").write_bytes(b"secret")
    (tmp_path / "home" / "data" / "sub" / "file").write_bytes(b"content")
    (tmp_path / "home" / "data" / "out").symlink_to("../secret")
    (tmp_path / "home" / "data" / "inside").symlink_to("sub/file")
    return tmp_path / "home"


def permits(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        require_file(fd, str(path))
    except NotAllowedError as error:
        assert str(path) in str(error)
        return False
    finally:
        os.close(fd)
    return True


def test_files_below_a_root(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = home / "data"
    assert not permits(data / "sub" / "file")
    for entry in (data, f"{data}/", data.as_uri()):
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", f"http://h {entry}" if entry == data.as_uri() else data.as_uri())
        assert permits(data / "sub" / "file") and permits(data / "inside")
        assert not permits(data / "out") and not permits(home / "secret")
    (home / "data-2").write_bytes(b"its name begins alike")
    assert not permits(home / "data-2")
    monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", "file:///")
    assert permits(home / "secret")
    assert not permits(Path("/dev/null"))


def test_a_root_is_what_it_led_to_when_it_was_allowed(home: Path) -> None:
    """A folder that another user exchanges for a link later leads nowhere."""
    (home / "name").symlink_to("data")
    allow_file(os.fsencode(home / "name"))
    assert permits(home / "name" / "sub" / "file")
    (home / "name").unlink()
    (home / "name").symlink_to(".")
    assert not permits(home / "name" / "secret")
    (home / "data").rename(home / "moved")
    (home / "data").symlink_to(".")
    assert not permits(home / "data" / "secret")


def test_any_name_can_be_allowed(home: Path, settings: Path) -> None:
    """Spaces, percent signs and bytes that are no UTF-8 stay one entry."""
    for name in (b"a b", b"100%", b"%20", b"\xff\n", "ü".encode()):
        folder = os.path.join(os.fsencode(home), name)
        os.mkdir(folder)
        Path(os.fsdecode(folder), "f").touch()
        before = len(allowed_roots())
        allow_file(folder)
        assert permits(Path(os.fsdecode(folder), "f")) and len(allowed_roots()) == before + 1
        allow_file(os.path.join(folder, b"f"))
        assert len(allowed_roots()) == before + 1


def test_a_list_that_others_may_write_counts_for_nothing(home: Path, settings: Path) -> None:
    """As with HOME of another user, which sudo may keep."""
    allow_file(os.fsencode(home / "data"))
    assert permits(home / "data" / "inside")
    settings.chmod(0o666)
    assert not permits(home / "data" / "inside") and allowed_roots() == []
    settings.chmod(0o600)
    assert permits(home / "data" / "inside")
    if os.geteuid() == 0:
        os.chown(settings, 12345, 12345)
        assert not permits(home / "data" / "inside")


def test_the_list_is_changed(home: Path, settings: Path) -> None:
    data = home / "data"
    (home / "name").symlink_to("data")
    assert change_roots(add=[str(home / "name"), "HTTP://H:8080/x", "10.1.2.3/8"], remove=[]) == [
        data.as_uri(),
        "http://h:8080",
        "10.0.0.0/8",
    ]
    assert change_roots(add=[str(data)], remove=["http://h:8080"]) == [data.as_uri(), "10.0.0.0/8"]
    with raises(NotFoundError, names=["'http://h:8080'"]):
        change_roots(add=[], remove=["http://h:8080"])
    assert change_roots(add=[], remove=[str(data), "10.0.0.0/8"]) == [] and settings.read_text() == ""
    for wrong in ("", "data", "ftp://h", "h:80", "file://host/x", "10.0.0.0/33"):
        with raises(InvalidInputError, names=[repr(wrong)]):
            change_roots(add=[wrong], remove=[])


def test_a_configuration_that_is_read_only(home: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added is read in this process, and nothing fails but a change that was asked for."""
    settings.parent.parent.write_text("in the way")
    allow_file(os.fsencode(home / "data"))
    assert permits(home / "data" / "inside")
    with raises(RefusedError, names=[str(settings)]):
        change_roots(add=[str(home)], remove=[])


def test_what_is_allowed_is_kept_once_and_without_secrets(settings: Path) -> None:
    for _ in range(2):
        allow_root("http://me:pw@h:8080/f?token=x")
    assert settings.read_text() == "http://h:8080\n" and allowed_roots() == ["http://h:8080"]
    settings.write_bytes(b"\xff\xfe")
    assert allowed_roots() == []
    settings.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    allow_root("http://other/f")  # no error where the configuration is read-only


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("http://H:8080/x", ("h", 8080)),
        ("https://h/x", ("h", 443)),
        ("http://[::1]/x", ("::1", 80)),
        ("http://h:99999/", None),
        ("http://h:x/", None),
        ("ftp://h/", None),
        ("http:///x", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_roots(uri: str, root: tuple[str, int] | None) -> None:
    found = root_of(uri)
    assert found == root
    assert found is None or root_of(found.uri) == root


def test_a_reference_of_another_is_not_followed(
    workspace: Workspace, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its own user reads, another user reads only after allowing it, with whatever reads."""
    workspace.refer(str(home / "secret"), "x")
    workspace.refer(str(home / "secret"), "by-time", checksum=False)
    assert workspace.version("x").read_bytes("secret") == b"secret"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    for name in ("x", "by-time"):
        version = Workspace(Store.open(workspace.path)).version(name)
        reads: list[Callable[[], object]] = [
            partial(version.read_bytes, "secret"),
            partial(workspace.get, version.name, tmp_path / "out"),
            partial(workspace.references.fetch, version.name),
        ]
        for read in reads:
            with raises(NotAllowedError, names=[str(home / "secret")]):
                read()
        (checked,) = workspace.references.check(version.name)
        assert checked.state == "unknown" and str(home / "secret") in checked.message
    change_roots(add=[str(home)], remove=[])
    assert workspace.version("x").read_bytes("secret") == b"secret"
