"""The server's clock: asked rarely, counted on meanwhile, and unknown rather than wrong."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from artstore.objects import server_clocks
from artstore.objects.access import Access
from artstore.objects.locations import parse_location
from artstore.objects.server_clocks import ServerClock, headers_at, server_of
from servers.hostile import Hostile, answer

S3 = parse_location("s3://bucket/p")


def clock(url: str) -> ServerClock:
    return ServerClock(S3, Access(url, "us-east-1"), 0.5)


def test_the_servers_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two days off, whatever the status; one request a minute, with time going on between."""
    then = int(time.time()) - 2 * 86400
    with Hostile(lambda *_: [answer("403 Forbidden", Date=formatdate(then, usegmt=True))]) as server:
        here = [1000.0]
        monkeypatch.setattr(server_clocks, "_since_boot", lambda: here[0])
        asked = clock(server.url)
        assert asked.now() == then
        here[0] += 50
        assert asked.now() == then + 50 and server.asked == [("HEAD", "/bucket")]
        here[0] += 20
        assert asked.now() == then and len(server.asked) == 2


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff" * 99,
        answer("200 OK"),
        answer("200 OK", Date="soon"),
        answer("302 Found", Location="file:///etc/passwd"),
    ],
)
def test_without_a_date_it_is_unknown(said: bytes) -> None:
    with Hostile(lambda *_: [said]) as server:
        assert clock(server.url).now() is None


def test_a_server_that_is_gone_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it told last is counted on."""
    then = int(time.time())
    here = [1000.0]
    monkeypatch.setattr(server_clocks, "_since_boot", lambda: here[0])
    with Hostile(lambda *_: [answer("200 OK", Date=formatdate(then, usegmt=True))]) as server:
        url, asked = server.url, clock(server.url)
        assert asked.now() == then
    here[0] += 600
    assert asked.now() == then + 600
    assert headers_at(url, 0.5) == {}


def test_the_providers_servers() -> None:
    assert server_of(S3, Access(None, "eu-west-1")) == "https://s3.eu-west-1.amazonaws.com"
    assert server_of(S3, Access()) == "https://s3.us-east-1.amazonaws.com"
    assert server_of(parse_location("gs://b/k"), Access()) == "https://storage.googleapis.com"
    assert server_of(parse_location("az://b/k"), Access(account="me")) == "https://me.blob.core.windows.net"
    assert server_of(S3, Access("http://here:1")) == "http://here:1"
