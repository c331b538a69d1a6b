"""Who does not have the token reads nothing and changes nothing; every answer forbids what pages do not need."""

from __future__ import annotations

import pytest

from artfs.ui.application import make_application
from artfs.ui.pages import Pages
from artstore.workspace import Workspace
from fs.ui.clients import PORT, Client

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def paths(workspace: Workspace) -> list[str]:
    """Return the paths of all routes."""
    return [getattr(route, "path", "/") for route in make_application(Pages(workspace)).routes]


def test_every_page_needs_the_token(client: Client, workspace: Workspace) -> None:
    """Neither a path, nor a method, nor a static file is answered without it; the answer has the headers."""
    found = paths(workspace)
    assert len(found) > 10
    for path in found:
        for method in ("GET", "HEAD", "POST"):
            answer = client.request(method, path, cookie=None)
            assert answer.status == 403 and SAFE.items() <= answer.headers.items(), (method, path)
            assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("cookie", ["", "artfs-7878=", "artfs-7878=x", "artfs-80={token}", "=", "a=b; ;;", "\x7f"])
def test_wrong_cookies(client: Client, cookie: str) -> None:
    given = cookie.format(token=client.guard.token)
    assert client.get("/", cookie=given).status == 403


def test_a_program_with_the_token(client: Client) -> None:
    assert client.get("/", cookie=None, authorization=f"Bearer {client.guard.token}").status == 200
    assert client.get("/", cookie=None, authorization="Bearer x").status == 403


@pytest.mark.parametrize(
    "host", ["evil.example:7878", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:7878", "", "[::1]", "a:b:c"]
)
def test_hosts_of_others(client: Client, host: str) -> None:
    """A name that another site lets point here is not answered: its pages would have this server's origin."""
    assert client.get("/", host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:7878", "localhost:7878", "[::1]:7878", "192.168.1.2:7878"])
def test_own_hosts(client: Client, host: str) -> None:
    assert client.get("/", host=host).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods(client: Client, method: str) -> None:
    assert client.request(method, "/").status == 405


def test_entering(client: Client) -> None:
    """The address with the token sets a cookie that scripts and other sites do not have, and leads on."""
    token = client.guard.token
    answer = client.get(f"/enter?token={token}&to=artifact?name=team/images", cookie=None)
    assert answer.status == 200 and 'url=/artifact?name=team/images"' in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"artfs-{PORT}={token}") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    for wrong in ("", "token=", "token=x", f"token={token[:-1]}"):
        answer = client.get(f"/enter?{wrong}", cookie=None)
        assert answer.status == 403 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("target", ["//evil.example", "\\\\evil.example", "https://evil.example", "x%22><script>"])
def test_entering_leads_nowhere_else(client: Client, target: str) -> None:
    answer = client.get(f"/enter?token={client.guard.token}&to={target}", cookie=None)
    assert "script>" not in answer.text and "url=/https:" not in answer.text and "url=//" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "null", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": f"https://127.0.0.1:{PORT}"}, 403),
        ({"origin": f"http://localhost:{PORT}"}, 403),
        ({"origin": None}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 303),
        ({"content_type": "text/plain"}, 400),
    ],
)
def test_where_forms_come_from(
    client: Client, workspace: Workspace, headers: dict[str, str | None], status: int
) -> None:
    answer = client.post("/tag", {"ref": "team/images:v1", "tag": "seen"}, **headers)
    assert answer.status == status
    assert (workspace.tags.of("team/images:v1") == ["seen"]) == (status == 303)


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_forms_without_their_token(client: Client, workspace: Workspace, token: str) -> None:
    answer = client.post("/tag", {"form_token": token, "ref": "team/images:v1", "tag": "seen"})
    assert answer.status == 409 and workspace.tags.of("team/images:v1") == []


def test_read_only_pages_take_no_form(workspace: Workspace) -> None:
    client = Client(workspace, is_read_only=True)
    assert client.post("/tag", {"ref": "team/images:v1", "tag": "seen"}).status == 409
    page = client.get("/version?ref=team/images:v1").text
    assert 'method="post"' not in page and "Delete" not in page


def test_large_forms(client: Client) -> None:
    assert client.post("/describe", {"ref": "notes", "text": "x" * (1 << 20)}).status == 400
