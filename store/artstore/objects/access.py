"""Access to external services: settings from the environment and each service's usual files, without secrets.

A reference stores these settings as `Access`.  Credentials are looked up again whenever a service is opened, in the
reading process: from the variables that each provider's own tools read, and from AWS's files with profiles.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from artstore.errors import InvalidInputError, OutsideError
from artstore.objects.locations import Location
from artstore.records.uris import has_user_part, secret_parameter, shown_uri

__all__ = ["Access", "access_of", "azure_options", "google_options", "s3_options"]

_S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AZURE_ENDPOINTS: Final = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_GOOGLE_ENDPOINTS: Final = ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST")
_ROLES: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_AZURE_KEYS: Final = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
    *("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN"),
    *("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
    *("AZURE_USE_AZURE_CLI", "IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"),
)
_GOOGLE_KEYS: Final = (
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"),
    *("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN"),
)
_VENDOR: Final = Path("/sys/class/dmi/id/sys_vendor")


class Access(NamedTuple):
    """The service that a URI does not name, and whether requests are anonymous."""

    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    anonymous: bool = False


def access_of(location: Location, *, anonymous: bool = False) -> Access:
    """Return the access settings that a reference stores, from the environment of the process that logs it."""
    if location.scheme == "s3":
        profile = _Profile()
        endpoint = _first(*_S3_ENDPOINTS) or profile.endpoint
        region = _first("AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region")
        return Access(_bare(endpoint), region, None, anonymous or _is_set("AWS_SKIP_SIGNATURE"))
    if location.scheme == "gs":
        endpoint = _first(*_GOOGLE_ENDPOINTS)
        return Access(_bare(endpoint), None, None, anonymous or _is_set("GOOGLE_SKIP_SIGNATURE"))
    if location.scheme == "az":
        parameters = _connection_string()
        account = location.account or _first("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
        account = account or parameters.get("accountname")
        if account is None:
            raise OutsideError(
                f"{location.shown()} names no storage account",
                hint="set AZURE_STORAGE_ACCOUNT_NAME, or write https://ACCOUNT.blob.core.windows.net/CONTAINER/KEY",
            )
        endpoint = None if location.account else _first(*_AZURE_ENDPOINTS) or parameters.get("blobendpoint")
        return Access(_bare(endpoint), None, account, anonymous or _is_set("AZURE_SKIP_SIGNATURE"))
    return Access()


def s3_options(uri: str, access: Access) -> dict[str, Any]:
    """Return the settings to pass to obstore's S3 client.

    Raises `OutsideError` if no credentials are found.
    """
    options: dict[str, Any] = {"region": access.region or "us-east-1"}
    if access.endpoint:
        options["endpoint"] = access.endpoint
    if access.anonymous:
        return options | {"skip_signature": True}
    if _first("AWS_ACCESS_KEY_ID") and _first("AWS_SECRET_ACCESS_KEY"):
        return options
    profile = _Profile()
    key, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if key and secret:
        options |= {"access_key_id": key, "secret_access_key": secret}
        token = profile.get("aws_session_token")
        return options | ({"session_token": token} if token else {})
    if profile.is_elaborate:
        return options | _by_boto3(uri, profile.name)
    if _first(*_ROLES) or "Amazon" in _vendor():
        return options
    raise OutsideError(
        f"there are no credentials for {uri}: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set, nor does "
        f"the profile {profile.name!r} in {profile.path} have any",
        hint="set them, also for a mount, or use --anonymous for a public bucket",
    )


def azure_options(uri: str, access: Access) -> dict[str, Any]:
    """Return the settings to pass to obstore's Azure client."""
    parameters = _connection_string()
    options: dict[str, Any] = {"account_name": access.account}
    if access.endpoint:
        options["endpoint"] = access.endpoint
    if access.anonymous:
        return options | {"skip_signature": True}
    if parameters.get("accountkey"):
        return options | {"account_key": parameters["accountkey"]}
    sas = parameters.get("sharedaccesssignature") or _first("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
    if sas:
        return options | {"sas_key": sas}
    if _first(*_AZURE_KEYS):
        return options
    raise OutsideError(
        f"there are no credentials for {uri}: none of AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, "
        "AZURE_STORAGE_CONNECTION_STRING and AZURE_CLIENT_ID is set",
        hint="set one, also for a mount, or use --anonymous",
    )


def google_options(uri: str, access: Access) -> dict[str, Any]:
    """Return the settings to pass to obstore's Google client."""
    options: dict[str, Any] = {"base_url": access.endpoint} if access.endpoint else {}
    if access.anonymous:
        return options | {"skip_signature": True}
    if _first(*_GOOGLE_KEYS) or _google_file().exists() or "Google" in _vendor():
        return options
    raise OutsideError(
        f"there are no credentials for {uri}: neither GOOGLE_APPLICATION_CREDENTIALS nor GOOGLE_SERVICE_ACCOUNT is "
        f"set, and {_google_file()} does not exist",
        hint="set one, also for a mount, or use --anonymous for a public bucket",
    )


class _Profile:
    """The profile of AWS's files that the environment chooses.

    https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
    """

    def __init__(self) -> None:
        self.name = _first("AWS_PROFILE", "AWS_DEFAULT_PROFILE") or "default"
        self.path = Path(_first("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
        self._config = _sections(Path(_first("AWS_CONFIG_FILE") or "~/.aws/config").expanduser())
        section = self.name if self.name == "default" else f"profile {self.name}"
        self._parameters = {**self._config.get(section, {}), **_sections(self.path).get(self.name, {})}

    def get(self, name: str) -> str | None:
        return self._parameters.get(name) or None

    @property
    def endpoint(self) -> str | None:
        """The endpoint of S3: in the profile's ``services``, else in the profile."""
        services = self._config.get(f"services {self._parameters.get('services', '')}", {})
        for line in services.get("s3", "").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "endpoint_url":
                return value.strip() or None
        return self.get("endpoint_url")

    @property
    def is_elaborate(self) -> bool:
        """Whether the profile needs boto3: for roles, single sign-on or an external program."""
        return any(name.startswith(("role_arn", "sso_", "credential_process")) for name in self._parameters)


def _sections(path: Path) -> dict[str, dict[str, str]]:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        raise OutsideError(f"{path} cannot be read: {error}") from error
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _by_boto3(uri: str, profile: str) -> dict[str, Any]:
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise OutsideError(
            f"the credentials of the profile {profile!r}, for {uri}, require boto3",
            hint="pip install boto3, or export keys: aws configure export-credentials --format env",
        ) from error
    try:
        return {"credential_provider": Boto3CredentialProvider(boto3.session.Session(profile_name=profile))}
    except Exception as error:  # botocore has many error classes, and no common base that is worth importing
        raise OutsideError(f"the profile {profile!r} gives no credentials for {uri}: {error}") from error


def _connection_string() -> dict[str, str]:
    """Return the settings of ``AZURE_STORAGE_CONNECTION_STRING``, with their names in lower case."""
    text = _first("AZURE_STORAGE_CONNECTION_STRING") or ""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _google_file() -> Path:
    """Return the path at which ``gcloud auth application-default login`` leaves credentials."""
    folder = _first("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    return Path(folder).expanduser() / "application_default_credentials.json"


def _vendor() -> str:
    """Return this machine's vendor from its firmware: clouds provide credentials on their own machines."""
    try:
        return _VENDOR.read_text()
    except OSError:
        return ""


def _first(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


def _bare(endpoint: str | None) -> str | None:
    """Return an endpoint as a URI; raise `InvalidInputError` if it holds a secret, because references store it."""
    if endpoint is None:
        return None
    uri = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")
    if has_user_part(uri) or secret_parameter(uri) is not None:
        raise InvalidInputError(
            f"the endpoint {shown_uri(uri)} contains a password; references must not contain secrets",
            hint="set the credentials in variables of their own",
        )
    return uri
