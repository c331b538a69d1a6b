"""What is one's own: a keyed hash over a payload's format and digest, under a key that only this user can read.

A payload that could run code is loaded only if this user wrote it.  Where it lies proves nothing: bundles, copies of
workspaces and versions of others lie in the same places.  So a registration signs it, and a load checks the signature
against the digest of the bytes that it is about to load.

The key is 32 random bytes in the user's data folder, or in ``$ARTFS_KEY_FILE``.  It is written to a temporary file and
linked to its name, so that two processes agree on one and none is ever half written.
"""

from __future__ import annotations

import errno
import hmac
import os
import re
import stat
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from artstore import beneath
from artstore.errors import ArtfsError, InvalidInputError, RefusedError

__all__ = ["KEY_VARIABLE", "is_own", "key_file", "sign", "vouch"]

KEY_VARIABLE: Final = "ARTFS_KEY_FILE"
_LABEL: Final = b"artfs registry payload 1"
_KEY_BYTES: Final = 32
_MAC_DIGITS: Final = 64
_DIGEST: Final = re.compile(r"(?:blake3|sha256):[0-9a-f]{64}")


def key_file() -> Path:
    """Return where this user's key is, whether or not there is one yet."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("artfs-keys", appauthor=False)) / "registry.key"


def sign(format_name: str, content_hash: str) -> str:
    """Return the MAC of a payload, making this user's key if there is none.

    Raises `RefusedError` if the key is not private to this user, or root would make it for another user.
    """
    return _mac(_read_key() or _make_key(), format_name, content_hash)


def is_own(format_name: str, content_hash: str, mac: str | None) -> bool:
    """Return whether *mac*, or one that `vouch` kept, is this user's for a payload with this format and digest.

    Never makes a key.
    """
    key = _read_key()
    if key is None:
        return False
    wanted = _mac(key, format_name, content_hash)
    return any(hmac.compare_digest(wanted.encode(), each.encode()) for each in (mac, _kept(content_hash)) if each)


def vouch(format_name: str, content_hash: str) -> None:
    """Sign a payload that this user did not write, and keep the MAC beside the key: from now on it is loaded.

    Raises what `sign` raises, and `InvalidInputError` for what is no digest.
    """
    file = _kept_file(content_hash)
    if file is None:
        raise InvalidInputError(f"{content_hash[:80]!r} is not the digest of a payload")
    mac = sign(format_name, content_hash)
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
        temporary.write_text(mac)
        temporary.rename(file)
    except OSError as error:
        raise ArtfsError(f"the signature {file} cannot be written: {error.strerror}", hint=_hint()) from error


def _kept_file(content_hash: str) -> Path | None:
    """Return where the MAC of a payload is kept that another wrote."""
    if not _DIGEST.fullmatch(content_hash):
        return None
    key = key_file()
    return key.with_name(f"{key.name}.trusted") / content_hash.replace(":", "-")


def _kept(content_hash: str) -> str | None:
    """Return the MAC that is kept for a payload; what the file says is compared, never believed."""
    file = _kept_file(content_hash)
    try:
        with open(file, encoding="ascii", errors="replace") if file is not None else nullcontext() as stream:
            return None if stream is None else stream.read(_MAC_DIGITS)
    except OSError:
        return None


def _mac(key: bytes, format_name: str, content_hash: str) -> str:
    hasher = blake3(key=key)
    for part in (_LABEL, format_name.encode(), content_hash.encode()):
        hasher.update(len(part).to_bytes(8, "little") + part)
    return hasher.hexdigest()


def _read_key() -> bytes | None:
    """Return the key; None if there is none yet."""
    file = key_file()
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"the key {file} is a symbolic link", hint=_hint()) from None
        raise ArtfsError(f"the key {file} cannot be read: {error.strerror}", hint=_hint()) from error
    with beneath.closing(fd):
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise RefusedError(f"the key {file} is not a private file of this user", hint=f"chmod 600 it, or {_hint()}")
        key = os.read(fd, _KEY_BYTES + 1)
    if len(key) != _KEY_BYTES:
        raise RefusedError(f"the key {file} does not have {_KEY_BYTES} bytes", hint=_hint())
    return key


def _make_key() -> bytes:
    file = key_file()
    _refuse_for_another(file)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with beneath.closing(fd):
                os.write(fd, os.urandom(_KEY_BYTES))
                os.fsync(fd)
            with suppress(FileExistsError):  # another process was first: its key is the key
                os.link(temporary, file)
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise ArtfsError(f"the key {file} cannot be made: {error.strerror}", hint=_hint()) from error
    key = _read_key()
    if key is None:
        raise ArtfsError(f"the key {file} was removed while it was made", hint="try again")
    return key


def _refuse_for_another(file: Path) -> None:
    """Refuse to let root make a key below a folder of another user."""
    if os.geteuid() != 0:
        return
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    if folder.stat().st_uid != 0:
        raise RefusedError(f"root does not make the key {file} for another user", hint=_hint())


def _hint() -> str:
    return f"name another file with ${KEY_VARIABLE}"
