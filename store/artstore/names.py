"""The grammar of artifact names, aliases and references.

    name       component ("/" component)*           team/vision/imagenet
    reference  name                                 the latest version
             | name ":" version ["/" path]          a version, or a file or folder inside one
    version    "v" number | "p" number | alias      v3, p1, latest, production; v3:v3 means v3

Names are text that users type and that file systems show, so a component must fit a directory entry and be unambiguous.
Paths inside a version are bytes: a version keeps the names of its files unchanged.
"""

from __future__ import annotations

import os
import re
import unicodedata

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError, InvalidNameError, NotFoundError
from artstore.values import value_class

__all__ = [
    "COMPONENT_MAX_CHARACTERS",
    "LATEST",
    "NAME_MAX_BYTES",
    "PENDING",
    "VERSION_MAX",
    "Reference",
    "check_alias",
    "check_component",
    "check_draft",
    "check_name",
    "check_new_alias",
    "check_new_name",
    "check_new_remote",
    "check_new_rule",
    "check_rule",
    "check_run",
    "check_tag",
    "check_type",
    "is_pending",
    "parse_reference",
    "parse_version_label",
    "unknown_path",
    "version_label",
]

LATEST = "latest"
"""The computed alias: always the highest living version."""

COMPONENT_MAX_CHARACTERS = 128
COMPONENT_MAX_BYTES = 255
"""Limit of one directory entry (NAME_MAX), in UTF-8."""

NAME_MAX_BYTES = 480
"""Limit of a whole name in UTF-8: it is part of an LMDB key, which has at most 511 bytes."""

PENDING = 2**30
"""What the numbers of pending versions begin at: ``p1`` is 2**30 + 1, so that numbers still fit into 31 bits."""

VERSION_MAX = PENDING - 1
"""No artifact reaches this number: each version has a serial, and serials have 31 bits."""

_FORBIDDEN = frozenset("/:\\*?[]#%@")
_VERSION_LABEL = re.compile(r"v(0|[1-9][0-9]*)|p([1-9][0-9]*)")
_SHOWN_CHARACTERS = 60


@value_class
class Reference:
    """Point at a version of an artifact, or at a path inside one.

    Exactly one of ``version`` and ``alias`` is set; a bare name means the alias ``latest`` and is not ``explicit``.
    A pending version's number may also be an alias: see `artstore.rows.pending.version_or_link`.
    ``path`` is relative, in bytes, ``b""`` for the version itself.
    """

    name: str
    version: int | None
    alias: str | None
    path: bytes = b""
    explicit: bool = True


def version_label(number: int) -> str:
    """Write a version number as it is shown: ``3`` is ``"v3"``, and ``PENDING + 1`` is ``"p1"``."""
    return f"v{number}" if number < PENDING else f"p{number - PENDING}"


def parse_version_label(text: str) -> int | None:
    """Read ``"v3"`` as 3 and ``"p1"`` as ``PENDING + 1``; None for another text, also for ``"v03"`` and ``"V3"``."""
    # The length is bounded before int(), which refuses thousands of digits with an error of its own.
    if len(text) > 11 or _VERSION_LABEL.fullmatch(text) is None:
        return None
    number = int(text[1:])
    if number > VERSION_MAX:
        return None
    return number if text[0] == "v" else PENDING + number


def is_pending(number: int) -> bool:
    """Return whether a number is that of a pending version, which has none yet in the remote that it belongs to."""
    return number >= PENDING


def check_component(component: str) -> str:
    """Return *component* if it is allowed as a component of an artifact's or project's name.

    Raises InvalidNameError with one sentence that names the component and the problem.
    """
    return _checked(component, "name")


def check_alias(alias: str) -> str:
    """Return *alias* if it is a valid alias; raise InvalidNameError otherwise, also for ``latest``."""
    return _checked(alias, "alias")


