"""Scrambled Sobol sequences, and the dimensions that they can have."""

from torch.quasirandom import SobolEngine

from lso_bench.errors import UsageError


def sobol_engine(d: int, seed: int) -> SobolEngine:
    """Return a scrambled Sobol sequence of d dimensions.

    Raises:
        UsageError: there is no such sequence.
    """
    if d > SobolEngine.MAXDIM:
        raise UsageError(
            f"A Sobol sequence has at most {SobolEngine.MAXDIM:,} dimensions, and the search has {d:,}; choose fewer "
            "coordinates (--space pca:100), or a searcher without one: random, hill_climbing, latent_ga, adam."
        )
    return SobolEngine(d, scramble=True, seed=seed)
