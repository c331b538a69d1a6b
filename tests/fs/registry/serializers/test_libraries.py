"""Libraries are imported at their first use, and one that is missing is named with what installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artfs.registry.serializers.errors import MissingLibraryError
from artfs.registry.serializers.libraries import is_instance, require, versions_of


def test_a_missing_library_is_one_sentence() -> None:
    with pytest.raises(MissingLibraryError) as raised:
        require("absent_library.part", "a payload")
    assert "absent_library" in str(raised.value) and "artfs[registry]" in raised.value.hint


def test_without_the_extra_one_sentence_names_it(tmp_path: Path) -> None:
    """Plain values work; an object that needs a library fails with the extra's name."""
    program = """
import sys
for name in ("cloudpickle", "safetensors", "skops", "sklearn", "numpy"):
    sys.modules[name] = None
from pathlib import Path
from artfs.registry.serializers import serialize
assert serialize({"a": 1}, Path(sys.argv[1])).format == "json"
try:
    serialize({1}, Path(sys.argv[2]))
except ImportError as error:
    print(error.hint)
"""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    done = subprocess.run([sys.executable, "-c", program, *folders], capture_output=True, text=True)
    assert "artfs[registry]" in done.stdout, done.stderr
    assert not list(folders[1].iterdir())


def test_importing_loads_no_library() -> None:
    program = """
import sys, artfs, artfs.registry.serializers
assert not {"numpy", "sklearn", "skops", "cloudpickle", "safetensors", "yaml", "joblib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_not_imported_has_no_instances() -> None:
    assert not is_instance(1, "absent_library", "Class")
    assert not is_instance(1, "sys", "absent")
    assert is_instance(1, "builtins", "str", "int")
    assert versions_of("absent-library") == {}
