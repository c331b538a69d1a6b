"""Run commands of artfs in children of one process, as many processes that have just been started would.

Usage: python commands.py JSON, with the workspace and the commands, each a list of words.  Prints a JSON list: for each
command the exit code, the output, and what it did after it had changed its user: modules imported, and the uid.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time

import artfs.cli.main
from artfs.cli import rights

MOST_SECONDS = 60


def main() -> None:
    request = json.loads(sys.argv[1])
    # Otherwise each child would import them again, and this is what takes the time.
    rights.import_all()
    print(json.dumps([_run(["-w", request["workspace"], *words]) for words in request["commands"]]))


def _run(words: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            _perform(words, output.fileno())
        deadline = time.monotonic() + MOST_SECONDS
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                ended = os.waitpid(pid, 0)
                break
            time.sleep(0.002)
        output.seek(0)
        said, _, after = output.read().decode(errors="replace").partition("\0")
    found = json.loads(after) if after else {}
    return {"code": os.waitstatus_to_exitcode(ended[1]), "output": said, **found}


def _perform(words: list[str], output: int) -> None:
    imported: list[str] = []
    started_as = os.geteuid()

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "import" and os.geteuid() != started_as:
            imported.append(str(arguments[0]))

    code = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        sys.argv[1:] = words
        sys.addaudithook(note)
        code = artfs.cli.main.main()
        sys.stdout.flush()
        os.write(1, b"\0" + json.dumps({"uid": os.geteuid(), "imported": imported}).encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
