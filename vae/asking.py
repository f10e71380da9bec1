"""Calls of an objective. The terms of a user's objective are checked, and errors name the objective."""

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.plugins.containment import contained, place, reason
from lso_bench.plugins.random_numbers import shared
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms

OURS = "lso_bench.vae."  # prefix of the modules whose objectives are not checked


def terms_of(loss: Objective, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
    """Return the terms of the loss for the images `x`.

    Raises:
        UnusableError: a user's objective raises, or returns something else.
    """
    if type(loss).__module__.startswith(OURS):
        return loss(vae, x)
    with _objective_errors(loss):
        terms: object = loss(vae, x)
        if not isinstance(terms, Terms):
            raise TypeError(f"wanted Terms, got {terms!r}")
        for name, term in vars(terms).items():
            if not isinstance(term, Tensor) or tuple(term.shape) != (len(x),):
                got = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else repr(term)
                mend = (
                    "sum over latents or pixels alone (.sum(-1)); what is one number for the batch is .expand(len(x))"
                )
                raise ValueError(f"wanted a {name} of each image, of shape ({len(x)},), got {got}; {mend}")
        return terms


def rate_weight(loss: Objective, epoch: float, epochs: int, anneal_epochs: float) -> float:
    """Return the weight of the rate, as `Objective.rate_weight` defines it.

    Raises:
        UnusableError: a user's objective raises, or returns something else.
    """
    if type(loss).__module__.startswith(OURS):
        return loss.rate_weight(epoch, epochs, anneal_epochs)
    with _objective_errors(loss):
        return float(loss.rate_weight(epoch, epochs, anneal_epochs))


@contextmanager
def _objective_errors(loss: Objective) -> Iterator[None]:
    try:
        with contained(shared):
            yield
    except Exception as error:
        raise UnusableError(f"Objective {type(loss).__name__}: {reason(error)}{place(error)}") from error
