"""Models of LightGBM as their own text, which `lightgbm.Booster(model_file=...)` reads.

A line ``artfs:`` before the last one has the estimator around the model and what the text lacks; LightGBM skips it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.attributes import read_json
from artfs.registry.serializers.boosters.lightgbm_text import check_text
from artfs.registry.serializers.boosters.trees import failing, judging
from artfs.registry.serializers.boosters.wrappers import WrapperFormat, WrapperState
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["LightgbmSerializer"]

_WHAT: Final = "a model of LightGBM"
_STATE: Final = "artfs:"
_CATEGORIES: Final = "pandas_categorical:"
_WRAPPERS: Final = WrapperFormat(
    "lightgbm",
    "lightgbm",
    frozenset({"LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor"}),
    "Booster",
    frozenset(
        {
            *("_best_iteration", "_best_score", "_class_map", "_class_weight", "_classes", "_eval_at", "_evals_result"),
            *("_fitted_with_feature_names", "_n_classes", "_n_features", "_n_features_in", "_objective"),
            *("_other_params", "fitted_"),
        }
    ),
)
_APART: Final = frozenset({"_Booster", "_le"})
_OF_MODEL: Final = frozenset({"best_iteration", "best_score", "params"})


class LightgbmSerializer:
    """Boosters of LightGBM, and its classifiers, regressors and rankers, fitted or not."""

    name = "lightgbm"
    extension = "txt"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is of a class of LightGBM itself."""
        return _WRAPPERS.accepts(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the text; raise `UnserializableError` for parameters that are functions."""
        booster = obj if _WRAPPERS.is_model(obj) else obj.__dict__.get("_Booster")
        text = "" if booster is None else booster.model_to_string(num_iteration=-1)
        state = _state(obj, booster)
        at = text.rfind(f"\n{_CATEGORIES}") + 1
        text = f"{text[:at]}{_STATE}{_WRAPPERS.written(state)}\n{text[at:]}"
        safe = True
        try:
            _parsed(text, Reading())
        except (MalformedPayloadError, UntrustedError):  # a model of a kind that is not judged
            safe = False
        (folder / payload_name(self.extension)).write_text(text, encoding="utf-8", newline="\n")
        return DumpNotes("4", frozenset({"lightgbm"}), safe=safe)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the model."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the model, whose text has been validated unless the caller vouches for it."""
        try:
            text = stream.read().decode()
        except UnicodeDecodeError as error:
            raise MalformedPayloadError(f"{reading.label} is no text of LightGBM") from error
        model, state = _parsed(text, reading)
        library = require("lightgbm", _WHAT, "lightgbm")
        booster = None
        if model:
            try:
                booster = library.Booster(model_str=model)
            except library.basic.LightGBMError as error:
                raise MalformedPayloadError(f"LightGBM refuses {reading.label}") from error
            for name, value in state.model.items():
                setattr(booster, name, value)
        if state.name == "Booster":
            return booster
        estimator = _WRAPPERS.built(state, reading)
        if booster is not None:
            estimator._Booster = booster
        classes = state.attributes.get("_classes")
        if state.name == "LGBMClassifier" and classes is not None:
            estimator._le = require("sklearn.preprocessing", _WHAT).LabelEncoder()
            estimator._le.classes_ = classes
        return estimator

    def versions(self) -> Mapping[str, str]:
        """Return the versions of LightGBM and NumPy."""
        return versions_of("lightgbm", "numpy")


def _state(obj: Any, booster: Any) -> WrapperState:
    model = {} if booster is None else {name: getattr(booster, name) for name in sorted(_OF_MODEL)}
    if _WRAPPERS.is_model(obj):
        return WrapperState("Booster", {}, {}, model)
    params = obj.get_params(deep=False)
    attributes = {name: value for name, value in vars(obj).items() if name not in _APART and name not in params}
    return WrapperState(type(obj).__name__, params, attributes, model)


def _parsed(text: str, reading: Reading) -> tuple[str, WrapperState]:
    """Return the text that LightGBM reads, and the state; the text is validated unless *reading* trusts it."""
    check = failing(reading.label)
    start = 0 if text.startswith(_STATE) else text.rfind(f"\n{_STATE}") + 1
    check(text.startswith(_STATE, start), "no line about its estimator")
    line, _, last = text[start + len(_STATE) :].partition("\n")
    model = text[:start]
    state = _WRAPPERS.read(line, reading)
    check(set(state.model) <= _OF_MODEL, "an attribute of its model")
    if not model:
        check(not last and state.name != "Booster", "a model that is not there")
        return "", state
    check(last.startswith(_CATEGORIES) and last.count("\n") <= 1, "no line of categories")
    if not reading.trust:
        _check_categories(last[len(_CATEGORIES) :].strip(), reading)
        check_text(model, check, judging(reading.label))
        best = state.model.get("best_iteration", 0)
        check(type(best) is int and -1 <= best < 1 << 31, "a best iteration")
    return model + last, state


def _check_categories(text: str, reading: Reading) -> None:
    try:
        value = read_json(text)
        if value is not None and not all(isinstance(each, list) for each in value):
            raise ValueError("no lists")
    except (ValueError, TypeError) as error:
        raise MalformedPayloadError(f"the categories of {reading.label} are no lists") from error
