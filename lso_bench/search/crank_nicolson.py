"""Preconditioned Crank-Nicolson: Markov chains whose law is the prior N(0, I) times a likelihood."""

from jaxtyping import Bool, Float
from torch import Tensor

Points = Float[Tensor, "a c d"]  # of c chains of each of a problems


def proposed(z: Points, beta: Float[Tensor, " a"], normal: Points) -> Points:
    """Return sqrt(1 - beta^2) z + beta normal, which has the law N(0, I) where z and `normal` have it.

    Source: Cotter, Roberts, Stuart & White 2013, "MCMC methods for functions", the proposal pCN.
    """
    share = beta[:, None, None]
    return (1 - share.square()).sqrt() * z + share * normal


def accepted(
    before: Float[Tensor, "a c"], after: Float[Tensor, "a c"], uniform: Float[Tensor, "a c"]
) -> Bool[Tensor, "a c"]:
    """Return whether each proposal is taken: with the probability min(1, exp(after - before)) of log likelihoods.

    The prior needs no place in it, because the proposal is reversible with respect to N(0, I).
    """
    return uniform.log() < after - before
