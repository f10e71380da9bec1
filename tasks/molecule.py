"""A molecule of high drug-likeness, logP or ease of synthesis: the objectives that molecule searches began with."""

from dataclasses import dataclass
from typing import Any, Literal

from lso_bench import MoleculeTask, molecule_property


@dataclass(frozen=True)
class Molecule(MoleculeTask):
    """QED, logP, minus the synthetic accessibility score, or logP penalised by it and by large rings; highest is best.

    A text that is no molecule scores 1 less than the worst molecule can: a logP below -10, penalised or not, counts as
    -10. Beware: logP grows with the length of a molecule, so that a search for it finds long chains.

    Penalised logP is a sum of three terms, each less its mean in zinc250k and divided by its standard deviation there:
    logP (2.4571236, 1.4343305), minus SA (-3.0533034, 0.8349004), and minus the atoms above 6 of the largest ring
    (-0.0380388, 0.2237076). The command that gives these six is in docs/tasks.md. Source: Kusner et al. 2017, section
    5; the variant with the means of zinc250k, as in You et al. 2018 (GCPN).
    """

    objective: Literal["qed", "logp", "sa", "penalised_logp"] = "qed"
    data: str = "zinc250k"

    def __post_init__(self):
        molecule_property(self.objective)  # refuses another objective

    @property
    def optimum(self) -> float | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return -1.0 if self.objective == "sa" else None

    @property
    def invalid_score(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return -1.0 if self.objective == "qed" else -11.0

    def score_molecule(self, molecule: Any) -> float:
        return molecule_property(self.objective)(molecule)
