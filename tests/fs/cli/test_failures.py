"""Whatever goes wrong becomes one sentence with a stable kind and exit code."""

from __future__ import annotations

import errno
import inspect
import json

import click
import pytest

from artfs.cli import failures
from artstore import errors
from messages import missing


@pytest.mark.parametrize(
    "error_class",
    [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.ArtfsError)],
)
def test_our_errors_carry_their_own_kind_code_and_hint(error_class: type[errors.ArtfsError]) -> None:
    failure = failures.explain(error_class("it failed", hint="do this"))
    assert (failure.kind, failure.message, failure.hint) == (error_class.kind, "it failed", "do this")
    assert failure.exit_code == error_class.exit_code


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (click.UsageError("No such option: --x."), "usage", 2),
        (OSError(errno.ENOSPC, "No space left on device", "out"), "out_of_space", 6),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "out"), "out_of_space", 6),
        (PermissionError(errno.EACCES, "Permission denied", b"a\xff"), "failed", 1),
        (ZeroDivisionError("division by zero"), "internal", 1),
        (OSError("no number"), "internal", 1),
    ],
)
def test_other_errors(error: BaseException, kind: str, code: int) -> None:
    failure = failures.explain(error)
    assert (failure.kind, failure.exit_code) == (kind, code)
    assert "\n" not in failure.message


def test_a_system_error_names_its_file() -> None:
    assert failures.explain(PermissionError(errno.EACCES, "Permission denied", b"a\xff")).message == (
        '"a\\xff": Permission denied'
    )


def test_files_that_the_sentence_does_not_name_are_listed_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.SourceError("train/a and 2 more cannot be taken", paths=[b"train/a", b"train/c", b"b\n"])
    assert failures.report(error, as_json=False) == 1
    assert capsys.readouterr().err == 'artfs: train/a and 2 more cannot be taken\n  train/c\n  "b\\n"\n'


def test_thousands_of_files_are_counted_rather_than_listed(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.SourceError("many cannot be taken", paths=[b"%d" % number for number in range(3000)])
    failures.report(error, as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1002 and lines[-1] == "  and 2,000 more"


def test_json_holds_exactly_kind_message_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    code = failures.report(errors.NotFoundError("no artifact x", hint="artfs ls"), as_json=True)
    captured = capsys.readouterr()
    assert code == 3
    assert json.loads(captured.out) == {
        "schema": "artfs.error/1",
        "error": {"kind": "not_found", "message": "no artifact x", "hint": "artfs ls"},
    }
    assert captured.err == "artfs: no artifact x; artfs ls\n"


def test_a_traceback_is_shown_to_those_who_ask(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTFS_DEBUG", raising=False)
    failures.report(ZeroDivisionError("oops"), as_json=False)
    assert "Traceback" not in (shown := capsys.readouterr().err)
    assert not missing(shown, ["ZeroDivisionError", "oops", "ARTFS_DEBUG=1"])
    monkeypatch.setenv("ARTFS_DEBUG", "1")
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        failures.report(error, as_json=False)
    assert "Traceback" in capsys.readouterr().err
