"""Intervals at 95 % over instances without resampling: of proportions, ratios and jackknifed statistics.

Searches of one instance are not independent: an instance counts once, with all its searches. Coverage of each interval:
`python benchmarks/coverage.py`, docs/statistics.md.
"""

import numpy as np
import scipy
from jaxtyping import Float, Shaped

CONFIDENCE = 0.95
WIDEST = 1000.0  # factor from an estimate to an end of its interval; wider intervals are useless and stretch every axis

Interval = tuple[float, float]
NONE: Interval = (np.nan, np.nan)


def proportion_interval(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> dict[str, int | float]:
    """Compute the mean of values in [0, 1], with Wilson's interval at the effective number of draws.

    The effective number is the variance of a draw over that of an instance. Half an instance of ones and half an
    instance of zeros are added to both, so that it is defined where all or none succeeded. A single instance has no
    interval. Sources: Wilson 1927; Korn & Graubard 1998 (effective number, Student's t); the added halves are our
    choice.
    """
    a, b = _sums(instances, values, np.ones(len(values)))
    n, estimate = len(a), float(a.sum() / b.sum())
    if n < 2:
        return {"estimate": estimate, "low": np.nan, "high": np.nan}
    size = b.mean()  # searches per instance
    p = (a.sum() / size + 0.5) / (n + 1)
    instance_variance = (np.square((a - p * b) / size).sum() + 0.5 * (1 - p) ** 2 + 0.5 * p**2) / n
    z2 = _quantile(n - 1) ** 2 * instance_variance / (n * p * (1 - p))
    half = np.sqrt(z2 * (estimate * (1 - estimate) + z2 / 4))
    low, high = ((estimate + z2 / 2 + side * half) / (1 + z2) for side in (-1, 1))
    return {"estimate": estimate, "low": max(float(low), 0.0), "high": min(float(high), 1.0)}


def ratio_interval(
    numerator: Float[np.ndarray, " n"], denominator: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]
) -> dict[str, int | float]:
    """Compute sum(numerator) / sum(denominator), for example the cost of a success.

    Without a success it is infinite and has no interval. The interval is Student's on the logarithm, with the variance
    of the linear terms (delta method).
    """
    a, b = _sums(instances, numerator, denominator)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(np.divide(a.sum(), b.sum()))
        terms = a / a.mean() - b / b.mean()
    low, high = NONE
    if len(a) > 1 and np.isfinite(terms).all():
        half_width = _quantile(len(a) - 1) * terms.std(ddof=1) / np.sqrt(len(a))
        low, high = (float(estimate * np.exp(side * half_width)) for side in (-1, 1))
    return {"estimate": estimate, "low": low, "high": high}


def jackknife(estimate: float, leave_one_out: Float[np.ndarray, " n"]) -> Interval:
    """Compute the interval of a positive statistic from its estimate and its leave-one-instance-out values.

    The interval is Student's on the logarithm. If few instances decide the statistic, the standard error is itself
    uncertain. The degrees of freedom are therefore 2 n / (kurtosis - 1) of the jackknife's terms, at most n - 1: those
    of a mean of squares as uneven (Satterthwaite 1946; its use here is our choice). NaN if a value is undefined or not
    positive, or if an end is a factor of WIDEST or more away. Source: Efron & Tibshirani 1993, chapter 11.
    """
    n, values = len(leave_one_out), np.append(leave_one_out, estimate)
    if n < 2 or not (np.isfinite(values) & (values > 0)).all():
        return NONE
    terms = np.square(np.log(leave_one_out) - np.log(leave_one_out).mean())
    variance = np.square(terms).mean() - np.square(terms.mean())
    degrees = min(n - 1, 2 * n * np.square(terms.mean()) / variance) if variance > 0 else n - 1
    with np.errstate(over="ignore"):
        factor = np.exp(_quantile(degrees) * np.sqrt((n - 1) * terms.mean()))
    return (float(estimate / factor), float(estimate * factor)) if factor < WIDEST else NONE


def _quantile(degrees: int | float) -> float:
    """Return a quantile of Student's t, without `scipy.stats`, whose import takes half a second."""
    return float(scipy.special.stdtrit(degrees, (1 + CONFIDENCE) / 2))


def _sums(instances: Shaped[np.ndarray, " n"], *values: Float[np.ndarray, " n"]) -> list[Float[np.ndarray, " i"]]:
    """Sum each of `values` over each instance."""
    unique, index = np.unique(instances, return_inverse=True)
    return [np.bincount(index, x, minlength=len(unique)) for x in values]
