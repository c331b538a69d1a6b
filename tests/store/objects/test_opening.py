"""Opening stores: which URLs are taken, that forks work, and that the client is loaded only when it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, NotFoundError, OutsideError
from artstore.objects import delegating
from artstore.objects.failures import ObjectMissingError
from artstore.objects.opening import address_of, open_store
from servers.azure import Azure
from servers.fake import FakeStore


@pytest.mark.parametrize(
    "url",
    [
        "https://host/bucket",
        "http://host/x",
        "s3://bucket/p?versionId=1",
        "gs://b/p#12",
        "ftp://x",
        "p",
        "",
        "s3://",
        "s3://b//p",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        open_store(url)


def test_a_secret_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store("s3://key:very-secret@bucket/p")
    assert "very-secret" not in str(caught.value)


def test_missing_credentials_are_told_by_the_first_request(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables to set; opening asks nothing."""
    monkeypatch.setattr("artstore.objects.access._VENDOR", nobody / "vendor")
    store = open_store("s3://bucket/p")
    with pytest.raises(OutsideError, match="there are no credentials for s3://bucket/p") as caught:
        store.read("x")
    assert not isinstance(caught.value, NotFoundError)


def test_the_same_place_has_the_same_address(
    fake_s3: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its URL is written; another endpoint or account is another place."""
    assert address_of("s3://bucket/p/") == address_of("S3://bucket/p") != address_of("s3://bucket/p2")
    assert address_of("s3://bucket") == address_of("s3://bucket/")
    before = address_of("s3://bucket/p")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:1")
    assert address_of("s3://bucket/p") != before and "secret" not in before
    (tmp_path / "link").symlink_to(tmp_path)
    assert address_of(f"file://{tmp_path}/link/x") == address_of(f"{tmp_path}/x/")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "one")
    one = address_of("az://box/p")
    assert one == address_of("https://one.blob.core.windows.net/box/p") == address_of("azure://box/p/")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "two")
    assert address_of("az://box/p") != one


def test_azure_by_its_web_address(azure: Azure) -> None:
    """The container's own address names the account; its URL shows no secret."""
    store = open_store(azure.uri("p"))
    assert store.create("x", b"y") and store.url == azure.uri("p")


def test_a_fork_goes_through_a_helper(fake_s3: FakeStore) -> None:
    """The client would hang in the child of a process that has used it; errors keep their class there."""
    store = open_store(fake_s3.uri("p"))
    assert store.create("x", b"by the parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert delegating.must_delegate()
            assert store.read("x") == b"by the parent" and store.create("y", b"by the child") is True
            assert store.create("x", b"by the child") is False
            assert [info.name for info in store.list("")] == ["x", "y"]
            assert store.date() is not None
            with pytest.raises(ObjectMissingError):
                store.head("z")
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.read("y") == b"by the child"


def test_the_client_is_loaded_by_the_first_request(tmp_path: Path) -> None:
    """Neither importing nor opening loads obstore, and a folder never does."""
    program = (
        "import sys\n"
        "from artstore.objects import probing\n"
        "from artstore.objects.opening import open_store\n"
        f"assert open_store('file://{tmp_path}').create('x', b'y')\n"
        "open_store('s3://bucket/p')\n"
        "print([name for name in sys.modules if name.startswith(('obstore', 'urllib.request', 'boto'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