def check_new_alias(alias: str) -> str:
    """Return *alias* if it may be set; raise InvalidNameError otherwise, also for a comma, which separates aliases."""
    if isinstance(alias, str) and "," in alias:
        raise InvalidNameError(f'the alias {_shown(alias)} contains ","; give several aliases one by one')
    _refuse_pending(check_alias(alias), "alias")
    return alias


def check_tag(tag: str) -> str:
    """Return *tag* if it may be added to a version; raise InvalidInputError otherwise."""
    if not isinstance(tag, str):
        raise InvalidInputError(f"a tag must be text, not {shown_value(tag)}")
    if "," in tag:
        raise InvalidInputError(f'the tag {_shown(tag)} contains ","; give several tags one by one')
    if not 1 <= len(tag) <= 128 or not tag.isprintable() or tag != tag.strip():
        raise InvalidInputError(f"{_shown(tag)} is not a tag: 1 to 128 printable characters, no outer spaces")
    return tag


def check_type(type_name: str) -> str:
    """Return *type_name* if it is a valid type; raise InvalidInputError otherwise."""
    if not isinstance(type_name, str):
        raise InvalidInputError(f"the type must be text, not {shown_value(type_name)}")
    if not 1 <= len(type_name) <= 128 or not type_name.isprintable() or type_name != type_name.strip():
        raise InvalidInputError(f"{type_name!r} is not a type: 1 to 128 printable characters, no outer spaces")
    return type_name


def check_draft(ident: str) -> str:
    """Return *ident* if it is a valid id of a draft; raise InvalidNameError otherwise."""
    return _one_word(_checked(ident, "draft's name"), "draft's name")


def check_run(ident: str) -> str:
    """Return *ident* if it is a valid id of a run; raise InvalidNameError otherwise."""
    return _checked(ident, "run's id")


def check_rule(name: str) -> str:
    """Return *name* if it is a valid name of a retention rule; raise InvalidNameError otherwise."""
    return _checked(name, "rule's name")


def check_new_rule(name: str) -> str:
    """Return *name* if a rule may be created with it; raise InvalidNameError otherwise."""
    return _one_word(check_rule(name), "rule's name")


def check_new_remote(name: str) -> str:
    """Return *name* if a remote may be added with it; raise InvalidNameError otherwise."""
    return _one_word(_checked(name, "remote's name"), "remote's name")


