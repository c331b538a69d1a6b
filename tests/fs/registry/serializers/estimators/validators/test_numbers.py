"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import GammaRegressor, SGDClassifier, SGDRegressor

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "SFC64", "MT19937", "Philox"])
def test_generators_go_on(kind: str) -> None:
    """A generator that has drawn draws the same numbers afterwards."""
    generator = np.random.Generator(getattr(np.random, kind)(7))
    generator.random(3)
    generator.integers(5, dtype=np.uint8)
    assert loads(generator).random(700).tolist() == generator.random(700).tolist()


@pytest.mark.parametrize("drawn", [0, 1, 311, 312, 624])
def test_a_random_state_goes_on(drawn: int) -> None:
    state = np.random.RandomState(5)
    state.randn(drawn)
    assert loads(state).randn(700).tolist() == state.randn(700).tolist()


@pytest.mark.parametrize(
    "loss", ["hinge", "log_loss", "modified_huber", "squared_hinge", "huber", "epsilon_insensitive"]
)
def test_losses(loss: str) -> None:
    # A fixed number of steps: some losses converge or not, by the order of the samples.
    steps = {"tol": None, "max_iter": 5, "random_state": 0}
    assert loads(SGDClassifier(loss=loss, **steps).fit(X, C)).loss == loss
    if loss in ("huber", "epsilon_insensitive"):
        assert loads(SGDRegressor(loss=loss, **steps).fit(X, Y)).loss == loss


def test_others() -> None:
    assert loads(GammaRegressor().fit(X, Y + 1)).predict(X).shape == (40,)
    assert loads(FeatureHasher(8)).n_features == 8
    assert loads(HashingVectorizer()).n_features == 2**20
