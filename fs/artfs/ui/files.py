"""Pages of the files of a version: folders, what a file holds, its bytes, and its history.

The content of a version is never run.  Bytes go out under a policy that forbids everything, with a type from a short
list (images, sound, films) or as a download; HTML and SVG are text like any other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from artfs.contents.dump import hex_lines
from artfs.contents.kinds import Kind, kind_of
from artfs.contents.sources import version_source
from artfs.contents.tables import preview
from artfs.contents.tensors import tensors_in
from artfs.contents.text import first_lines, indented_json
from artfs.documents.files import FilesDocument
from artfs.documents.histories import HistoryDocument
from artfs.drawing.treemap import Area, treemap
from artfs.ui.addresses import address
from artfs.ui.pages import PER_PAGE, Pages, page_number, parameters
from artstore.errors import ArtfsError, InvalidInputError, UnsupportedError
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import FileInfo, Version

__all__ = ["beginning_of", "routes"]

BEGINNING: Final = 1024
_TEXT_BYTES: Final = 256 << 10
_TEXT_LINES: Final = 1000
_PIECE: Final = 1 << 20
_IN_TREEMAP: Final = 40
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_NO_RUNNING: Final = {
    "content-security-policy": "sandbox; default-src 'none'",
    "accept-ranges": "bytes",
}


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    return [
        Route("/files", lambda request: _folder(pages, request)),
        Route("/file", lambda request: _file(pages, request)),
        Route("/content", lambda request: _content(pages, request)),
        Route("/history", lambda request: _history(pages, request)),
    ]


def beginning_of(version: Version, path: str, length: int = BEGINNING) -> bytes:
    """Return the first bytes of a file."""
    with version.open(path) as file:
        return file.read(length)


def _folder(pages: Pages, request: Request) -> Response:
    """List a folder, a hundred entries a page: the bytes of folders are in their records, so nothing is walked."""
    given = parameters(request)
    version = pages.workspace.version(given.get("ref", ""))
    path = given.get("path", "").strip("/")
    number = page_number(request)
    entries = version.listdir(path, start=(number - 1) * PER_PAGE, limit=PER_PAGE + 1)
    if given.get("format") == "json":
        return pages.json(FilesDocument.of(version, os.fsencode(path), entries[:PER_PAGE]))
    here = {"ref": version.name, "path": path, "view": given.get("view")}
    shown = entries[:PER_PAGE]
    return pages.render(
        "files.html",
        request,
        version=version,
        path=path,
        ways=_ways(path),
        entries=[(entry, _link(version, path, entry)) for entry in shown],
        images=[entry for entry in shown if _may_be_image(entry)],
        is_grid=given.get("view") == "images",
        chart=_chart(version, path, shown) if number == 1 and len(entries) <= PER_PAGE else "",
        before=address("/files", **here, page=number - 1) if number > 1 else None,
        after=address("/files", **here, page=number + 1) if len(entries) > PER_PAGE else None,
    )


def _ways(path: str) -> list[tuple[str, str]]:
    """Return (name, path) of each folder on the way to a path, itself last."""
    parts = path.split("/") if path else []
    return [(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts)]


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _link(version: Version, path: str, entry: FileInfo) -> str:
    page = "/files" if entry.kind == "directory" else "/file"
    return address(page, ref=version.name, path=_joined(path, entry.name))


def _may_be_image(entry: FileInfo) -> bool:
    return entry.kind == "file" and entry.name.lower().endswith(
        (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".avif")
    )


def _chart(version: Version, path: str, entries: list[FileInfo]) -> str:
    largest = sorted(entries, key=lambda entry: entry.size, reverse=True)[:_IN_TREEMAP]
    areas = [Area(entry.name, entry.size, _link(version, path, entry)) for entry in largest if entry.size]
    return treemap(areas, title=f"What {path or version.name} consists of") if len(areas) > 1 else ""


def _file(pages: Pages, request: Request) -> Response:
    """Show what a file holds, as far as it can be shown; a file that cannot be read is a sentence."""
    given = parameters(request)
    version = pages.workspace.version(given.get("ref", ""))
    path = given.get("path", "").strip("/")
    info = version.stat(path)
    if info.kind == "directory":
        return _folder(pages, request)
    shown: dict[str, Any] = {
        "kind": Kind("binary"),
        "lines": [],
        "is_cut": False,
        "failure": None,
        "table": None,
        "tensors": {},
    }
    try:
        shown |= _shown(version, path, info)
    except (ArtfsError, OSError) as error:
        shown["failure"] = error
    return pages.render(
        "file.html",
        request,
        version=version,
        path=path,
        ways=_ways(path),
        info=info,
        content=address("/content", ref=version.name, path=path),
        history=address("/history", name=version.artifact, path=path),
        **shown,
    )


def _shown(version: Version, path: str, info: FileInfo) -> dict[str, Any]:
    """Return what the page of a file shows of its content; of a table that cannot be read also why."""
    beginning = beginning_of(version, path)
    kind = kind_of(os.path.basename(path), beginning)
    if kind.form in ("table", "tensors"):
        try:
            with version_source(version, path) as source:
                if kind.form == "tensors":
                    return {"kind": kind, "tensors": tensors_in(source)}
                return {"kind": kind, "table": preview(source)}
        except UnsupportedError:  # the extra is missing: the file is shown as what it is without
            pass
        except ArtfsError as error:
            return {**_plain(version, path, info, beginning, kind), "failure": error}
    return _plain(version, path, info, beginning, kind)


def _plain(version: Version, path: str, info: FileInfo, beginning: bytes, kind: Kind) -> dict[str, Any]:
    """Return what is shown of a file as media, text or bytes."""
    if kind.form in ("image", "audio", "video"):
        return {"kind": kind}
    if kind.form in ("text", "json", "table") and kind_of("", beginning).form == "text":
        data = beginning_of(version, path, _TEXT_BYTES)
        whole = indented_json(data) if kind.form == "json" and info.size <= _TEXT_BYTES else None
        lines, is_cut = first_lines(data if whole is None else whole.encode(errors="backslashreplace"), _TEXT_LINES)
        return {"kind": kind, "lines": lines, "is_cut": is_cut or info.size > _TEXT_BYTES}
    return {"kind": kind, "lines": hex_lines(beginning), "is_cut": info.size > BEGINNING}


def _history(pages: Pages, request: Request) -> Response:
    """Show each distinct content of a path in the living versions of an artifact."""
    given = parameters(request)
    history = pages.workspace.history(f"{given.get('name', '')}:/{given.get('path', '').strip('/')}")
    contents = list(reversed(history.contents))
    document = HistoryDocument.of(history, contents)
    newest = [(content, version_label(content.versions[-1])) for content in contents]
    steps = {later: earlier for (_, later), (_, earlier) in pairwise(newest)}
    return pages.answer(
        document,
        "history.html",
        request,
        name=history.artifact,
        path=os.fsdecode(history.path),
        contents=[(content, newest_label) for content, newest_label in newest],
        steps=steps,
        label=version_label,
    )


# -- bytes -------------------------------------------------------------------------------------------------------------


def _content(pages: Pages, request: Request) -> Response:
    """Send the bytes of a file, or of one range of them; see RFC 9110, section 14."""
    given = parameters(request)
    version = pages.workspace.version(given.get("ref", ""))
    path = given.get("path", "").strip("/")
    info = version.stat(path)
    if info.kind == "directory":
        raise InvalidInputError(f"{path!r} is a folder")
    name = os.path.basename(path)
    kind = kind_of(name, beginning_of(version, path))
    tag = f'"{info.digest}"'
    headers = {**_NO_RUNNING, "etag": tag}
    if given.get("download") or kind.media_type == "application/octet-stream":
        headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(os.fsencode(name), safe='')}"
    start, end, status = 0, info.size, 200
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", tag) == tag:
        span = _span(wanted, info.size)
        if span is not None:
            start, end, status = *span, 206
            if start >= end:
                return Response(b"", 416, {**_NO_RUNNING, "content-range": f"bytes */{info.size}"})
            headers["content-range"] = f"bytes {start}-{end - 1}/{info.size}"
    headers["content-length"] = str(end - start)
    if request.method == "HEAD":
        return Response(b"", status, headers, kind.media_type)
    return StreamingResponse(_pieces(version.open(path), start, end), status, headers, kind.media_type)


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """Return (start, end) of the one range that is asked for; None for what is not one range, which is then ignored."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or (not match[1] and not match[2]) or len(wanted) > 50:
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start, last = int(match[1]), int(match[2]) if match[2] else size - 1
    return None if last < start and match[2] else (start, min(size, last + 1))


def _pieces(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < end:
            data = file.read(min(_PIECE, end - start))
            if not data:
                return
            start += len(data)
            yield data
