"""Each decoder refuses bytes or encodes them back: the share of `scripts/soak records` that runs with every change."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore import records
from artstore.errors import DamageError
from artstore.records.catalogue import DEEPEST_JSON, AliasRecord, CatalogueRecord, checked_metadata, load_json
from artstore.records.events import Event
from record_codecs import CODECS, holds
from store.long_records import in_child


@pytest.mark.parametrize("name", CODECS)
def test_valid_records_are_accepted(name: str) -> None:
    assert CODECS[name].seeds
    assert all(holds(CODECS[name], seed) for seed in CODECS[name].seeds)


def test_every_decoder_is_in_the_table() -> None:
    """Functions and classes of the records that read bytes, and every kind of event."""
    text = inspect.getsource(import_module("record_codecs"))
    missing = []
    for info in pkgutil.iter_modules(records.__path__):
        module = import_module(f"artstore.records.{info.name}")
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__ or name.startswith("_"):
                continue
            is_reader = inspect.isfunction(value) and name.startswith(("decode", "parse", "unseal", "view", "salvage"))
            is_record = inspect.isclass(value) and hasattr(value, "decode") and value is not CatalogueRecord
            if (is_reader or is_record) and name not in text and name not in INSIDE:
                missing.append(name)
    assert missing == []
    kinds = {kind.event_kind for kind in get_args(Event)}
    assert {
        kind for kind in kinds if any(b'"event":"%s"' % kind.encode() in seed for seed in CODECS["event"].seeds)
    } == kinds


INSIDE = {"view_list", "decode_payload", "parse_head", "decode"}
"""Readers that another of the table calls with all that they get."""


@pytest.mark.timeout(300)
def test_mutations() -> None:
    """In a child with limited memory: each decoder is tried 400 times."""
    result = in_child(1, 120.0, most=400)
    assert result["runs"] == 400 * len(CODECS)
    assert result["found"] == {}, result["examples"]
    assert 0.1 < result["accepted"] / result["runs"] < 0.9


@settings(max_examples=400)
@given(name=st.sampled_from(sorted(CODECS)), data=st.binary(max_size=400))
def test_any_bytes(name: str, data: bytes) -> None:
    codec = CODECS[name]
    holds(codec, data)
    if codec.mend is not None:
        holds(codec, codec.mend(data))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[" * 101 + "]" * 101, "\xff", ""])
def test_json_that_no_writer_writes(text: str) -> None:
    with pytest.raises(ValueError):
        load_json(b'{"a":' + text.encode("latin-1") + b"}")
    with pytest.raises(DamageError):
        AliasRecord.decode(
            b'{"_":1,"serial":1,"artifact":2,"name":"a","version":1,"set_ns":1,"x":%s}' % text.encode("latin-1")
        )


def test_nesting_is_bounded_where_it_is_written() -> None:
    """Brackets in texts are no nesting."""
    deep: object = "[" * 500 + '\\"{'
    for _ in range(DEEPEST_JSON - 2):
        deep = [deep]
    assert checked_metadata({"a": deep, "many": [[]] * 200})["a"] == deep
    for _ in range(3):
        deep = {"x": deep}
    with pytest.raises(ValueError, match="nested"):
        checked_metadata({"a": deep})
