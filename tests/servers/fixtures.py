"""The servers as fixtures: each is started once, when a test first needs it, and every test has a bucket of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import azure as azure_server
from servers import s3 as s3_servers
from servers.azure import Azure
from servers.fake import FakeStore
from servers.s3 import S3
from servers.web import Web

__all__ = ["azure", "azurite", "ceph", "every_s3", "fake_s3", "google", "moto", "nobody", "s3", "strict_s3", "web"]

_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR", "CLOUDSDK_")


def _missing(reason: str) -> None:
    """Skip on a machine without a server, but fail in CI, where a skip would pass unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def moto() -> Iterator[S3]:
    with s3_servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def ceph() -> Iterator[S3]:
    missing = s3_servers.ceph_is_missing()
    if missing:
        _missing(f"Ceph's {', '.join(missing)} are missing: apt-get install ceph-mon ceph-osd radosgw")
    with s3_servers.ceph() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azure]:
    if azure_server.program() is None:
        _missing("Azurite is missing: npm install azurite")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    with azure_server.azurite(port) as server:
        s3_servers.await_port(port)
        yield server


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test as a user without any credentials; return the user's home."""
    for name in os.environ:
        if name.startswith(_PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path / "nobody"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "10")
    monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "10")
    return home


def _be(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(moto: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket, with the environment of a user who may use it."""
    _be(moto.environment, monkeypatch)
    return moto.in_new_bucket()


@pytest.fixture(params=["moto", "ceph"])
def every_s3(request: pytest.FixtureRequest, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The same, on each server."""
    server: S3 = request.getfixturevalue(request.param)
    _be(server.environment, monkeypatch)
    return server.in_new_bucket()


@pytest.fixture
def strict_s3(ceph: S3, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket on the server that checks keys."""
    _be(ceph.environment, monkeypatch)
    return ceph.in_new_bucket()


@pytest.fixture
def azure(azurite: Azure, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """A container, with the environment of a user who may use it."""
    _be(azurite.environment, monkeypatch)
    return azurite.in_new_container()


@pytest.fixture
def fake_s3(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    """A store in this process that speaks S3, with the environment of a user who may use it."""
    with FakeStore() as store:
        _be(store.environment, monkeypatch)
        yield store


@pytest.fixture
def google(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    """The same as Google's stores are: with generations, and one write of a name a second."""
    with FakeStore(google=True) as store:
        _be(store.environment, monkeypatch)
        yield store


@pytest.fixture
def web(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web server on this machine, which the user has allowed references to."""
    with Web() as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        yield server
