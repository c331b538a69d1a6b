"""What looks like a secret in a URI is found by one rule, and is not in what is shown."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.records.uris import has_user_part, secret_parameter, shown_arguments, shown_uri

NAMES = [
    *("password", "passwd", "pwd", "pass", "secret", "token", "access_token", "accessToken", "ACCESS-TOKEN", "api_key"),
    *("apikey", "private_token", "PRIVATE-TOKEN", "client_secret", "auth", "jwt", "sig", "Signature", "sessionid"),
    *("X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "AWSAccessKeyId", "key", "x-functions-key"),
    *("user[password]", "%74oken", "PHPSESSID", "token2", "my.secret", "subscription-key", "credentials"),
]
VALUES = [
    *("AKIAIOSFODNN7EXAMPLE", "ghp_0123456789abcdef", "glpat-0123456789abc", "hf_abcdefghijklmnop", "xoxb-1-2-a"),
    *("eyJhbGciOiJIUzI1NiJ9.e30.x", "q8d3k2lf9s0a8d7f6g5h", "dGhpc0lzQVNlY3JldA12", "Bearer%20abc"),
    *("https%3A%2F%2Fuser%3Apw%40h", "https%3A%2F%2Fh%2Ff%3Ftoken%3Dx", "exp=1~acl=/*~hmac=abcdef"),
    "wJalrXUtn8FE%2FK7MDv3%2FbPxRf2CYq9",
]
HARMLESS = [
    *("x=1", "download=true&format=application/octet-stream", "author=x&tokenizer=bert-base", "sort_key=name"),
    "versionId=3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxQ3vjVBH40Nr8X8gdRQBpUMLUo",
    *("v=q8d3k2lf9s0a8d7f6g5h", "generation=1699999999999999", "rev=dGhpc0lzQVNlY3JldA12"),
    "sha256=47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU=",
    "x=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU=",
    "x=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "x=123e4567-e89b-12d3-a456-426614174000",
    "x=2024-01-01T00:00:00.0000000Z",
    "file=torch-2.1.0%2Bcu118-cp310-cp310-linux_x86_64.whl",
    "file=S2A_MSIL1C_20200101T101411_N0208_R022_T32UQD_20200101T103210.SAFE",
    "file=train-00000-of-00041-a1b2c3d4e5f60718.parquet",
    "name=TrainImagesLabelsOfThePascalDataset",
    *("token=", "", "bbox=10.5,20.5,30.5"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["http://h/f?{}=hunter2", "s3://b/k?x=1&{}=hunter2", "http://h/f#{}=hunter2;y=2"])
def test_names_of_secrets(name: str, form: str) -> None:
    uri = form.format(name)
    assert secret_parameter(uri) is not None
    assert "hunter2" not in shown_uri(uri) and name in shown_uri(uri)


@pytest.mark.parametrize("value", VALUES)
def test_values_under_unknown_names(value: str) -> None:
    for uri in (f"http://h/f?x={value}", f"http://h/f?{value}"):
        assert secret_parameter(uri) is not None
        assert value not in shown_uri(uri)


@pytest.mark.parametrize("query", HARMLESS)
def test_versions_checksums_and_words(query: str) -> None:
    uri = f"http://h:80/a@b?{query}"
    assert secret_parameter(uri) is None and not has_user_part(uri) and shown_uri(uri) == uri


def test_well_known_tokens_under_exempt_names() -> None:
    assert secret_parameter("http://h/f?v=ghp_0123456789abcdef") == "v"


@given(st.text(string.ascii_letters + string.digits, min_size=40, max_size=60))
def test_what_is_shown_holds_no_secret(value: str) -> None:
    shown = shown_uri(f"https://me:{value}@h/f?token={value}&x={value}#{value}")
    if secret_parameter(f"https://h/f?x={value}") == "x":  # else it looks like a checksum, or has no disorder
        assert value not in shown
    assert f"token={value}" not in shown and f":{value}" not in shown


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    for form in (text, f"http://h/{text}", f"http://h/f?{quote(text)}=1&a={text}"):
        shown = shown_uri(form)
        assert shown_uri(shown) == shown or "***" in shown
        secret_parameter(form)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:pw@host/f", "http://***@host/f"),
        ("http://pw@host", "http://***@host"),
        ("http://me%40pw:x/f", "http://***/f"),
        ("http://me:p/w@host/f?token=pw", "http://***@host/f?token=***"),
        ("http://me:pw/f", "http://***/f"),
        ("ftp://me:pw@host:21/f", "ftp://***@host:21/f"),
        ("s3://key:pw@bucket/k", "s3://***@bucket/k"),
    ],
)
def test_user_parts(uri: str, shown: str) -> None:
    assert has_user_part(uri) and shown_uri(uri) == shown


@pytest.mark.parametrize("uri", ["http://h:80/x@y", "http://[::1]:80/x", "http://[::1]", "/a@b", "s3://b/a@b:c"])
def test_no_user_parts(uri: str) -> None:
    assert not has_user_part(uri) and shown_uri(uri) == uri


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("put ./data x --meta token=hunter2", "put ./data x --meta token=***"),
        ("--token abc --api-key=zzz -v", "--token *** --api-key=*** -v"),
        ("--password", "--password"),
        ("--password --secret x", "--password --secret ***"),
        ("--password -x", "--password ***"),
        ("s3://u:p@b/k?X-Amz-Signature=abc", "s3://***@b/k?X-Amz-Signature=***"),
        ("--url=https://u:pw@h/x --to=https://h/x", "--url=https://***@h/x --to=https://h/x"),
        ("--token=https://h/x", "--token=***"),
        ("ghp_abcdefghijklmnop1234 AKIAABCDEFGHIJKLMNOP", "*** ***"),
        ('{"password":"x","n":1}', '{"password": "***", "n": 1}'),
        ('k:={"deep":[{"secret":1,"url":"http://a:b@c"}]}', 'k:={"deep": [{"secret": "***", "url": "http://***@c"}]}'),
        ("{token=x", "***"),
        ("authorization:Basic\u00a0abc X-Api-Key:5", "authorization:*** X-Api-Key:***"),
        ("--lr 0.1 data/train-2024-01.csv models/resnet50_imagenet_v2.pt", None),
        ("team/vision/imagenet:production x:v3 acc>=0.9 stage!=final", None),
        ("--commit 4f2a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a -n 10 --exclude *.tmp", None),
    ],
)
def test_command_lines(arguments: str, shown: str | None) -> None:
    """Values of secret names and values that look like secrets are hidden; all else stays as it is."""
    assert " ".join(shown_arguments(arguments.split(" "))) == (arguments if shown is None else shown)
