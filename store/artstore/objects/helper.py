"""The helper of a process that cannot use object stores itself: it reads requests from a socket.

It ends when the other end closes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from artstore.errors import ArtfsError, OutsideError

__all__ = ["main"]

_Opener = Callable[..., Any]


def main(descriptor: int) -> None:
    """Answer requests from a socket until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    opened: dict[tuple[_Opener, tuple[Any, ...]], Any] = {}
    while True:
        try:
            question = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = _answer(opened, *question)
        except ArtfsError as error:
            answer = error
        except Exception as error:
            answer = OutsideError(f"a service could not be reached: {error}")
        connection.send(answer)


def _answer(
    opened: dict[tuple[_Opener, tuple[Any, ...]], Any],
    opener: _Opener,
    place: tuple[Any, ...],
    method: str,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """Call a method of what ``opener(*place)`` returns, which is opened once."""
    key = opener, place
    if key not in opened:
        opened[key] = opener(*place)
    result = getattr(opened[key], method)(*arguments, **options)
    if isinstance(result, Iterator):
        return [bytes(each) if isinstance(each, memoryview) else each for each in result]
    return bytes(result) if isinstance(result, memoryview) else result


if __name__ == "__main__":
    main(int(sys.argv[1]))
