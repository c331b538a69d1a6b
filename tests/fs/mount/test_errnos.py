"""Every error of artfs has an errno that a system call can return."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from artfs.mount import errnos
from artstore import errors
from artstore.errors import ArtfsError


def every(kind: type[ArtfsError]) -> Iterator[type[ArtfsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every(child)


@pytest.mark.parametrize("kind", sorted(set(every(ArtfsError)), key=lambda kind: kind.__name__))
def test_every_error_has_a_number(kind: type[ArtfsError]) -> None:
    assert errnos.errno_of(kind("x")) in errno.errorcode


def test_the_nearest_class_decides() -> None:
    assert errnos.errno_of(errors.WorkspaceNotFoundError("x")) == errno.ENOENT
    assert errnos.errno_of(errnos.StaleError("x")) == errno.ESTALE
    assert errnos.errno_of(errors.DamageError("x")) == errno.EIO
    assert errnos.errno_of(errnos.NameTooLongError("x")) == errno.ENAMETOOLONG
    assert errnos.errno_of(errnos.ReadOnlyError("x")) == errno.EROFS
