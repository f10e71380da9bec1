"""Intervals at 95 % over instances that need no resampling: of shares, quotients, and figures that the jackknife knows.

Several searches of one instance are not independent: an instance counts once, with all that belongs to it. How often
each interval covers the truth: `python benchmarks/coverage.py`, docs/statistics.md.
"""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.stats import t as student

CONFIDENCE = 0.95
WIDEST = 1000.0  # factor from a figure to an end of its interval; a wider one says nothing, and stretches every axis

Interval = tuple[float, float]
NONE: Interval = (np.nan, np.nan)


def proportion_interval(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> dict[str, int | float]:
    """Mean of values in [0, 1], with Wilson's interval for as many independent draws as the instances are worth.

    That effective number is the variance of a draw over that of an instance, both after half an instance of ones and
    half an instance of zeros were added, so that it is known also where all or none succeeded. No interval for a single
    instance. Sources: Wilson 1927; Korn & Graubard 1998 (effective number, Student's t); the halves are our choice.
    """
    a, b = _sums(instances, values, np.ones(len(values)))
    n, estimate = len(a), float(a.sum() / b.sum())
    if n < 2:
        return {"estimate": estimate, "low": np.nan, "high": np.nan}
    size = b.mean()  # searches an instance
    p = (a.sum() / size + 0.5) / (n + 1)
    of_instance = (np.square((a - p * b) / size).sum() + 0.5 * (1 - p) ** 2 + 0.5 * p**2) / n
    z2 = _quantile(n - 1) ** 2 * of_instance / (n * p * (1 - p))
    half = np.sqrt(z2 * (estimate * (1 - estimate) + z2 / 4))
    low, high = ((estimate + z2 / 2 + side * half) / (1 + z2) for side in (-1, 1))
    return {"estimate": estimate, "low": max(float(low), 0.0), "high": min(float(high), 1.0)}


def ratio_interval(
    over: Float[np.ndarray, " n"], under: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]
) -> dict[str, int | float]:
    """sum(over) / sum(under): what a success costs; infinite, and without an interval, where there was none.

    The interval is Student's on the logarithm, whose variance is that of the linear terms (the delta method).
    """
    a, b = _sums(instances, over, under)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(np.divide(a.sum(), b.sum()))
        terms = a / a.mean() - b / b.mean()
    low, high = NONE
    if len(a) > 1 and np.isfinite(terms).all():
        reach = _quantile(len(a) - 1) * terms.std(ddof=1) / np.sqrt(len(a))
        low, high = (float(estimate * np.exp(side * reach)) for side in (-1, 1))
    return {"estimate": estimate, "low": low, "high": high}


def jackknife(whole: float, without: Float[np.ndarray, " n"]) -> Interval:
    """Of a positive figure, from itself and from it without each instance: Student's on the logarithm.

    A few instances that decide it make the error itself uncertain: the degrees of freedom, 2 n / (kurtosis - 1) of the
    jackknife's terms and at most n - 1, are those of a mean of squares as uneven (Satterthwaite 1946; its use here is
    our choice). None where a figure is undefined or not positive, or the interval
    too wide to say anything. Source: Efron & Tibshirani 1993, chapter 11.
    """
    n, values = len(without), np.append(without, whole)
    if n < 2 or not (np.isfinite(values) & (values > 0)).all():
        return NONE
    terms = np.square(np.log(without) - np.log(without).mean())
    uneven = np.square(terms).mean() - np.square(terms.mean())
    freedom = min(n - 1, 2 * n * np.square(terms.mean()) / uneven) if uneven > 0 else n - 1
    with np.errstate(over="ignore"):
        factor = np.exp(_quantile(freedom) * np.sqrt((n - 1) * terms.mean()))
    return (float(whole / factor), float(whole * factor)) if factor < WIDEST else NONE


def _quantile(freedom: int | float) -> float:
    return float(student.ppf((1 + CONFIDENCE) / 2, freedom))


def _sums(instances: Shaped[np.ndarray, " n"], *values: Float[np.ndarray, " n"]) -> list[Float[np.ndarray, " i"]]:
    """Of each of `values` over each instance."""
    unique, of = np.unique(instances, return_inverse=True)
    return [np.bincount(of, x, minlength=len(unique)) for x in values]
