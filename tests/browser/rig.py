"""The rig that looks at pages as a browser does: it starts a server and Chromium, visits pages, lists what is wrong.

A visit collects errors of the console, violations of the content policy among them, errors of scripts, dialogs,
requests to another host, and answers that failed.  `crawl` follows links: some of each shape of address, so that a
thousand files are not a thousand visits.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from artstore.workspace import Workspace
from browser.hostile import CANARY

PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1280, "height": 800}
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_DOWNLOADS: Final = "Download is starting"
"""What Chromium's driver says where an address is no page."""


def chromium() -> str | None:
    """Return the path of Debian's Chromium."""
    return shutil.which("chromium")


def axe() -> Path | None:
    """Return the script of axe-core, in the environment that these tests run in."""
    script = Path(sys.prefix) / "axe-core/node_modules/axe-core/axe.min.js"
    return script if script.is_file() else None


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start Chromium with a home of its own, which is removed."""
    program = chromium()
    assert program is not None
    with (
        tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True) as home,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path=program,
            # Root has no sandbox; a container may have a small /dev/shm.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            env={**os.environ, "HOME": home, "TMPDIR": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Served:
    """A server of pages: its address, the one that lets a browser in, and its process."""

    base: str
    entry: str
    pid: int

    def address(self, path: str) -> str:
        """Return the address of a path on this server."""
        return self.base + path

    @property
    def peak_memory(self) -> int:
        """The most bytes that the process had in memory."""
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def serving(workspace: Workspace, *options: str) -> Iterator[Served]:
    """Run the server of a workspace's pages on a free port; its errors must be none."""
    words = [sys.executable, "-m", "artfs", "-w", str(workspace.path), "ui", "--port", "0", "--no-browser"]
    with tempfile.TemporaryFile() as errors:
        server = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, stderr=errors, text=True)
        assert server.stdout is not None
        try:
            entry = server.stdout.readline().strip()
            errors.seek(0)
            assert entry.startswith("http://"), errors.read().decode()
            yield Served(entry.partition("/enter")[0], entry, server.pid)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            finally:
                server.kill()
                server.stdout.close()
        errors.seek(0)
        said = errors.read().decode()
        assert "Traceback" not in said, said


@dataclass
class Visit:
    """What a page was when it was looked at."""

    address: str
    status: int
    kind: str = "text/html"
    title: str = ""
    headings: list[str] = field(default_factory=list)
    text: str = ""
    links: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_page(self) -> bool:
        """Whether it is a page, not content to save."""
        return self.kind == "text/html"

    @property
    def shape(self) -> tuple[str, ...]:
        """The path, and the names of the parameters."""
        return shape(self.address)


def listed(found: Mapping[str, Sequence[str]]) -> str:
    """Return a line for each finding, by address; empty if there is none."""
    return "\n".join(f"{address}: {problem}" for address, problems in found.items() for problem in problems)


def shape(address: str) -> tuple[str, ...]:
    """Return the path of an address, and the names of its parameters."""
    parts = urlsplit(address)
    return (parts.path, *sorted(name for name, _ in parse_qsl(parts.query)))


class Visitor:
    """A tab of a browser that knows what goes wrong in it.

    An address that matches ``excused`` is of content that is gone: an error answer to it is as it should be.
    """

    def __init__(self, browser: Browser, served: Served, *, excused: str = "(?!)", **options: Any) -> None:
        self.served = served
        self.excused = re.compile(excused)
        self.context: BrowserContext = browser.new_context(**{"viewport": DESK, **options})
        self.context.set_default_timeout(15_000)
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("dialog", self._dialog)
        self.context.on("request", self._asked)
        self.page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        self.page.goto(served.entry)
        self.page.wait_for_url(lambda url: "/enter" not in url)

    def close(self) -> None:
        """Close the tab."""
        self.context.close()

    def visit(self, path: str, *, expected: int = 200) -> Visit:
        """Go to an address of the server; an answer with a status other than *expected* is a problem."""
        self.problems.clear()
        address = path if path.startswith("http") else self.served.address(path)
        try:
            answer = self.page.goto(address, wait_until="load")
        except BrowserError as error:
            if _DOWNLOADS not in str(error) and "ERR_ABORTED" not in str(error):
                raise
            return Visit(
                address, 200, "download", problems=[each for each in self.problems if "ERR_ABORTED" not in each]
            )
        assert answer is not None
        visit = self.seen(address, answer.status, answer.headers.get("content-type", "").partition(";")[0])
        # The browser says that the answer failed, which is what was to be shown.
        visit.problems = [each for each in self.problems if not (expected >= 400 and "Failed to load" in each)]
        if answer.status != expected and not (answer.status == 503 and self.excused.search(address)):
            visit.problems = [f"status {answer.status}: {visit.text[-300:]!r}"]
        return visit

    def seen(self, address: str, status: int = 200, kind: str = "text/html") -> Visit:
        """Return what is shown now."""
        found = self.page.evaluate(
            """() => ({
                title: document.title,
                headings: [...document.querySelectorAll("h1")].map((each) => each.innerText),
                text: document.body ? document.body.innerText : "",
                links: [...document.querySelectorAll("a[href]")]
                    .map((each) => new URL(each.getAttribute("href"), document.baseURI).href),
                canary: typeof window.canary,
            })"""
        )
        if found.pop("canary") != "undefined":
            self._note("content was run")
        visit = Visit(address, status, kind, **found, problems=list(self.problems))
        return visit

    def width(self) -> int:
        """Return the pixels that the page takes from left to right."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth"))

    def inaccessible(self, *rules: str) -> list[str]:
        """Return what axe-core finds wrong with the page: by all its rules, or by some."""
        script = axe()
        assert script is not None
        # By the debugger, which the page's content policy does not concern.
        self.page.evaluate(script.read_text())
        run = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": _RULES}
        found = self.page.evaluate("(run) => axe.run(document, { runOnly: run, resultTypes: ['violations'] })", run)
        return [
            f"{each['id']}: {each['help']}: " + " | ".join(str(node["html"])[:120] for node in each["nodes"][:3])
            for each in found["violations"]
        ]

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _said(self, message: Any) -> None:
        is_excused = "Failed to load" in message.text and self.excused.search(message.location.get("url", ""))
        if message.type in ("error", "warning") and not is_excused:
            self._note(f"console: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self._note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _failed(self, address: str, why: str | None) -> None:
        if why != "net::ERR_ABORTED":  # of a page that was left, or a file that is saved
            self._note(f"request failed: {address}: {why}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.served.base + "/", "data:", "blob:")):
            self._note(f"request to another host: {request.url}")
        if urlsplit(request.url).path.endswith(CANARY):
            self._note(f"content asked the server: {request.url}")


def crawl(
    visitor: Visitor,
    start: str = "/",
    *,
    of_a_shape: int = 3,
    most: int = 150,
    each: Callable[[Visit], None] | None = None,
) -> list[Visit]:
    """Visit pages from a start on, by their links, so many of each shape; *each* is called while a page is shown."""
    waiting = deque([visitor.served.address(start)])
    known, taken, visits = set(waiting), Counter[tuple[str, ...]](), []
    while waiting and len(visits) < most:
        address = waiting.popleft()
        if taken[shape(address)] >= of_a_shape:
            continue
        taken[shape(address)] += 1
        visit = visitor.visit(address)
        visits.append(visit)
        if visit.is_page and each is not None:
            each(visit)
        for link in visit.links if visit.is_page else ():
            link = link.partition("#")[0]
            if link.startswith(visitor.served.base + "/") and link not in known:
                known.add(link)
                waiting.append(link)
    return visits
