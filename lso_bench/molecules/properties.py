"""Properties of a molecule, higher is better: QED, logP, synthetic accessibility, penalised logP; by RDKit."""

from collections.abc import Callable
from typing import Any

from lso_bench.errors import unknown

LEAST_LOGP = -10.0  # a lower logP, and a lower penalised one, counts as this: 213 molecules of zinc250k have such
LOGP, SA, RING = (2.4571236, 1.4343305), (-3.0533034, 0.8349004), (-0.0380388, 0.2237076)  # mean, sd in zinc250k


def qed(molecule: Any) -> float:
    """Return the quantitative estimate of drug-likeness, in [0, 1]. Source: Bickerton et al. 2012."""
    from rdkit.Chem import QED

    return QED.qed(molecule)


def logp(molecule: Any) -> float:
    """Return the logarithm of the octanol-water partition coefficient. Source: Wildman & Crippen 1999."""
    return max(_logp(molecule), LEAST_LOGP)


def sa(molecule: Any) -> float:
    """Return minus the synthetic accessibility score, -1 easy to -10 hard. Source: Ertl & Schuffenhauer 2009."""
    from rdkit.Contrib.SA_Score import sascorer  # pyright: ignore[reportMissingImports], it has no __init__.py

    return -sascorer.calculateScore(molecule)


def large_ring(molecule: Any) -> float:
    """Return minus the atoms above 6 of the largest ring. Rings are those of RDKit, the smallest that there are."""
    return min((6.0 - len(ring) for ring in molecule.GetRingInfo().AtomRings() if len(ring) > 6), default=0.0)


def penalised_logp(molecule: Any) -> float:
    """Return logP, `sa` and `large_ring`, each less its mean in zinc250k and divided by its deviation there, summed."""
    parts = (_logp(molecule), LOGP), (sa(molecule), SA), (large_ring(molecule), RING)
    return max(sum((value - mean) / sd for value, (mean, sd) in parts), LEAST_LOGP)


def _logp(molecule: Any) -> float:
    from rdkit.Chem import Crippen

    return Crippen.MolLogP(molecule)  # pyright: ignore[reportAttributeAccessIssue]


PROPERTIES = {"qed": qed, "logp": logp, "sa": sa, "penalised_logp": penalised_logp}


def molecule_property(name: str) -> Callable[[Any], float]:
    """Return a property, higher is better, as a function of a molecule: `qed`, `logp`, `sa` or `penalised_logp`.

    Raises:
        ValueError: there is no such property.
    """
    if name not in PROPERTIES:
        raise ValueError(str(unknown("objective", name, [*PROPERTIES])))
    return PROPERTIES[name]
