"""The direction of a metric follows from its name, or there is one clear error."""

from __future__ import annotations

import math

import pytest

from artfs.registry import UnknownMetricError
from artfs.registry.metrics import ascending, deviation_of, mean_of

SMALLEST = (
    "rmse RMSE val_rmse test_mse RMSEP rmse_cv MAE mape log_loss logloss LogLoss train_loss my_special_loss "
    "max_error brier_score_loss mean_squared_error MeanSquaredError root-mean-squared-error hamming_loss "
    "test_error nrmse neg_r2 davies_bouldin_score mean_poisson_deviance fold_3_rmse best_val_loss"
)
LARGEST = (
    "r2 R2 R² test_r2 r2_score accuracy acc balanced_accuracy f1 f1_macro f1_weighted_score roc_auc auc_roc "
    "roc_auc_ovr precision recall mcc cohen_kappa_score neg_mean_squared_error neg_log_loss ndcg@10 top_5_accuracy "
    "top_k_accuracy_score rpd explained_variance test_score score average_precision q2 precision@k"
)
UNKNOWN = ("", " ", "bias", "rmse_std", "n_components", "wheat", "1-r2x", "neg", "fit_time", "test", "test_", "p")


@pytest.mark.parametrize("name", SMALLEST.split())
def test_the_smallest_is_best(name: str) -> None:
    """Errors and losses ascend, however the name is written."""
    assert ascending(name) is True


@pytest.mark.parametrize("name", LARGEST.split())
def test_the_largest_is_best(name: str) -> None:
    """Scores and agreements descend, and the negative of an error does."""
    assert ascending(name) is False


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_metric_is_an_error(name: str) -> None:
    """A name that tells no direction is refused, and the hint names the way out."""
    with pytest.raises(UnknownMetricError) as caught:
        ascending(name)
    assert "ascending=True" in caught.value.hint and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("wrong", [None, 3, b"rmse", ["rmse"]])
def test_a_metric_is_text(wrong: object) -> None:
    """What is no text is a ValueError too."""
    with pytest.raises(ValueError, match="metric"):
        ascending(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "mean", "deviation"),
    [
        ([2.0], 2.0, 0.0),
        ([1.0, 3.0], 2.0, math.sqrt(2)),
        ([1e308, 1e308], 1e308, 0.0),
        ([1.5e308, -1.5e308], 0.0, math.inf),
        ([math.inf, 1.0], math.inf, math.nan),
        ([math.inf, -math.inf], math.nan, math.nan),
        ([math.nan, 1.0], math.nan, math.nan),
        ([math.inf], math.inf, 0.0),
        ([1, 2**60], 2.0**59, 2**60 / math.sqrt(2)),
    ],
    ids=str,
)
def test_means_and_deviations(values: list[float], mean: float, deviation: float) -> None:
    """They are what doubles can say of any numbers, and never an error."""
    assert mean_of(values) == pytest.approx(mean, nan_ok=True)
    assert deviation_of(values) == pytest.approx(deviation, nan_ok=True)
