"""A mount as JSON."""

from __future__ import annotations

import subprocess
import sys

from artfs.documents import mounts
from artfs.documents.encoding import encode
from fs.documents.shapes import check


def test_what_was_mounted() -> None:
    check(encode(mounts.MountDocument("/w", "/m", 1)))
    check(encode(mounts.UnmountDocument("/m")))
    check(encode(mounts.PathDocument("/m/x/v0", "v0", mounted_now=True)))


def test_that_a_mount_loads_no_document_of_another_command() -> None:
    code = (
        "import sys, artfs.documents.mounts; print(*sorted(n for n in sys.modules if n.startswith('artfs.documents.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["artfs.documents.encoding", "artfs.documents.mounts"]
