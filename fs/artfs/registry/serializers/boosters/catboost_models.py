"""Models of CatBoost as its own cbm, which `catboost.CatBoost().load_model(...)` reads.

An entry of the model's metadata, ``artfs``, has the estimator around it; a loaded model does not have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.boosters.catboost_trees import check_cbm, info_of
from artfs.registry.serializers.boosters.trees import failing, judging
from artfs.registry.serializers.boosters.wrappers import WrapperFormat, WrapperState
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["CatboostSerializer"]

_WHAT: Final = "a model of CatBoost"
_ENTRY: Final = "artfs"
_WRAPPERS: Final = WrapperFormat(
    "catboost",
    "catboost",
    frozenset({"CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor"}),
    "",
    frozenset({"_loss_value_change", "_prediction_values_change"}),
)


class CatboostSerializer:
    """Models of CatBoost, and its classifiers, regressors and rankers, fitted or not."""

    name = "catboost"
    extension = "cbm"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is of a class of CatBoost itself."""
        return _WRAPPERS.accepts(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the cbm; raise `UnserializableError` for parameters that are functions or objects."""
        params = {name: value for name, value in vars(obj)["_init_params"].items() if not name.startswith("_")}
        attributes = {name: vars(obj)[name] for name in sorted(_WRAPPERS.attributes) if vars(obj).get(name) is not None}
        line = _WRAPPERS.written(WrapperState(type(obj).__name__, params, attributes, {}))
        safe = True
        if obj.is_fitted():
            copy = obj.copy()
            copy.get_metadata()[_ENTRY] = line
            data = bytes(copy._serialize_model())
            try:
                _check(data, Reading())
            except (MalformedPayloadError, UntrustedError):  # a model of a kind that is not judged
                safe = False
        else:
            data = line.encode()
        (folder / payload_name(self.extension)).write_bytes(data)
        return DumpNotes("1", frozenset({"catboost"}), safe=safe)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the model."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the model, whose values have been validated unless the caller vouches for them."""
        data = stream.read()
        fitted = not data.startswith(b'{"')
        state = _WRAPPERS.read(_check(data, reading) if fitted else data.decode(), reading)
        library = require("catboost", _WHAT, "catboost")
        model = _WRAPPERS.checked_class(state, reading)()
        if fitted:
            try:
                model._load_from_string(data)
            except library.CatBoostError as error:
                raise MalformedPayloadError(f"CatBoost refuses {reading.label}") from error
            del model.get_metadata()[_ENTRY]
        model._init_params = state.params
        for name, value in state.attributes.items():
            setattr(model, name, value)
        return model

    def versions(self) -> Mapping[str, str]:
        """Return the versions of CatBoost and NumPy."""
        return versions_of("catboost", "numpy")


def _check(data: bytes, reading: Reading) -> str:
    """Return the JSON of the estimator; the model is validated unless *reading* trusts it."""
    try:
        if not reading.trust:
            check_cbm(data, failing(reading.label), judging(reading.label))
        return info_of(data)[_ENTRY]
    except (MalformedPayloadError, UntrustedError):
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedPayloadError(f"{reading.label} is no cbm of CatBoost, or lacks its estimator") from error
