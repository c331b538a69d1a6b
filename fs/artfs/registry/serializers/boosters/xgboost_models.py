"""Models of XGBoost as its own UBJSON, which `xgboost.Booster(model_file=...)` reads.

An attribute of the model, ``artfs``, has the estimator around it; a loaded model does not have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.boosters.trees import failing, judging
from artfs.registry.serializers.boosters.ubjson import read_ubjson
from artfs.registry.serializers.boosters.wrappers import WrapperFormat, WrapperState
from artfs.registry.serializers.boosters.xgboost_trees import check_model
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["XgboostSerializer"]

_WHAT: Final = "a model of XGBoost"
_ATTRIBUTE: Final = "artfs"
_WRAPPERS: Final = WrapperFormat(
    "xgboost",
    "xgboost",
    frozenset({"XGBClassifier", "XGBModel", "XGBRanker", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"}),
    "Booster",
    frozenset({"evals_result_", "n_classes_"}),
)
_APART: Final = frozenset({"_Booster", "kwargs"})


class XgboostSerializer:
    """Boosters of XGBoost, and its classifiers, regressors and rankers, fitted or not."""

    name = "xgboost"
    extension = "ubj"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is of a class of XGBoost itself."""
        return _WRAPPERS.accepts(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the UBJSON; raise `UnserializableError` for parameters that are functions or objects."""
        booster = obj if _WRAPPERS.is_model(obj) else vars(obj).get("_Booster")
        line = _WRAPPERS.written(_state(obj))
        if booster is None:
            data = line.encode()
        else:
            copy = booster.copy()
            copy.set_attr(**{_ATTRIBUTE: line})
            data = bytes(copy.save_raw("ubj"))
        safe = True
        try:
            _parsed(data, Reading())
        except (MalformedPayloadError, UntrustedError):  # a model of a kind that is not judged
            safe = False
        (folder / payload_name(self.extension)).write_bytes(data)
        return DumpNotes("1", frozenset({"xgboost"}), safe=safe)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the model."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the model, whose values have been validated unless the caller vouches for them."""
        data = stream.read()
        line = _parsed(data, reading)
        state = _WRAPPERS.read(line, reading)
        if data.startswith(b'{"'):
            failing(reading.label)(state.name != "Booster", "a model that is not there")
            return _WRAPPERS.built(state, reading)
        library = require("xgboost", _WHAT, "xgboost")
        threads = state.params.get("n_jobs")
        try:
            booster = library.Booster({} if threads is None else {"nthread": threads}, model_file=bytearray(data))
        except library.core.XGBoostError as error:
            raise MalformedPayloadError(f"XGBoost refuses {reading.label}") from error
        booster.set_attr(**{_ATTRIBUTE: None})
        if state.name == "Booster":
            return booster
        estimator = _WRAPPERS.built(state, reading)
        estimator._Booster = booster
        return estimator

    def versions(self) -> Mapping[str, str]:
        """Return the versions of XGBoost and NumPy."""
        return versions_of("xgboost", "numpy")


def _state(obj: Any) -> WrapperState:
    if _WRAPPERS.is_model(obj):
        return WrapperState("Booster", {}, {}, {})
    params = obj.get_params(deep=False)
    attributes = {name: value for name, value in vars(obj).items() if name not in _APART and name not in params}
    return WrapperState(type(obj).__name__, params, attributes, {})


def _parsed(data: bytes, reading: Reading) -> str:
    """Return the JSON of the estimator; the model is validated unless *reading* trusts it."""
    if data.startswith(b'{"'):  # UBJSON has a length before each key
        return data.decode()
    try:
        model = read_ubjson(data)
        line = model["learner"]["attributes"][_ATTRIBUTE]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MalformedPayloadError(f"{reading.label} is no UBJSON of XGBoost, or lacks its estimator") from error
    check = failing(reading.label)
    check(isinstance(line, str), "an estimator of another kind")
    if not reading.trust:
        check_model(model, check, judging(reading.label))
    return str(line)
