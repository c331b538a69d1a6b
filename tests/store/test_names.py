"""The name grammar: what is accepted, and one clear sentence for each refusal."""

from __future__ import annotations

import os
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import InvalidNameError
from artstore.names import (
    LATEST,
    VERSION_MAX,
    Reference,
    check_alias,
    check_component,
    check_name,
    parse_reference,
    parse_version_label,
    version_label,
)
from messages import raises

_FORBIDDEN = "/:\\*?[]#%@"


def _is_version_like(text: str) -> bool:
    return text[:1] == "v" and text[1:].isdecimal()


components = st.text(
    st.characters(codec="utf-8", exclude_characters=_FORBIDDEN).filter(str.isprintable), min_size=1, max_size=20
).filter(
    lambda text: (
        text[0] not in ".-"
        and text == text.strip()
        and text != LATEST
        and not _is_version_like(text)
        and text.isprintable()
        and check_normal(text)
    )
)


def check_normal(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    "name",
    ["a", "digits", "team/vision/imagenet", "v", "vx", "version1", "V3", "my data", "größe", "a.b-c_d+e=f", "数据"],
)
def test_good_names_are_returned_as_they_are(name: str) -> None:
    """A name that the grammar allows passes unchanged, as a name and, without a slash, as an alias."""
    assert check_name(name) == name
    if "/" not in name:
        assert check_component(name) == name
        assert check_alias(name) == name


@pytest.mark.parametrize(
    ("component", "names", "reason"),
    [
        ("", [], "empty name"),
        ("a" * 129, ["129 characters"], None),
        (".hidden", ['"."'], "reserved first character"),
        ("..", ['"."'], "reserved first character"),
        (".", ['"."'], "reserved first character"),
        ("-x", ['"-"'], "reserved first character"),
        (" x", [], "outer space"),
        ("x ", [], "outer space"),
        ("a\nb", ["U+000A"], "unprintable character"),
        ("a\0b", ["U+0000"], "unprintable character"),
        ("a\x7fb", ["U+007F"], "unprintable character"),
        ("a\u200bb", ["U+200B"], "unprintable character"),
        ("a\u00a0", ["U+00A0"], "unprintable character"),
        ("\udcff", ["U+DCFF"], "unprintable character"),
        ("latest", [], "reserved name"),
        ("v0", [], "version number as name"),
        ("v12", [], "version number as name"),
        ("v012", [], "version number as name"),
        ("v\u0663", [], "version number as name"),
        ("e\u0301", ["NFC"], None),
        ("数" * 86, ["258 bytes"], None),
        *((f"a{character}b", [f'"{character}"'], "forbidden character") for character in _FORBIDDEN),
    ],
)
def test_bad_components_and_aliases_are_refused_in_one_sentence(
    component: str, names: list[str], reason: str | None
) -> None:
    """Each rule of the grammar is refused with its own reason, in one printable line that shows what was given."""
    for check in (check_component, check_alias):
        with raises(InvalidNameError, names=names, reason=reason) as caught:
            check(component)
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 250


@pytest.mark.parametrize("name", ["", "/", "/a", "a/", "a//b", "a/v3", "a/latest/b", "a/../b", "a/.b", "team/x:v1"])
def test_bad_names_are_refused(name: str) -> None:
    """A name is refused if a component is, or if one is empty."""
    with pytest.raises(InvalidNameError):
        check_name(name)


def test_a_name_fits_a_database_key() -> None:
    """480 bytes in all are allowed, and no more, whatever the number of components."""
    assert check_name("/".join(["a" * 119] * 4)) != ""
    with raises(InvalidNameError, names=["481 bytes"]):
        check_name("/".join(["a" * 119] * 3 + ["a" * 121]))


