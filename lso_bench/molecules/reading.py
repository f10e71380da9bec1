"""Molecules of texts, SELFIES or SMILES; RDKit and SELFIES are imported when the first text is read."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from lso_bench.errors import PluginError

MOST_ATOMS = 100  # heavy atoms; zinc250k has at most 38, and the pharmacophores of 100 atoms take a second
PACKAGES = {"selfies": ("rdkit", "selfies"), "smiles": ("rdkit",)}  # what each representation needs


def require(representation: str) -> None:
    """Import the packages that read a representation.

    Raises:
        PluginError: one is not installed here; a run fails by it, and others of the study go on.
        ValueError: there is no such representation.
    """
    if representation not in PACKAGES:
        raise ValueError(f"wanted {' or '.join(PACKAGES)}, got {representation!r}")
    for package in PACKAGES[representation]:
        try:
            import_module(package)
        except ImportError as error:
            raise PluginError(
                f"Molecules need the package {package} ({error}): pip install 'lso-bench[molecules]'."
            ) from error


def molecules(texts: Iterable[str], representation: str = "smiles") -> list[Any]:
    """Return the molecule of each text, an `rdkit.Chem.Mol`; None for a text that is no molecule.

    No molecule are: a text that SELFIES or RDKit refuses (its symbols, valences or aromatic rings), one with a space,
    one without heavy atoms or with more than MOST_ATOMS, and several fragments, which would be a mixture. Messages of
    RDKit are not shown.

    Raises:
        PluginError, ValueError: as `require`.
    """
    require(representation)
    from rdkit import rdBase

    read = _of_selfies if representation == "selfies" else _of_smiles
    with rdBase.BlockLogs():
        return [read(text) for text in texts]


@lru_cache(maxsize=100_000)
def canonical_smiles(text: str, representation: str) -> str:
    """Return the SMILES that RDKit writes for a molecule, however its text is written; empty if it is none.

    Raises:
        PluginError, ValueError: as `require`.
    """
    from rdkit import Chem

    (molecule,) = molecules([text], representation)
    return "" if molecule is None else Chem.MolToSmiles(molecule)


def are_molecules(texts: Sequence[str], representation: str) -> list[bool] | None:
    """Return whether each text is a molecule, as `molecules` decides; None without the packages that can tell."""
    try:
        return [molecule is not None for molecule in molecules(texts, representation)]
    except PluginError:
        return None


def _of_selfies(text: str) -> Any:
    from selfies import DecoderError, decoder

    try:
        return _of_smiles(str(decoder(text)))
    except DecoderError:
        return None


def _of_smiles(text: str) -> Any:
    from rdkit import Chem

    if not text.isascii() or text.split() != [text]:  # after a space RDKit reads a name, and labels to draw
        return None
    molecule = Chem.MolFromSmiles(text)
    if molecule is None or not 1 <= molecule.GetNumHeavyAtoms() <= MOST_ATOMS:
        return None
    return molecule if len(Chem.GetMolFrags(molecule)) == 1 else None


def representation_of(symbols: Sequence[str]) -> str:
    """Return the representation of texts of these symbols: SELFIES have brackets around every symbol."""
    return "selfies" if all(s == "." or s[0] + s[-1] == "[]" for s in symbols) else "smiles"
