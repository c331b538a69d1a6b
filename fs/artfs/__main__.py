"""Run the ``artfs`` command as ``python -m artfs``."""

from __future__ import annotations

from artfs.cli.main import run

if __name__ == "__main__":
    run()
