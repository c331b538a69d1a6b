"""The direction of metrics, whether the smallest or the largest value is the best one; their mean and deviation.

A name is compared without case, separators, digits that count (``ndcg@10``), and the words of partitions and averages
around it (``val_rmse``, ``f1_macro``, ``RMSE (cv)``).  ``neg_`` before it turns the direction, as scikit-learn's
scorers do; a plain ``score``, such as ``test_score``, is one of those, so the largest is the best.
"""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections.abc import Sequence
from typing import Final

from artfs.registry.errors import UnknownMetricError
from artstore.arguments import shown_text, text

__all__ = ["ascending", "deviation_of", "mean_of"]


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_SMALLEST: Final = _words("""
    aic bic brier brierscore cer coverageerror crossentropy daviesbouldin daviesbouldinscore deviance eer
    entropyloss error errorrate fdr fid fnr fpr hamming hammingloss hinge hingeloss kl kldivergence logloss loss
    mad mae mape mase maxerror mdape meanabsoluteerror meanabsolutepercentageerror meangammadeviance
    meanpinballloss meanpoissondeviance meansquarederror meansquaredlogerror meantweediedeviance medae
    medianabsoluteerror mer mse msle nll nmae nmse nrmse perplexity pinball press rae rmse rmsec rmsecv rmsep
    rmsle rmspe rootmeansquarederror rootmeansquaredlogerror rrmse rrse rse sec secv sep smape sse wape wer
    zerooneloss
""")
_LARGEST: Final = _words("""
    acc accuracy adjr2 adjustedmutualinfo adjustedr2 adjustedrand ap ari auc aucpr aucroc auprc auroc
    averageprecision balancedaccuracy bleu calinskiharabasz ccc chrf cohenkappa completeness concordance corr
    correlation cosine d2absoluteerror d2brier d2logloss d2pinball d2tweedie dcg dice exactmatch
    explainedvariance f1 f2 fbeta fmeasure fowlkesmallows gini homogeneity iou jaccard kappa kendall kendalltau
    kge likelihood loglikelihood map matthewscorrcoef mcc meteor miou mrr mutualinfo ndcg nmi
    normalizedmutualinfo npv nse pcc pearson pearsonr ppv prauc precision psnr q2 r r2 rand recall rer reward
    rocauc rouge rpd rpiq score sensitivity silhouette spearman spearmanr specificity ssim tnr topaccuracy tpr
    vmeasure willmott youden
""")
_LAST_SMALLEST: Final = frozenset(("error", "loss", "deviance", "rmse", "mse", "mae", "mape"))
_LAST_LARGEST: Final = frozenset(("accuracy", "auc", "f1", "precision", "r2", "recall", "reward", "correlation"))
_AROUND: Final = _words("""
    average avg best binary cal calibration cv dev eval final fold holdout macro mean micro oof ovo ovr samples
    score test testing train training val valid validation weighted
""")


def ascending(metric: str) -> bool:
    """Return whether the smallest value of a metric is the best one: True for ``rmse``, False for ``r2``.

    Raises `UnknownMetricError` for a name that tells no direction.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text(metric, "the metric")).casefold())
    is_negative = len(words) > 1 and words[0] in ("neg", "negative")
    found = _direction([word for word in words[is_negative:] if not word.isdigit() and word != "k"])
    if found is None:
        raise UnknownMetricError(
            f"whether a small or a large {shown_text(metric)} is better is unknown",
            hint="pass ascending=True if the smallest value is the best one, else ascending=False",
        )
    return found != is_negative


def _direction(words: list[str]) -> bool | None:
    """Return whether the smallest is the best, by the longest part of the name that is known; None if none is."""
    while words:
        name = "".join(words)
        if name in _SMALLEST or name in _LARGEST:
            return name in _SMALLEST
        if len(words) > 1 and words[0] in _AROUND:
            words = words[1:]
        elif len(words) > 1 and words[-1] in _AROUND:
            words = words[:-1]
        else:
            break
    if words and words[-1] in _LAST_SMALLEST:
        return True
    return False if words and words[-1] in _LAST_LARGEST else None


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of numbers, of which there is at least one; it is not finite if one of them is not."""
    if not all(map(math.isfinite, values)):
        return sum(each / len(values) for each in values)
    try:
        return statistics.fmean(values)
    except OverflowError:  # of the sum
        return float(statistics.mean(values))


def deviation_of(values: Sequence[float]) -> float:
    """Return the deviation of a sample: 0 for a single number, NaN if one is not finite."""
    if len(values) < 2:
        return 0.0
    try:
        return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
    except OverflowError:
        return math.inf
