"""A sequence with spaced motifs in it, which a Markov chain must allow: the functions of Stanton et al. 2024."""

from dataclasses import dataclass

from lso_bench import EhrlichFunction, TextTask


@dataclass(frozen=True)
class Ehrlich(TextTask):
    """Product over motifs of the share of their symbols that stand in their places, in [0, 1]; 1 is best.

    A text is invalid if it has a transition that the chain forbids, or is shorter than `length`; it scores -0.1.
    Source: arXiv 2407.00236; a function is that of the package pytorch-holo 0.0.5 with the same settings.
    """

    states: int = 32
    length: int = 32
    motifs: int = 4
    motif_length: int = 4
    quantization: int = 0  # levels of a motif's share, a divisor of its length; 0: as many as it has symbols
    epistasis: float = 0.0  # from 0 to 4: how much less than its share a motif that is partly present counts
    seed: int = 0  # of the function
    count: int = 50_000  # samples of the data set
    optimum = 1.0
    invalid_score = -0.1

    def __post_init__(self):
        self._function()

    @property
    def data(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the data set of the function's chain."""
        names = ("states", "length", "motifs", "motif_length", "seed", "count")
        return "ehrlich:" + ",".join(f"{name}={getattr(self, name)}" for name in names)

    def _function(self) -> EhrlichFunction:
        function = self.states, self.length, self.motifs, self.motif_length, self.quantization, self.epistasis
        return EhrlichFunction(*function, seed=self.seed)

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return self._function().scores(texts)
