"""The rig finds what it is for: each fault that pages could have, sown into a page, is seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from playwright.sync_api import Browser

from browser.hostile import MARKUP
from browser.rig import PHONE, Served, Visitor, crawl

GOOD = '<h1>A page</h1><p>Text</p><label for="a">Name</label><input id="a"><a href="/second">more</a>'
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
FAULTS = {
    "a name that is not escaped": (GOOD + MARKUP, "canary"),
    "an inline script": (GOOD + "<script>1</script>", "violates"),
    "an inline style": (GOOD + '<p style="color: red">x</p>', "violates"),
    "another host": (GOOD + '<img alt="x" src="http://127.0.0.2:9/x.png">', "violates"),
    "a link that leads nowhere": (GOOD + '<img alt="x" src="/missing">', "404"),
    "an input without a label": (GOOD + "<input>", "label:"),
    "an image without a text": (GOOD + '<img src="/icon">', "image-alt:"),
    "a faint text": (GOOD + '<p><font color="#dddddd">faint</font></p>', "color-contrast:"),
    "two headings of the page": (GOOD + "<h1>Another</h1>", "headings"),
    "a wide table": (GOOD + "<table><tr><td>" + "W" * 200 + "</td></tr></table>", "width"),
}


class Pages(BaseHTTPRequestHandler):
    """Pages with a policy, or with none, at ``/loose/``."""

    bodies: ClassVar[dict[str, str]] = {}

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        body = self.bodies.get(name)
        head = '<title>x · artfs</title><link rel="icon" href="/icon">'
        text = f'<!doctype html><html lang="en">{head}<main>{body}</main></html>'.encode()
        is_icon = name == "icon"
        self.send_response(200 if body is not None or is_icon else 404)
        self.send_header("content-type", "image/svg+xml" if is_icon else "text/html; charset=utf-8")
        if not self.path.startswith("/loose/"):
            self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(b'<svg xmlns="http://www.w3.org/2000/svg"/>' if is_icon else text)


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Visitor]:
    numbered = {str(number): body for number, (body, _) in enumerate(FAULTS.values())}
    Pages.bodies = {"": GOOD, "second": GOOD.replace("/second", "/third"), "third": GOOD, **numbered}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    made = Visitor(browser, Served(base, base + "/", 0))
    yield made
    made.close()
    server.shutdown()
    server.server_close()


def findings(tab: Visitor, path: str) -> str:
    visit = tab.visit(path)
    found = [*visit.problems, *tab.inaccessible()]
    if len(visit.headings) != 1:
        found.append("headings")
    tab.page.set_viewport_size(PHONE)
    if tab.width() > PHONE["width"]:
        found.append("width")
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    return "\n".join(found)


def test_a_good_page_has_no_findings(tab: Visitor) -> None:
    """The pages of this server without a fault are what the rig asks for, and it finds all three."""
    assert findings(tab, "/") == ""
    assert [visit.address.rpartition("/")[2] for visit in crawl(tab)] == ["", "second", "third"]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=list(FAULTS))
def test_each_fault_is_found(tab: Visitor, number: int) -> None:
    """The rig names the fault of a page that has one."""
    assert list(FAULTS.values())[number][1] in findings(tab, f"/{number}")


def test_content_that_runs_is_found(tab: Visitor) -> None:
    """Without a policy the script of a name runs: its dialog, its request and its mark are seen."""
    found = findings(tab, "/loose/0")
    assert "dialog: artfs-canary" in found
    assert "content asked the server" in found
    assert "content was run" in found