def check_name(name: str) -> str:
    """Return the full artifact name *name* if every component and its length are allowed.

    Raises InvalidNameError with one sentence.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"the artifact name must be text, not {shown_value(name)}")
    if not name:
        raise InvalidNameError("the artifact name is empty")
    if name.startswith("/") or name.endswith("/") or "//" in name:
        raise InvalidNameError(
            f"the name {_shown(name)} has an empty component: write it without outer or double slashes"
        )
    for component in name.split("/"):
        _checked(component, "name")
    size = len(name.encode())
    if size > NAME_MAX_BYTES:
        raise InvalidNameError(f"the name {_shown(name)} is {size} bytes long; at most {NAME_MAX_BYTES} are allowed")
    return name


def check_new_name(name: str) -> str:
    """Return *name* if an artifact may be created with it; raise InvalidNameError otherwise."""
    for component in check_name(name).split("/"):
        _refuse_pending(component, "name")
    return name


def parse_reference(text: str) -> Reference:
    """Read ``NAME``, ``NAME:v3``, ``NAME:ALIAS``, each of the latter two with ``/path``, and ``NAME:v3:v3``.

    One slash at the end of a path is ignored.  Raises InvalidNameError with one sentence.
    """
    if not isinstance(text, str):
        raise InvalidNameError(f"a reference must be text such as NAME:v3, not {shown_value(text)}")
    name, colon, rest = text.partition(":")
    check_name(name)
    if not colon:
        return Reference(name, None, LATEST, explicit=False)
    version, slash, path = rest.partition("/")
    version = _without_repetition(version)
    inside = _inside_path(text, path) if slash else b""
    if not version:
        raise InvalidNameError(f"{_shown(text)} lacks a version after the colon, such as v0 or latest")
    number = parse_version_label(version)
    if number is not None:
        return Reference(name, number, None, inside)
    if _looks_like_version(version):
        raise InvalidNameError(
            f"{_shown(version)} is not a version number: versions run from v0 to v{VERSION_MAX}, without leading zeros"
        )
    return Reference(name, None, LATEST if version == LATEST else check_alias(version), inside)


def unknown_path(version: str, path: bytes) -> NotFoundError:
    """Return the error of a path that a version, given by its name, does not have."""
    return NotFoundError(f"{version} has no {os.fsdecode(path)!r}", hint=f"list its files: artfs ls {version}")


def _without_repetition(version: str) -> str:
    # W&B prints an artifact's name with its version and adds the version again: NAME:v3:v3.
    first, colon, second = version.partition(":")
    return first if colon and first == second else version


def _inside_path(reference: str, path: str) -> bytes:
    try:
        inside = os.fsencode(path.removesuffix("/"))
    except UnicodeEncodeError:
        raise InvalidNameError(f"the path in {_shown(reference)} cannot be written as bytes") from None
    if not inside:
        if path:
            raise InvalidNameError(f"the path in {_shown(reference)} has an empty component")
        return b""
    if b"\0" in inside:
        raise InvalidNameError(f"the path in {_shown(reference)} contains a zero byte")
    for component in inside.split(b"/"):
        if component in (b"", b".", b".."):
            what = f'the component "{component.decode()}"' if component else "an empty component"
            raise InvalidNameError(
                f"the path in {_shown(reference)} has {what}: write the full path within the version"
            )
    return inside


def _looks_like_version(text: str) -> bool:
    return text[:1] == "v" and text[1:].isdecimal()


def _checked(component: str, what: str) -> str:
    problem = _problem(component)
    if problem:
        named = isinstance(component, str) and component
        raise InvalidNameError(f"the {what} {_shown(component)} {problem}" if named else f"the {what} {problem}")
    return component


def _refuse_pending(component: str, what: str) -> None:
    # Names and aliases from before this form was reserved keep working.
    if component[:1] == "p" and component[1:].isdecimal():
        raise InvalidNameError(f"the {what} {_shown(component)} looks like a pending version; artfs assigns those")


def _one_word(name: str, what: str) -> str:
    odd = next((character for character in name if character.isspace() or character == ","), None)
    if odd is not None:
        raise InvalidNameError(f'the {what} {_shown(name)} contains "{odd}"; spaces and commas are not allowed in it')
    return name


def _problem(component: str) -> str:
    """Return the problem of *component* as the end of a sentence; empty if there is none."""
    if not isinstance(component, str):
        return f"must be text, not {shown_value(component)}"
    if not component:
        return "is empty"
    if len(component) > COMPONENT_MAX_CHARACTERS:
        return f"has {len(component)} characters; at most {COMPONENT_MAX_CHARACTERS} are allowed"
    forbidden = next((character for character in component if character in _FORBIDDEN), None)
    if forbidden is not None:
        return f'contains "{forbidden}"; the characters / : \\ * ? [ ] # % @ are not allowed in it'
    if not component.isprintable():
        odd = next(character for character in component if not character.isprintable())
        return f"contains the unprintable character U+{ord(odd):04X}"
    if component[0] in ".-":
        return f'starts with "{component[0]}", which is reserved'
    if component != component.strip():
        return "starts or ends with a space"
    if component == LATEST:
        return "is reserved: it always means the highest living version"
    if _looks_like_version(component):
        return "looks like a version number; artfs assigns those"
    if not unicodedata.is_normalized("NFC", component):
        return "is not in Unicode's composed form (NFC), so it could be mistaken for another name"
    if len(component.encode()) > COMPONENT_MAX_BYTES:
        return f"takes {len(component.encode())} bytes in UTF-8; at most {COMPONENT_MAX_BYTES} are allowed"
    return ""


def _shown(text: str) -> str:
    # repr() makes unprintable characters visible, so the sentence stays one line.
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "...")
