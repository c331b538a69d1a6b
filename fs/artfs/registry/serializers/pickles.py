"""Whatever nothing else takes, as a pickle of cloudpickle."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.errors import UnserializableError, UntrustedError
from artfs.registry.serializers.libraries import require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["PickleSerializer"]

_PROTOCOL: Final = 5


class PickleSerializer:
    """Any object that cloudpickle can store; loading one can run any code, so it must be one's own or trusted."""

    name = "cloudpickle"
    extension = "pkl"
    safe = False

    def accepts(self, obj: Any) -> bool:
        """Return True: `dump` says what cannot be pickled."""
        return True

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the pickle; raise `UnserializableError` for what cannot be pickled."""
        cloudpickle = require("cloudpickle", "an object that no safe format takes")
        try:
            with (folder / payload_name(self.extension)).open("wb") as stream:
                cloudpickle.dump(obj, stream, protocol=_PROTOCOL)
        except OSError:
            raise
        except Exception as error:  # whatever __reduce__ of the object raises
            shown = " ".join(str(error).split())[:120]
            raise UnserializableError(f"it cannot be pickled: {shown}") from error
        return DumpNotes(str(_PROTOCOL), safe=False)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Raise `UntrustedError`: a list of trusted types cannot make a pickle safe."""
        raise UntrustedError("a pickle can run any code, whichever types are trusted")

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the object if the caller or this user's MAC vouches for the payload."""
        if not reading.trust:
            raise UntrustedError(f"{reading.label} is a pickle, and can run any code")
        if reading.format_version == str(_PROTOCOL):
            return pickle.load(stream)
        return require("joblib", "a file of joblib").load(stream)  # which reads plain pickles too

    def versions(self) -> Mapping[str, str]:
        """Return cloudpickle's version."""
        return versions_of("cloudpickle")
