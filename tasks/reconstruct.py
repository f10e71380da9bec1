"""Reconstruct single samples of any data set: the task of `reconstruction` under a name that names no data."""

from dataclasses import dataclass

from lso_bench.tasks.reconstruction import Reconstruction


@dataclass(frozen=True)
class Reconstruct(Reconstruction):
    """Minus the squared error between a sample and the instance's sample, summed over its numbers; 0 is best.

    The samples are drawn without replacement, by `seed`, from the test set of `data`: your own images, for one.
    """

    data: str = "glyphs"
    variants = {}
