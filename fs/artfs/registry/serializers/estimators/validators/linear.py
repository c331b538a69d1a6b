"""Linear models whose training goes on from their coefficients, in compiled code that takes their sizes for granted."""

from __future__ import annotations

import math

from artfs.registry.serializers.estimators.view import View

__all__ = ["check_linear"]

_COEFFICIENTS = ("coef_", "_standard_coef", "_average_coef", "standard_coef_", "average_coef_")
_INTERCEPTS = ("intercept_", "_standard_intercept", "_average_intercept", "offset_")


def check_linear(view: View) -> None:
    """Check that each kind of coefficients has the same shape, with one for each feature."""
    coefficients = view.get("coef_")
    if coefficients is None:
        return
    shape, features = coefficients.shape, view.attribute("n_features_in_").integer()
    view.require(len(shape) in (1, 2) and shape[-1] == features, "coef_ has other features")
    for name in _COEFFICIENTS:
        other = view.get(name)
        view.require(other is None or math.prod(other.shape) == math.prod(shape), f"{name} has another size than coef_")
    rows = shape[0] if len(shape) == 2 else 1
    for name in _INTERCEPTS:
        other = view.get(name)
        if other is not None and other.is_array:
            view.require(other.shape in ((rows,), (1,), ()), f"{name} has another shape than coef_")
