"""The death of a process, at any call that reaches the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from artstore.storage import disk, manifest


class Death(BaseException):
    """The process is gone: nothing but what is on the disk remains."""


@contextmanager
def dying_at(calls: int) -> Iterator[None]:
    """Raise `Death` at the n-th call that reaches the disk inside the block; a commit has a point before and after."""
    left = calls

    def pass_on(real: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Death
            result = real(*args, **options)
            if after:
                left -= 1
                if left < 0:
                    raise Death
            return result

        return call

    names = ("append", "sync_data", "sync_folder", "write_file", "preallocate", "punch_hole", "remove")
    with (
        mock.patch.multiple(disk, **{name: pass_on(getattr(disk, name)) for name in names}),
        mock.patch.object(manifest, "_commit", pass_on(manifest._commit, after=True)),
    ):
        yield
