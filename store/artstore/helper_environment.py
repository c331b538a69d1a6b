"""The environment of helper processes: they find this package wherever they start, and get few variables.

A helper is started with ``-P``, so that no module of the current folder is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import artstore

__all__ = ["helper_environment", "import_paths"]

_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
        *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "STORAGE_EMULATOR_HOST"),
        *("PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUTF8"),
    }
)
_KEPT_PREFIXES: Final = ("ARTFS_", "AWS_", "AZURE_", "BOTO_", "CLOUDSDK_", "GOOGLE_", "LC_", "SSL_CERT_", "XDG_")


def import_paths(*roots: str | os.PathLike[str]) -> str:
    """Return a ``PYTHONPATH`` of this package's folder, the given ones, and the inherited ones, all absolute."""
    own = [*roots, Path(artstore.__path__[0]).parent]
    inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.pathsep.join(dict.fromkeys(os.path.abspath(path) for path in [*own, *inherited]))


def helper_environment() -> dict[str, str]:
    """Return the environment of a helper: variables of the system, of credentials and of artfs."""
    kept = {
        name: value for name, value in os.environ.items() if name.upper() in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "PYTHONPATH": import_paths()}
