"""A task in a module by itself, which another process imports without the tests and their fixtures."""

from dataclasses import dataclass

from lso_bench import Task


@dataclass(frozen=True)
class Bright(Task):
    """The mean brightness of a sample of any shape."""

    data = "glyphs"
    optimum = 1.0

    def score(self, x):
        return x.flatten(2).mean(-1)
