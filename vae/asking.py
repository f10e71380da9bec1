"""Ask an objective for its terms; one that others wrote is checked, and named where it goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor

from lso_bench.vae.containment import contained, reason
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms
from lso_bench.vae.random_numbers import shared

OURS = "lso_bench.vae."  # how the modules begin whose objectives are not looked after


def terms_of(loss: Objective, vae: VAE, x: Float[Tensor, "b 1 h w"]) -> Terms:
    """Return the terms of the loss for the images `x`.

    Raises:
        UnusableError: an objective of another raises, or gives something else.
    """
    if type(loss).__module__.startswith(OURS):
        return loss(vae, x)
    with _named(loss):
        terms: object = loss(vae, x)
        if not isinstance(terms, Terms):
            raise TypeError(f"wanted Terms, got {terms!r}")
        for name, term in vars(terms).items():
            if not isinstance(term, Tensor) or tuple(term.shape) not in ((), (len(x),)):
                got = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else repr(term)
                raise ValueError(f"wanted a {name} of each image, of shape ({len(x)},), got {got}")
        return terms


def rate_weight(loss: Objective, epoch: float, epochs: int, anneal_epochs: float) -> float:
    """Return the weight of the rate, as `Objective.rate_weight` says.

    Raises:
        UnusableError: an objective of another raises, or gives something else.
    """
    if type(loss).__module__.startswith(OURS):
        return loss.rate_weight(epoch, epochs, anneal_epochs)
    with _named(loss):
        return float(loss.rate_weight(epoch, epochs, anneal_epochs))


@contextmanager
def _named(loss: Objective) -> Iterator[None]:
    try:
        with contained(shared):
            yield
    except Exception as error:
        raise UnusableError(f"Objective {type(loss).__name__}: {reason(error)}") from error
