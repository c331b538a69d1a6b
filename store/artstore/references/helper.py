"""The helper of a process that cannot send requests to services itself: it reads requests from a socket.

It ends when the other end closes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from artstore.errors import ArtfsError, OutsideError
from artstore.references.access import Access
from artstore.references.locations import Location
from artstore.references.services import Service, open_here

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Answer requests from a socket until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    services: dict[tuple[Location, Access], Service] = {}
    while True:
        try:
            question = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = _answer(services, *question)
        except ArtfsError as error:
            answer = error
        except Exception as error:
            answer = OutsideError(f"a service could not be reached: {error}")
        connection.send(answer)


def _answer(
    services: dict[tuple[Location, Access], Service], location: Location, access: Access, method: str, *arguments: Any
) -> Any:
    key = location, access
    if key not in services:
        services[key] = open_here(location, access)
    result = getattr(services[key], method)(*arguments)
    if isinstance(result, Iterator):
        return [bytes(each) if isinstance(each, memoryview) else each for each in result]
    return bytes(result) if isinstance(result, memoryview) else result


if __name__ == "__main__":
    main(int(sys.argv[1]))
