"""The client's errors mean what their server said, and tell no secrets."""

from __future__ import annotations

import pytest
from obstore import exceptions

from artstore.errors import InvalidInputError
from artstore.objects.clients import Trouble, reason, status_of, time_out, trouble


def test_errors_tell_no_secrets_of_addresses() -> None:
    said = reason(ValueError("GET https://me.blob.core.windows.net/c/k?sv=1&sig=secret failed\nand more"))
    assert said == "GET https://me.blob.core.windows.net/c/k failed"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Generic S3 error: Error performing HEAD http://h:9/b/k in 3.2\u00b5s - HTTP error: cannot send\n\n"
            'Debug source:\nOs { code: 111, kind: ConnectionRefused, message: "Connection refused" }',
            "Connection refused",
        ),
        (
            "Generic GCS error: Error performing GET http://h/k in 10ms, after 3 retries - HTTP error: x\n\n"
            'error: "failed to lookup address information: Name or service not known"',
            "Name or service not known",
        ),
        (
            "Generic S3 error: Server returned status code: 403 Forbidden: <Error><Code>AccessDenied</Code>",
            "403 Forbidden (AccessDenied)",
        ),
        (
            "Generic S3 error: Error performing HEAD http://h/k in 632.4ms - HTTP error: body is broken",
            "body is broken",
        ),
    ],
)
def test_the_reason_is_not_the_clients_report(text: str, wanted: str) -> None:
    """Requests, retries and the client's own names are of no use to users."""
    assert reason(ValueError(text)) == wanted


OF_ONE = "Generic S3 error: DeleteObjects request failed for key p/x: You may not. (code: {})"
"""An error of one object in an answer with status 200."""


def answered(status: str, code: str = "", words: str = "words") -> str:
    body = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>" if code else ""
    start = "Generic S3 error: Error performing PUT http://h/b/k in 1ms - Server returned non-2xx status code"
    return f"{start}: {status}: {body}"


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (FileNotFoundError(answered("404 Not Found", "NoSuchKey")), Trouble.MISSING),
        (FileNotFoundError(answered("404 Not Found")), Trouble.MISSING),
        (FileNotFoundError(answered("404 Not Found", "NoSuchBucket")), Trouble.NO_ROOT),
        (FileNotFoundError(answered("404 Not Found", "ContainerNotFound")), Trouble.NO_ROOT),
        (exceptions.GenericError(answered("404 Not Found", "NoSuchBucket")), Trouble.NO_ROOT),
        (exceptions.AlreadyExistsError(answered("409 Conflict", "ConditionalRequestConflict")), Trouble.EXISTS),
        (exceptions.AlreadyExistsError(answered("412 Precondition Failed")), Trouble.EXISTS),
        (exceptions.PreconditionError(answered("412 Precondition Failed")), Trouble.CONDITION),
        (exceptions.PermissionDeniedError(answered("403 Forbidden", "AccessDenied")), Trouble.DENIED),
        (exceptions.GenericError(answered("403 Forbidden", "AccessDenied")), Trouble.DENIED),
        (exceptions.UnauthenticatedError(answered("401 Unauthorized")), Trouble.DENIED),
        (exceptions.PermissionDeniedError(answered("403 Forbidden", "ExpiredToken")), Trouble.EXPIRED),
        (exceptions.GenericError(answered("400 Bad Request", "ExpiredToken")), Trouble.EXPIRED),
        (exceptions.PermissionDeniedError(answered("403 Forbidden", "QuotaExceeded")), Trouble.FULL),
        (exceptions.GenericError(answered("507 Insufficient Storage", "XMinioStorageFull")), Trouble.FULL),
        (exceptions.GenericError(answered("400 Bad Request", "AuthorizationHeaderMalformed")), Trouble.REGION),
        (
            exceptions.GenericError("Received redirect: incorrectly configured region"),
            Trouble.REGION,
        ),
        (exceptions.GenericError(answered("429 Too Many Requests")), Trouble.BUSY),
        (exceptions.GenericError(answered("503 Service Unavailable", "SlowDown")), Trouble.BUSY),
        (exceptions.GenericError(answered("500 Internal Server Error")), Trouble.BUSY),
        (exceptions.GenericError(answered("501 Not Implemented", "NotImplemented")), Trouble.OTHER),
        (exceptions.GenericError("Received non-partial response when range requested"), Trouble.NO_RANGE),
        (exceptions.GenericError(OF_ONE.format("AccessDenied")), Trouble.DENIED),
        (exceptions.GenericError(OF_ONE.format("403")), Trouble.DENIED),
        (exceptions.GenericError(OF_ONE.format("404")), Trouble.MISSING),
        (exceptions.GenericError(OF_ONE.format("InternalError")), Trouble.OTHER),
        (exceptions.GenericError('Failed to parse value for CONTENT_RANGE header: "x"'), Trouble.NO_RANGE),
        (exceptions.GenericError("Requested 2..5, got 2..4"), Trouble.NO_RANGE),
        (exceptions.GenericError("Wanted range starting at 9, but object was only 5 bytes long"), Trouble.BEYOND),
        (exceptions.GenericError(answered("416 Range Not Satisfiable", "InvalidRange")), Trouble.BEYOND),
        (exceptions.GenericError(answered("400 Bad Request", "InvalidArgument")), Trouble.OTHER),
        (exceptions.GenericError("Generic S3 error: HttpError { kind: Timeout }"), Trouble.TIME_OUT),
        (exceptions.GenericError("Generic S3 error: HttpError { kind: Connect }"), Trouble.UNCONNECTED),
        (exceptions.NotSupportedError("no ranges"), Trouble.NO_RANGE),
        (exceptions.GenericError("something else"), Trouble.OTHER),
    ],
    ids=lambda value: value.name if isinstance(value, Trouble) else "",
)
def test_what_errors_mean(error: Exception, meaning: Trouble) -> None:
    """The status and the server's code decide where the client's class does not."""
    assert trouble(error) is meaning


def test_status() -> None:
    assert (status_of(ValueError(answered("403 Forbidden"))), status_of(ValueError("no answer"))) == (403, 0)


def test_the_servers_words_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one line, shortened, without control characters, and without what the environment has as a secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=abc")
    said = answered("403 Forbidden", "AccessDenied", "You may\nnot \x1b[1mput, very-secret and sv=1&sig=abc.\n")
    assert reason(ValueError(said), words=True) == "403 Forbidden (AccessDenied): You may not [1mput, *** and ***"
    assert reason(ValueError(said)) == "403 Forbidden (AccessDenied)"
    assert reason(ValueError(OF_ONE.format("AccessDenied")), words=True) == "AccessDenied: You may not"
    assert len(reason(ValueError(answered("403 Forbidden", "AccessDenied", "long " * 999)), words=True)) < 250


def test_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of seconds, or an error that names the variable."""
    assert time_out("ARTFS_NO_SUCH_VARIABLE") == 20
    monkeypatch.setenv("ARTFS_X", "0.5")
    assert time_out("ARTFS_X") == 0.5
    for wrong in ("0", "-1", "nan", "inf", "soon"):
        monkeypatch.setenv("ARTFS_X", wrong)
        with pytest.raises(InvalidInputError, match="ARTFS_X must be a number of seconds"):
            time_out("ARTFS_X")
