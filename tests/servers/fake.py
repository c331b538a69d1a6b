"""An object store in this process: the XML interface of S3 and of Google's, and each promise may be broken.

As Google's (``google=True``) it has generations, `x-goog-if-generation-match`, and answers 429 to a second write of a
name within `again` seconds, also to one that would lose.  As S3 it has `If-None-Match: *`.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

__all__ = ["BROKEN", "FakeStore"]

BROKEN = {
    "several win": "of creates that race, each that looked before the first was stored wins",
    "create overwrites": "conditions are ignored, as rclone does",
    "create conflicts": "every create of a name that is there answers 409, and so do some that are not",
    "stale reads": "a name that was asked for before it was stored is missing for a while",
    "stale lists": "a list lacks what was stored lately",
    "stale ends": "what was deleted is still read for a while",
    "names are used up": "a name that was deleted cannot be created again",
    "unsorted": "lists have no order",
    "foreign": "lists name objects of other prefixes",
    "ignores after": "lists begin at the first name whatever is asked for",
    "no ranges": "ranges are ignored",
    "short ranges": "ranges have one byte less",
}
"""What a store can do wrong; "ignores after" alone does no harm."""
_WHILE = 0.4


@dataclass
class _Object:
    body: bytes
    generation: int
    stored: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnected."""


