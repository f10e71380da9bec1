"""A molecule of high score in one of the 20 goal-directed tasks of GuacaMol (Brown et al. 2019, arXiv 1811.09621)."""

from dataclasses import dataclass
from typing import Any

from lso_bench import MoleculeTask, guacamol_scorer

REACHED = "rediscovery", "similarity", "isomers"  # a molecule that scores 1 is known of these


@dataclass(frozen=True)
class GuacaMol(MoleculeTask):
    """Score of one molecule in a task of GuacaMol, version 2 of its suite, in [0, 1]; 1 is best.

    A text that is no molecule scores -1, as there. GuacaMol itself scores sets: the means over the best 1, 10 and 100
    molecules, say, of which this is the first. Whether any molecule scores 1 is known of the
    rediscoveries, similarities and isomers. Source: Brown et al. 2019, and the package guacamol 0.5.5.
    """

    objective: str = "osimertinib_mpo"  # docs/tasks.md lists the 20
    data: str = "zinc250k"
    invalid_score = -1.0

    def __post_init__(self):
        guacamol_scorer(self.objective)  # refuses another objective

    @property
    def optimum(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 1.0 if any(kind in self.objective for kind in REACHED) else None

    def score_molecule(self, molecule: Any) -> float:
        return guacamol_scorer(self.objective)(molecule)
