"""Run the ``artfs`` command as ``python -m artfs``."""

from __future__ import annotations

import sys

from artfs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
