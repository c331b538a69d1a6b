"""Templates as files: YAML or JSON with the name, what is known of the template, and ``pipeline_config``.

A file may come from anywhere: its bytes and its values are bounded, YAML has plain values only, and what it names is
neither imported nor loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from artfs.registry.errors import RecordError
from artfs.registry.library.configurations import configuration_text, decoded
from artfs.registry.library.files import bounded_bytes
from artfs.registry.plain_yaml import parsed_yaml
from artfs.registry.serializers.errors import MissingLibraryError
from artfs.registry.serializers.libraries import require
from artstore.arguments import raw_path, shown_value
from artstore.errors import ExistsError, InvalidInputError, NotFoundError

__all__ = ["Template", "read_template", "write_template"]

_YAML: Final = (".yaml", ".yml")
_LONGEST: Final = {".json": 16 << 20, ".yaml": 1 << 20, ".yml": 1 << 20}
"""Bytes of a file; reading YAML takes seconds for each MiB."""
_MOST: Final = 500_000
_CONFIGURATION: Final = "pipeline_config"
_OF_NIRS4ALL: Final = "config"
_TEXTS: Final = ("name", "description", "category", "notes")


@dataclass(frozen=True)
class Template:
    """A template outside of a library; ``values`` is its configuration, in a file with tags."""

    name: str
    values: Any
    description: str = ""
    category: str = ""
    tags: list[str] = field(default_factory=list)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""


def write_template(path: str | os.PathLike[str], template: Template, *, overwrite: bool) -> Path:
    """Write a template with encoded values into a file; raise `ExistsError` for another file unless ``overwrite``."""
    file = _file(path)
    about = {key: getattr(template, key) for key in (*_TEXTS, "tags")}
    values = {**about, "metrics": dict(template.metrics), _CONFIGURATION: template.values}
    content = (_yaml_text(values) if _suffix(file) in _YAML else configuration_text(values)).encode()
    if len(content) > _LONGEST[_suffix(file)]:
        raise InvalidInputError(f"the template is too long for a {_suffix(file)} file", hint="write a .json file")
    if not file.parent.is_dir():
        raise NotFoundError(f"the folder {file.parent} does not exist", hint="create it, or name another file")
    if not overwrite:
        try:
            with file.open("xb") as stream:
                stream.write(content)
        except FileExistsError as error:
            if not file.is_file() or file.read_bytes() != content:
                raise ExistsError(f"{file} exists already", hint="name another file, or pass overwrite=True") from error
        return file
    part = file.with_name(f".artfs-tmp-{os.urandom(8).hex()}")
    try:
        with part.open("xb") as stream:
            stream.write(content)
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return file


def read_template(path: str | os.PathLike[str]) -> Template:
    """Return the template in a file, its values decoded; raise `RecordError` if it is none.

    A file without ``pipeline_config`` is a configuration alone, and is named as the file; templates of nirs4all are
    read too.
    """
    file = _file(path)
    values = _parsed(file)
    what = f"the file {file}"
    key = _CONFIGURATION
    if isinstance(values, dict) and key not in values and values.get("type") == "template":
        key = _OF_NIRS4ALL
    if not isinstance(values, dict) or key not in values:
        return Template(file.stem, _configuration(values, what))
    texts = {name: values.get(name) or "" for name in _TEXTS}
    tags, metrics = values.get("tags") or [], values.get("metrics") or {}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise RecordError(f"{what} is no template: its {name} is {shown_value(value)}")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RecordError(f"{what} is no template: its tags are no list of texts")
    if not isinstance(metrics, dict):
        raise RecordError(f"{what} is no template: its metrics are no dictionary")
    texts["name"] = texts["name"] or file.stem
    return Template(values=_configuration(values[key], what), tags=tags, metrics=metrics, **texts)


def _configuration(values: Any, what: str) -> Any:
    if not isinstance(values, dict | list):
        raise RecordError(f"{what} is no template: its configuration is {shown_value(values)}")
    return decoded(values, what)


def _file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file whose name tells its format; raise `InvalidInputError` for another one."""
    raw_path(path)
    file = Path(path)
    if _suffix(file) not in _LONGEST:
        raise InvalidInputError(f"{file} is no name for a template's file", hint="end it with .json, .yaml or .yml")
    return file


def _suffix(file: Path) -> str:
    return file.suffix.lower()


def _parsed(file: Path) -> Any:
    content = bounded_bytes(file, _LONGEST[_suffix(file)])
    try:
        return parsed_yaml(content, _MOST) if _suffix(file) in _YAML else json.loads(content)
    except RecordError as error:
        raise RecordError(f"the file {file} is no template: {error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, MissingLibraryError):
            raise
        raise RecordError(f"the file {file} is no template: it is not {_format(file)}") from error


def _format(file: Path) -> str:
    return "YAML" if _suffix(file) in _YAML else "JSON"


def _yaml_text(values: Mapping[str, Any]) -> str:
    text: str = require("yaml", "a YAML file").safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    return text
