"""Scores of a molecule in the 20 goal-directed tasks of GuacaMol, version 2 of its suite.

Written anew from the definitions in Brown et al. 2019 (arXiv 1811.09621), supplement, with the constants of the package
guacamol 0.5.5; tests compare with values of that package. There a task scores a set of molecules, by means over its
best 1, 10 and 100, say. Here it is the score of one molecule.
"""

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from lso_bench.errors import unknown
from lso_bench.molecules.reading import molecules

Number = int | float
Part = Callable[[Any], Number]  # a property of a molecule, or a score of it in [0, 1]

ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"
ARIPIPRAZOLE = "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl"
CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"
CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"
FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"
HOPPED = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"  # the molecule of both hops
MENTHOL = "CC(C)C1CCC(C)CC1O"
MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"
OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"
RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"
SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"
SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"
TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"
THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"
TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"
ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"

SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"  # of HOPPED; the others are its decoration
SULFONE = "CS([#6])(=O)=O"
BENZOTHIAZOLE = "[#7]-c1ccc2ncsc2c1"
PROPYL_TO_BENZOTHIAZOLE = f"[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-{BENZOTHIAZOLE}"
OF_VALSARTAN = "CN(C=O)Cc1ccc(c2ccccc2)cc1"


def logp(molecule: Any) -> float:
    from rdkit.Chem import Crippen

    return Crippen.MolLogP(molecule)  # pyright: ignore[reportAttributeAccessIssue]


def tpsa(molecule: Any) -> float:
    from rdkit.Chem import rdMolDescriptors

    return rdMolDescriptors.CalcTPSA(molecule)


def complexity(molecule: Any) -> float:
    """Return the index of Bertz 1981."""
    from rdkit.Chem import GraphDescriptors

    return GraphDescriptors.BertzCT(molecule)


def rings(molecule: Any) -> int:
    return molecule.GetRingInfo().NumRings()


def aromatic_rings(molecule: Any) -> int:
    from rdkit.Chem import rdMolDescriptors

    return rdMolDescriptors.CalcNumAromaticRings(molecule)


def atoms(element: str = "") -> Part:
    """Return the number of atoms of an element, of all elements without one; hydrogen counts wherever it is bound."""

    def number(molecule: Any) -> int:
        bound = sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms()) if element in ("H", "") else 0
        return bound + sum(element in (atom.GetSymbol(), "") for atom in molecule.GetAtoms())

    return number


@cache
def fingerprints(kind: str) -> Callable[[Any], Any]:
    """Return the function from a molecule to its fingerprint: counts of environments, atom pairs, or pharmacophores."""
    if kind == "PHCO":
        from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

        return lambda molecule: Generate.Gen2DFingerprint(molecule, Gobbi_Pharm2D.factory)
    from rdkit.Chem import rdFingerprintGenerator

    if kind == "AP":
        return rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint
    features = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if kind[0] == "F" else None
    radius = int(kind[-1]) // 2
    return rdFingerprintGenerator.GetMorganGenerator(radius, atomInvariantsGenerator=features).GetSparseCountFingerprint


def similarity(target: str, kind: str) -> Part:
    """Return the Tanimoto similarity to the target's fingerprint, in [0, 1]."""
    from rdkit.DataStructs import TanimotoSimilarity

    fingerprint = fingerprints(kind)
    aim = fingerprint(_molecule(target))
    return lambda molecule: TanimotoSimilarity(fingerprint(molecule), aim)


def contains(pattern: str) -> Part:
    """Return 1 for a molecule with a substructure, given as SMARTS, else 0."""
    from rdkit import Chem

    substructure = Chem.MolFromSmarts(pattern)
    return lambda molecule: float(molecule.HasSubstructMatch(substructure))


def lacks(pattern: str) -> Part:
    present = contains(pattern)
    return lambda molecule: 1 - present(molecule)


def near(part: Part, mean: Number, sd: Number) -> Part:
    """Return exp(-(value - mean)^2 / (2 sd^2)) of a property."""
    return lambda molecule: math.exp(-0.5 * ((part(molecule) - mean) / sd) ** 2)


def at_most(part: Part, limit: Number, sd: Number) -> Part:
    """Return 1 up to a limit of a property, and `near` the limit above it."""
    return near(lambda molecule: max(part(molecule), limit), limit, sd)


def at_least(part: Part, limit: Number, sd: Number) -> Part:
    return near(lambda molecule: min(part(molecule), limit), limit, sd)


def enough(part: Part, limit: Number) -> Part:
    """Return a share of a limit that suffices, in [0, 1]."""
    return lambda molecule: min(part(molecule) / limit, 1.0)


def geometric(*parts: Part) -> Part:
    """Return the geometric mean; parts after one that is 0 are not computed."""

    def mean(molecule: Any) -> float:
        product = 1.0
        for part in parts:
            product *= part(molecule)
            if product == 0:
                break
        return product ** (1 / len(parts))

    return mean