@pytest.mark.parametrize(("text", "number"), [("v0", 0), ("v3", 3), ("v120", 120), (f"v{VERSION_MAX}", VERSION_MAX)])
def test_version_labels_read_back(text: str, number: int) -> None:
    """A label and its number are two forms of the same."""
    assert parse_version_label(text) == number
    assert version_label(number) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "v", "3", "V3", "v03", "v-1", "v+1", "v 1", "v1 ", "v1\n", "v²", "v\u0663", "v1_0", "v1.0", "latest",
        "v" + "9" * 5000,
    ],
)  # fmt: skip
def test_what_only_resembles_a_version_label_is_none(text: str) -> None:
    """Exactly one spelling of each number is a label; nothing raises, however long."""
    assert parse_version_label(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits", Reference("digits", None, "latest", b"", explicit=False)),
        ("digits:latest", Reference("digits", None, "latest", b"")),
        ("a/b:v3", Reference("a/b", 3, None, b"")),
        ("a/b:v3:v3", Reference("a/b", 3, None, b"")),
        ("a:clean", Reference("a", None, "clean", b"")),
        ("a:v3/x", Reference("a", 3, None, b"x")),
        ("a:v3:v3/x", Reference("a", 3, None, b"x")),
        ("a:clean/x/y z", Reference("a", None, "clean", b"x/y z")),
        ("a:v3/", Reference("a", 3, None, b"")),
        ("a:v3/x/", Reference("a", 3, None, b"x")),
        ("a:v3/x:y", Reference("a", 3, None, b"x:y")),
        ("a:v3/.hidden/...", Reference("a", 3, None, b".hidden/...")),
        ("a:v3/\udcff\n", Reference("a", 3, None, b"\xff\n")),
    ],
)
def test_references_are_read(text: str, expected: Reference) -> None:
    """Every form of a reference that the interface lists means what it says there."""
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":v3", "a:", "a:/x", "a:v03", "a:v99999999999", "a:v3:v4", "a:x:x:x", "a:b:", "a::b", "a:.b", "a/",
        "a:v3//x", "a:v3/x//y", "a:v3//", "a:v3/../x", "a:v3/x/..", "a:v3/./x", "a:v3/x\0", "v3", "latest", "a:v3@x",
        "a:v3/\ud800",
    ],
)  # fmt: skip
def test_malformed_references_are_refused_in_one_sentence(text: str) -> None:
    """What is no reference raises InvalidNameError with one printable line."""
    with pytest.raises(InvalidNameError) as caught:
        parse_reference(text)
    assert str(caught.value).isprintable()


@given(st.text())
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Parsing ends in a reference whose parts pass their own checks, or in InvalidNameError: nothing else."""
    try:
        reference = parse_reference(text)
    except InvalidNameError as error:
        assert str(error).isprintable()
        return
    assert check_name(reference.name) == reference.name
    assert (reference.version is None) != (reference.alias is None)


@given(
    st.lists(components, min_size=1, max_size=4),
    st.one_of(st.integers(0, VERSION_MAX), components),
    st.lists(
        st.binary(min_size=1, max_size=9).filter(lambda b: b not in (b".", b"..") and not set(b) & {0, 47}), max_size=3
    ),
)
def test_what_is_written_by_the_rules_reads_back(parts: list[str], version: int | str, path: list[bytes]) -> None:
    """name:version/path, put together from allowed parts, comes apart into the same parts, bytes included."""
    name, inside = "/".join(parts), b"/".join(path)
    label = version_label(version) if isinstance(version, int) else version
    text = f"{name}:{label}" + ("/" + os.fsdecode(inside) if path else "")
    number, alias = (version, None) if isinstance(version, int) else (None, version)
    assert parse_reference(text) == Reference(name, number, alias, inside)


@given(st.text(string.ascii_lowercase + string.digits + _FORBIDDEN + " .-v", min_size=1, max_size=6))
def test_the_grammar_is_the_interface_s(text: str) -> None:
    """Accepted is exactly what the rules, written down a second time, allow."""
    allowed = (
        not set(text) & set(_FORBIDDEN)
        and text[0] not in ".-"
        and text.strip(" ") == text
        and text != LATEST
        and not _is_version_like(text)
    )
    try:
        check_component(text)
    except InvalidNameError:
        assert not allowed
    else:
        assert allowed
