"""Measure the cost of reading a reference through a mount, compared with obstore, the client that fetches it.

A web server in a separate process sends a file from the page cache. In each round obstore reads the whole file, then a
mount reads it with all caches of artfs and the kernel empty, and then the mount reads it again from the block cache
alone. The content is hashed outside the measured time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
from obstore.store import HTTPStore

from benchmarks.commands import Workspace, drop_page_cache, measured_on
from benchmarks.content import write_checkpoint
from benchmarks.intervals import Interval, interval
from benchmarks.reading import hash_file, read_through

PROMISE = 1.3
"""Times that a first reading through a mount takes as long as obstore does, at most."""


class Handler(BaseHTTPRequestHandler):
    """Send a file, or a range of it, by sendfile."""

    protocol_version = "HTTP/1.1"
    path_of_file = ""

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        """Describe the file."""
        self._send(body=False)

    def do_GET(self) -> None:
        """Send the file."""
        self._send(body=True)

    def _send(self, *, body: bool) -> None:
        with open(self.path_of_file, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, end = 0, size
            asked = self.headers.get("Range", "")
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last) + 1 if last else size, size)
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{size:x}"')
            self.send_header("Content-Length", str(end - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()
            self.wfile.flush()
            while body and start < end:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)


def serve(path: str) -> None:
    """Serve one file; print the port."""
    Handler.path_of_file = path
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


def read_by_obstore(url: str, size: int) -> float:
    """Read all of a file with the client alone; return the seconds."""
    begun = time.perf_counter()
    store = HTTPStore(url, client_options={"allow_http": True})
    total = sum(len(piece) for piece in obstore.get(store, "file").stream(min_chunk_size=8 << 20))
    seconds = time.perf_counter() - begun
    if total != size:
        raise SystemExit("a read was cut short")
    return seconds


class Bench:
    """A file on a server, and a workspace that refers to it."""

    def __init__(self, folder: Path, size: int, port: int) -> None:
        self._file = folder / "file"
        self._size = size
        self._url = f"http://127.0.0.1:{port}"
        self._workspace = Workspace(folder / "workspace")
        self._mount = folder / "mount"
        self._workspace.run("ref", "add", "--allow-private", f"{self._url}/file", "outside")

    def round(self) -> tuple[float, float, float]:
        """Return the seconds of obstore, of the first reading through a mount, and of the second."""
        self._set_cache_aside()
        with self._workspace.mounted(self._mount):
            path = self._mount / "outside" / "v0" / "file"
            drop_page_cache()
            content = hash_file(self._file)  # which puts the server's file into the page cache
            plain = read_by_obstore(self._url, self._size)
            first = read_through(path).seconds
            drop_page_cache()
            second = read_through(path).seconds
            if hash_file(path) != content:
                raise SystemExit("the mount shows other bytes")
        return plain, first, second

    def _set_cache_aside(self) -> None:
        """Begin without a cache; if one was deleted just now, ext4 would search for its inodes past those."""
        cache = self._workspace.folder / "cache" / "references"
        if cache.exists():
            cache.rename(Path(tempfile.mkdtemp(dir=self._workspace.folder.parent), "references"))


def shown(name: str, found: Interval) -> str:
    """Return one line."""
    return f"{name}: {found.median:.2f} [{found.low:.2f}, {found.high:.2f}] times as long as obstore"


def main() -> None:
    """Measure some rounds and write the JSON file; exit with 1 if the promise is broken."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
        return
    parser = argparse.ArgumentParser(
        prog="scripts/bench references", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--size-mb", type=int, default=1000, help="size of the file [1000]")
    parser.add_argument("--pairs", type=int, default=7, help="rounds; 6 at least for a verdict [7]")
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    parser.add_argument("--output", type=Path, default=Path("bench-references.json"), help="[bench-references.json]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="artfs-bench-", dir=arguments.directory) as folder:
        size = arguments.size_mb * 1_000_000
        write_checkpoint(Path(folder, "file"), size, seed=1)
        command = [sys.executable, "-m", "benchmarks.referencing", "serve", f"{folder}/file"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                bench = Bench(Path(folder), size, int(server.stdout.readline()))
                rounds = [bench.round() for _ in range(arguments.pairs)]
            finally:
                server.kill()
    machine = measured_on()
    first = interval([first / plain for plain, first, _ in rounds])
    second = interval([second / plain for plain, _, second in rounds])
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"obstore: {sorted(plain for plain, _, _ in rounds)[len(rounds) // 2]:.2f} s for {arguments.size_mb} MB")
    print(shown("first reading", first), f"(promise: at most {PROMISE})")
    print(shown("second reading, local", second))
    arguments.output.write_text(json.dumps({"measured_on": machine, "seconds": rounds}, indent=2) + "\n")
    if first.high > PROMISE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
