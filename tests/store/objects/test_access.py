"""Credentials and endpoints are found where the providers' own tools find them, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.errors import OutsideError
from artstore.objects import access
from artstore.objects.access import Access, access_of, azure_options, google_options, s3_options
from artstore.objects.locations import parse_location
from messages import raises

S3 = parse_location("s3://bucket/key")
AZURE = parse_location("az://box/key")
GOOGLE = parse_location("gs://bucket/key")


@pytest.fixture(autouse=True)
def no_cloud(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_VENDOR", nobody / "vendor")


def write(home: Path, name: str, text: str) -> None:
    place = home / ".aws" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(text)


def test_without_anything_the_error_names_what_to_set(nobody: Path) -> None:
    with raises(OutsideError, names=["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "'default'"]) as caught:
        s3_options("s3://bucket/key", access_of(S3))
    assert "--anonymous" in caught.value.hint
    with raises(OutsideError, names=["AZURE_STORAGE_ACCOUNT_KEY"]):
        azure_options("az://box/key", Access(account="me"))
    with raises(OutsideError, names=["GOOGLE_APPLICATION_CREDENTIALS"]):
        google_options("gs://bucket/key", access_of(GOOGLE))
    with raises(OutsideError, names=["az://box/key"]) as caught:
        access_of(AZURE)
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint


def test_the_keys_of_a_profile(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(nobody, "credentials", "[work]\naws_access_key_id = K\naws_secret_access_key = S\naws_session_token = T\n")
    write(nobody, "config", "[profile work]\nregion = eu-west-1\nendpoint_url = http://here:1/\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    found = access_of(S3)
    assert found == Access("http://here:1", "eu-west-1")
    assert s3_options("s3://bucket/key", found) == {
        "region": "eu-west-1",
        "endpoint": "http://here:1",
        "access_key_id": "K",
        "secret_access_key": "S",
        "session_token": "T",
    }
    assert "K" not in repr(found) and "S" not in repr(found)


def test_the_endpoint_of_a_service_wins_over_the_profiles(nobody: Path) -> None:
    write(
        nobody,
        "config",
        "[default]\nservices = s\nendpoint_url = http://all\n[services s]\ns3 =\n  endpoint_url = http://s3\n",
    )
    assert access_of(S3).endpoint == "http://s3"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"])
def test_endpoints_by_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9000/")
    assert access_of(S3).endpoint == "http://127.0.0.1:9000"


def test_a_profile_that_needs_more_says_so(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(nobody, "config", "[default]\nsso_session = x\n")
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with raises(OutsideError, names=["boto3"]):
        s3_options("s3://bucket/key", access_of(S3))


def test_a_file_that_is_no_configuration(nobody: Path) -> None:
    write(nobody, "credentials", "not an ini file")
    with raises(OutsideError, names=[str(nobody / ".aws" / "credentials")]):
        access_of(S3)


def test_on_amazons_machines_the_machine_may_have_a_role(nobody: Path) -> None:
    (nobody / "vendor").write_text("Amazon EC2\n")
    assert s3_options("s3://bucket/key", Access()) == {"region": "us-east-1"}


def test_anonymous_access_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access_of(S3, anonymous=True).anonymous
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert s3_options("s3://bucket/key", access_of(S3))["skip_signature"] is True


def test_azures_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "AccountName=me;AccountKey=a2V5==;BlobEndpoint=http://127.0.0.1:1/me;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    found = access_of(AZURE)
    assert found == Access("http://127.0.0.1:1/me", None, "me")
    assert azure_options("az://box/key", found) == {
        "account_name": "me",
        "endpoint": "http://127.0.0.1:1/me",
        "account_key": "a2V5==",
    }


def test_an_account_in_the_address_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "other")
    assert access_of(parse_location("https://me.blob.core.windows.net/box/key")).account == "me"