def arithmetic(*parts: Part) -> Part:
    return lambda molecule: sum(part(molecule) for part in parts) / len(parts)


def isomer(formula: str) -> Part:
    """Return how near the numbers of atoms are to a formula: deviation 1 for each element, 2 for all atoms."""
    numbers = {element: int(n or 1) for element, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}
    elements = [near(atoms(element), n, 1) for element, n in numbers.items()]
    return geometric(*elements, near(atoms(), sum(numbers.values()), 2))


def resembling(target: str, *properties: tuple[Part, Number]) -> list[Part]:
    """Return how near properties are to those of a target molecule, each with its deviation."""
    molecule = _molecule(target)
    return [near(part, part(molecule), sd) for part, sd in properties]


def _molecule(smiles: str) -> Any:
    return molecules([smiles])[0]


OBJECTIVES: dict[str, Callable[[], Part]] = {
    "celecoxib_rediscovery": lambda: similarity(CELECOXIB, "ECFP4"),
    "troglitazone_rediscovery": lambda: similarity(TROGLITAZONE, "ECFP4"),
    "thiothixene_rediscovery": lambda: similarity(THIOTHIXENE, "ECFP4"),
    "aripiprazole_similarity": lambda: enough(similarity(ARIPIPRAZOLE, "ECFP4"), 0.75),
    "albuterol_similarity": lambda: enough(similarity(ALBUTEROL, "FCFP4"), 0.75),
    "mestranol_similarity": lambda: enough(similarity(MESTRANOL, "AP"), 0.75),
    "isomers_c11h24": lambda: isomer("C11H24"),
    "isomers_c9h10n2o2pf2cl": lambda: isomer("C9H10N2O2PF2Cl"),
    "median1": lambda: geometric(similarity(CAMPHOR, "ECFP4"), similarity(MENTHOL, "ECFP4")),
    "median2": lambda: geometric(similarity(TADALAFIL, "ECFP6"), similarity(SILDENAFIL, "ECFP6")),
    "osimertinib_mpo": lambda: geometric(
        enough(similarity(OSIMERTINIB, "FCFP4"), 0.8),
        at_most(similarity(OSIMERTINIB, "ECFP6"), 0.85, 0.1),
        at_least(tpsa, 100, 10),
        at_most(logp, 1, 1),
    ),
    "fexofenadine_mpo": lambda: geometric(
        enough(similarity(FEXOFENADINE, "AP"), 0.8), at_least(tpsa, 90, 10), at_most(logp, 4, 1)
    ),
    "ranolazine_mpo": lambda: geometric(
        enough(similarity(RANOLAZINE, "AP"), 0.7), at_least(logp, 7, 1), at_least(tpsa, 95, 20), near(atoms("F"), 1, 1)
    ),
    "perindopril_mpo": lambda: geometric(similarity(PERINDOPRIL, "ECFP4"), near(aromatic_rings, 2, 0.5)),
    "amlodipine_mpo": lambda: geometric(similarity(AMLODIPINE, "ECFP4"), near(rings, 3, 0.5)),
    "sitagliptin_mpo": lambda: geometric(
        near(similarity(SITAGLIPTIN, "ECFP4"), 0, 0.1),
        *resembling(SITAGLIPTIN, (logp, 0.2), (tpsa, 5)),
        isomer("C16H15F6N5O"),
    ),
    "zaleplon_mpo": lambda: geometric(similarity(ZALEPLON, "ECFP4"), isomer("C19H17N3O2")),
    "valsartan_smarts": lambda: geometric(
        contains(OF_VALSARTAN), *resembling(SITAGLIPTIN, (logp, 0.2), (tpsa, 5), (complexity, 30))
    ),
    "deco_hop": lambda: arithmetic(
        enough(similarity(HOPPED, "PHCO"), 0.85), lacks(SULFONE), lacks(BENZOTHIAZOLE), contains(SCAFFOLD)
    ),
    "scaffold_hop": lambda: arithmetic(
        enough(similarity(HOPPED, "PHCO"), 0.75), contains(PROPYL_TO_BENZOTHIAZOLE), lacks(SCAFFOLD)
    ),
}


def guacamol_scorer(objective: str) -> Part:
    """Return the score of an objective, in [0, 1], as a function of a molecule.

    RDKit is imported, and the target read, when the first molecule is scored.

    Raises:
        ValueError: there is no such objective; names all.
    """
    if objective not in OBJECTIVES:
        raise ValueError(str(unknown("objective", objective, [*OBJECTIVES])))
    return lambda molecule: _built(objective)(molecule)


@cache
def _built(objective: str) -> Part:
    return OBJECTIVES[objective]()
