"""Azurite, Microsoft's emulator of Azure's storage."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote, urlencode

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key of tests, which is no secret at all, for Azurite").decode()
VERSION = "2023-11-03"
SIGNATURES = "2020-12-06"


def program() -> str | None:
    """Return the path of Azurite: among the environment's programs, or on PATH."""
    return shutil.which("azurite-blob")


@dataclass
class Azure:
    """A server with a container for each test."""

    endpoint: str
    container: str = ""

    def in_new_container(self, *, public: bool = False) -> Azure:
        other = Azure(self.endpoint, f"c{uuid.uuid4().hex[:12]}")
        headers = {"x-ms-blob-public-access": "container"} if public else {}
        self._request("PUT", f"/{other.container}?restype=container", b"", headers)
        return other

    def put(self, key: str, data: bytes) -> None:
        self._request("PUT", f"/{self.container}/{quote(key)}", data, {"x-ms-blob-type": "BlockBlob"})

    def delete(self, key: str) -> None:
        self._request("DELETE", f"/{self.container}/{key}", b"", {})

    def token(self, rights: str, *, seconds: int = 3600) -> str:
        """Return a shared access signature for the container, with rights such as ``rl``, for some seconds from now on.

        https://learn.microsoft.com/rest/api/storageservices/create-service-sas
        """
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        place = f"/blob/{ACCOUNT}/{self.container}"
        lines = [rights, "", expiry, place, "", "", "", SIGNATURES, "c", "", "", "", "", "", "", ""]
        digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        return urlencode({"sv": SIGNATURES, "sr": "c", "sp": rights, "se": expiry, "sig": signature})

    def _request(self, method: str, path: str, data: bytes, headers: dict[str, str]) -> None:
        """Make a request that is signed with the account's key.

        https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
        """
        place, _, query = path.partition("?")
        said = {**headers, "x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION}
        lines = [method, "", "", str(len(data)) if data else "", "", "application/octet-stream", "", "", "", "", "", ""]
        lines += [f"{name}:{said[name]}" for name in sorted(said)]
        lines.append(f"/{ACCOUNT}/{ACCOUNT}{place}" + (f"\n{query.replace('=', ':')}" if query else ""))
        digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
        said["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        said["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(self.endpoint + path, data, said, method=method)
        with urllib.request.urlopen(request, timeout=20):
            pass

    def uri(self, key: str = "") -> str:
        return f"az://{self.container}/{key}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }


@contextlib.contextmanager
def azurite(port: int) -> Iterator[Azure]:
    name = program()
    assert name is not None
    with tempfile.TemporaryDirectory(prefix="azurite-") as folder:
        command = [name, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder, "--silent"]
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        ) as process:
            try:
                yield Azure(f"http://127.0.0.1:{port}/{ACCOUNT}")
            finally:
                process.kill()
