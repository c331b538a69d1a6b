"""What hostile web servers answer with, and how they dawdle; the first bytes of each answer are sent to any request."""

from __future__ import annotations

from typing import Final

from servers.hostile import answer

__all__ = ["ANSWERS", "DATA", "DRIPS", "LISTINGS"]

DATA: Final = b"0123456789" * 1000
"""The content of the file that they pretend to have."""
DRIPS: Final = {
    "headers": [b"H", b"T"],
    "a header": [b"HTTP/1.1 200 OK\r\nX: ", b"a"],
    "the body": [answer("206 Partial Content", b"", Content_Length=10000, Content_Range="bytes 0-9999/10000"), b"0"],
    "more headers": [b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"],
    "interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n"],
}
_PART: Final = {"Content_Range": f"bytes 0-9999/{len(DATA)}"}
ANSWERS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "garbage": b"\xff" * 5000,
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "a line without end": b"HTTP/1.1 200 " + b"x" * 200_000,
    "a header without end": b"HTTP/1.1 200 OK\r\nETag: " + b"x" * 200_000,
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "a status that is none": answer("999 Odd"),
    "an interim status": answer("101 Switching Protocols"),
    "another range": answer("206 Partial Content", DATA, Content_Range=f"bytes 1-{len(DATA)}/{len(DATA)}"),
    "a range that is none": answer("206 Partial Content", DATA, Content_Range="bytes */*"),
    "no range": answer("206 Partial Content", DATA),
    "several ranges": answer("206 Partial Content", DATA, Content_Type="multipart/byteranges; boundary=x"),
    "too few bytes": answer("206 Partial Content", DATA[:-1], Content_Length=len(DATA), **_PART),
    "fewer bytes than asked": answer("206 Partial Content", DATA[:-1], **_PART),
    "more bytes than asked": answer("206 Partial Content", DATA + b"x", **_PART),
    "another size": answer("206 Partial Content", DATA, Content_Range=f"bytes 0-9999/{1 << 40}"),
    "another tag": answer("206 Partial Content", DATA, **{**_PART, "ETag": '"b"'}),
    "no tag": answer("206 Partial Content", DATA, **{**_PART, "ETag": None}),
    "broken chunks": answer(
        "206 Partial Content", b"zz\r\n", Content_Length=None, Transfer_Encoding="chunked", **_PART
    ),
    "a chunk of all sizes": answer(
        "206 Partial Content", b"f" * 40 + b"\r\n", Content_Length=None, Transfer_Encoding="chunked", **_PART
    ),
    "a redirect to nowhere": answer("302 Found"),
    "a redirect to itself": answer("302 Found", Location="/f"),
    "a redirect to a file": answer("302 Found", Location="file:///etc/passwd"),
    "a redirect to ftp": answer("302 Found", Location="ftp://127.0.0.1/f"),
    "a redirect that is no address": answer("302 Found", Location="http://[::1"),
    "a redirect with a port that is none": answer("302 Found", Location="http://127.0.0.1:999999/"),
    "server errors": answer("500 Oops"),
    "too many requests": answer("429 Slow down", Retry_After="99999999"),
    "a shorter file": answer("416 Range Not Satisfiable"),
}


def _listing(objects: str, rest: str = "<IsTruncated>false</IsTruncated>", head: str = "") -> bytes:
    text = f'<?xml version="1.0"?>{head}<ListBucketResult><Name>b</Name>{objects}{rest}</ListBucketResult>'
    return answer("200 OK", text.encode(), Content_Type="application/xml")


def _object(key: str, size: object = 5, tag: str = "a", time: str = "2024-01-01T00:00:00.000Z") -> str:
    described = f"<Key>{key}</Key><LastModified>{time}</LastModified><ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size>"
    return f"<Contents>{described}</Contents>"


_LAUGHS: Final = '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
)
LISTINGS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "garbage": b"\xff" * 5000,
    "no XML": answer("200 OK", b"{}"),
    "XML that ends": answer("200 OK", b"<?xml version='1.0'?><ListBucketResult><Contents>"),
    "entities of entities": _listing(_object("d/&a11;"), head=_LAUGHS + "]>"),
    "a file of this machine": _listing(_object("d/&a;"), head='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "deeper than any": answer("200 OK", b"<a>" * 200_000),
    "keys elsewhere": _listing(_object("other/f")),
    "a key above": _listing(_object("d/../../f")),
    "a key with zeros": _listing(_object("d/&#0;f")),
    "a long key": _listing(_object("d/" + "x" * 100_000)),
    "an empty name": _listing(_object("d//f")),
    "a key twice": _listing(_object("d/f") * 2),
    "a key that is a folder too": _listing(_object("d/f") + _object("d/f/g")),
    "a size below zero": _listing(_object("d/f", -1)),
    "a size of 2^63": _listing(_object("d/f", 1 << 63)),
    "a size of 2^62": _listing(_object("d/f", 1 << 62)),
    "sizes that add up to 2^63": _listing("".join(_object(f"d/{n}", (1 << 53) - 1) for n in range(1100))),
    "a size that is none": _listing(_object("d/f", "x")),
    "a time that is none": _listing(_object("d/f", time="yesterday")),
    "a time beyond all": _listing(_object("d/f", time="9999999-01-01T00:00:00Z")),
    "a tag with a line break": _listing(_object("d/f", tag="a&#10;b")),
    "a long tag": _listing(_object("d/f", tag="x" * 100_000)),
    "a page without end": _listing(
        _object("d/f"), "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    ),
    "an error": answer("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>\x1b[2J</Message></Error>"),
    "a redirect": answer("307 Temporary Redirect", Location="http://169.254.169.254/"),
}
"""What hostile object stores answer with to any request, for the folder ``d``."""