class FakeStore:
    """A store with any bucket; `broken` names promises of `BROKEN`, `denied` methods that are refused."""

    def __init__(self, *, google: bool = False, broken: str = "", seed: int = 0) -> None:
        assert not broken or broken in BROKEN
        self.google = google
        self.broken = broken
        self.again = 1.0 if google else 0.0
        self.page = 1000
        self.versioned = False
        self.keeps = False
        """Objects cannot be deleted."""
        self.denied: dict[str, tuple[int, str]] = {}
        """What each of GET, HEAD, PUT, DELETE, LIST is answered with: status and code."""
        self.objects: dict[str, _Object] = {}
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.random = random.Random(seed)
        self.missed: dict[str, float] = {}
        self.ended: dict[str, tuple[float, _Object]] = {}
        self.written: dict[str, float] = {}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user who may use it."""
        if self.google:
            account = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
            key = json.dumps({**account, "gcs_base_url": self.url})
            return {"GOOGLE_BASE_URL": self.url, "GOOGLE_SERVICE_ACCOUNT_KEY": key}
        keys = {"AWS_ACCESS_KEY_ID": "key-of-tests", "AWS_SECRET_ACCESS_KEY": "secret-of-tests"}
        return {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": self.url}

    def uri(self, key: str = "") -> str:
        return f"{'gs' if self.google else 's3'}://bucket/{key}"

    def put(self, key: str, body: bytes, *, create: bool = False) -> tuple[int, str]:
        """Store an object; return the status and the code."""
        with self.lock:
            now = time.monotonic()
            if now - self.written.get(key, -9.0) < self.again:
                return 429, "SlowDown"
            exists = key in self.objects
            used_up = self.broken == "names are used up" and key in self.ended
            if self.broken == "create conflicts" and create and (exists or self.random.random() < 0.3):
                return 409, "ConditionalRequestConflict"
        if self.broken == "several win" and create and not exists:
            time.sleep(0.01)
            exists = False
        elif self.broken != "create overwrites" and create and (exists or used_up):
            return 412, "PreconditionFailed"
        with self.lock:
            if create and key in self.objects and not self.broken:
                return 412, "PreconditionFailed"
            self.written[key] = now
            self.objects[key] = _Object(body, time.time_ns(), now)
        return 200, ""

    def get(self, key: str) -> _Object | None:
        with self.lock:
            now = time.monotonic()
            found = self.objects.get(key)
            if found is None:
                self.missed.setdefault(key, now)
                if self.broken == "stale ends" and key in self.ended and now - self.ended[key][0] < _WHILE:
                    return self.ended[key][1]
            elif self.broken == "stale reads" and key in self.missed and now - found.stored < _WHILE:
                return None
            return found

    def delete(self, key: str) -> bool:
        with self.lock:
            found = self.objects.pop(key, None)
            if found is not None:
                self.ended[key] = time.monotonic(), found
                self.written.pop(key, None)
            return found is not None

    def listed(self, prefix: str, after: str) -> list[tuple[str, _Object]]:
        with self.lock:
            now = time.monotonic()
            found = sorted(self.objects.items())
        if self.broken == "stale lists":
            found = [(key, each) for key, each in found if now - each.stored > _WHILE]
        if self.broken != "ignores after":
            found = [(key, each) for key, each in found if key > after]
        mine = [(key, each) for key, each in found if key.startswith(prefix)]
        if self.broken == "foreign" and mine:
            mine.append(("~foreign/name", mine[0][1]))
        if self.broken == "unsorted":
            mine.reverse()
        return mine


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeStore]
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = unquote(address.path).lstrip("/").partition("/")[2]
        what = "LIST" if self.command == "GET" and not key else "DELETE" if "delete" in query else self.command
        self.fake.asked.append((what, key))
        if what in self.fake.denied:
            self._error(*self.fake.denied[what])
        elif what == "LIST":
            self._list(query)
        elif what == "PUT":
            self._put(key, body)
        elif what == "DELETE":
            self._delete(key, body)
        else:
            self._get(key)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _serve

    def _put(self, key: str, body: bytes) -> None:
        fake = self.fake
        condition = self.headers.get("x-goog-if-generation-match" if fake.google else "If-None-Match")
        status, code = fake.put(key, body, create=condition is not None)
        if status != 200:
            return self._error(status, code)
        made = fake.objects[key]
        self._answer(200, b"", self._described(made))

    def _get(self, key: str) -> None:
        found = self.fake.get(key)
        if found is None:
            return self._error(404, "NoSuchKey")
        headers, body, status = self._described(found), found.body, 200
        asked = self.headers.get("Range")
        if asked and self.fake.broken != "no ranges":
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else len(body), len(body))
            if start >= len(body):
                return self._error(416, "InvalidRange")
            end -= self.fake.broken == "short ranges"
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
            body, status = body[start:end], 206
        self._answer(status, body, headers)

    def _delete(self, key: str, body: bytes) -> None:
        if key:
            known = self.fake.delete(key)
            return self._error(404, "NoSuchKey") if self.fake.google and not known else self._answer(204, b"", {})
        keys = [each.text or "" for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key")]
        if self.fake.keeps:  # as S3 answers without the right: the request succeeds, and each object has an error
            refused = "<Code>AccessDenied</Code><Message>You may not delete</Message>"
            rows = "".join(f"<Error><Key>{escape(each)}</Key>{refused}</Error>" for each in keys)
            return self._answer(200, f"<DeleteResult>{rows}</DeleteResult>".encode(), {})
        for each in keys:
            self.fake.delete(each)
        deleted = "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys)
        return self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), {})

    def _list(self, query: dict[str, str]) -> None:
        after = query.get("continuation-token") or query.get("start-after") or ""
        found = self.fake.listed(query.get("prefix", ""), after)
        page = found[: self.fake.page]
        stamp = "%Y-%m-%dT%H:%M:%S.000Z"
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(each.body)}</Size><ETag>{self._etag(each)}</ETag>"
            f"<LastModified>{time.strftime(stamp, time.gmtime(each.generation / 1e9))}</LastModified></Contents>"
            for key, each in page
        )
        more = len(found) > len(page)
        rest = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if more else ""
        flag = str(more).lower()
        text = f"<ListBucketResult>{rows}<IsTruncated>{flag}</IsTruncated>{rest}</ListBucketResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _etag(self, found: _Object) -> str:
        return f'"{hashlib.md5(found.body).hexdigest()}"'

    def _described(self, found: _Object) -> dict[str, str]:
        headers = {
            "ETag": self._etag(found),
            "Last-Modified": email.utils.formatdate(found.generation // 10**9, usegmt=True),
        }
        if self.fake.google:
            headers["x-goog-generation"] = str(found.generation)
        elif self.fake.versioned:
            headers["x-amz-version-id"] = str(found.generation)
        return headers

    def _error(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>the store says {code}</Message></Error>"
        self._answer(status, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
