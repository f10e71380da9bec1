"""Nearest molecule of many by the Tanimoto similarity of fingerprints, which are kept in the user's cache."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lso_bench.files.cache import cached
from lso_bench.files.remarks import remark
from lso_bench.molecules.reading import canonical_smiles, molecules, require

BITS = 2048
MANY = 10_000  # rows whose fingerprints are worth keeping: they take 3 s
PART = 1_000  # molecules in memory at once


def tanimoto_to_nearest(
    texts: Sequence[str], rows: Sequence[str], representation: str = "smiles"
) -> list[tuple[str, float]]:
    """Return the row nearest to each text and their similarity in [0, 1]: Tanimoto's, of ECFP4 with 2,048 bits.

    Of several such rows it is the same molecule where there is one, else the first. A text that is no molecule has no
    nearest row: ("", 0). The fingerprints of 200,000 rows take a minute, once; after that they are read in a second,
    and a text takes 20 ms.

    Raises:
        PluginError, ValueError: as `lso_bench.molecules.reading.require`.
    """
    require(representation)
    from rdkit.DataStructs import BulkTanimotoSimilarity

    table, nearest = _table(tuple(rows), representation) if rows else [], []
    for text, fingerprint in zip(texts, map(_vector, fingerprints(texts, representation)), strict=True):
        if not table or not fingerprint.GetNumOnBits():
            nearest.append(("", 0.0))
            continue
        similarities = np.array(BulkTanimotoSimilarity(fingerprint, table))
        equal = [rows[i] for i in np.flatnonzero(similarities == 1).tolist()]  # only these may be the same molecule
        row = _same_molecule(text, equal, representation) or rows[int(similarities.argmax())]
        nearest.append((row, float(similarities.max())))
    return nearest


def _same_molecule(text: str, rows: Sequence[str], representation: str) -> str:
    """Return the first row that is the molecule of a text; empty if there is none."""
    molecule = canonical_smiles(text, representation)
    return next((row for row in rows if canonical_smiles(row, representation) == molecule), "")


def fingerprints(texts: Sequence[str], representation: str) -> UInt8[np.ndarray, "n b"]:
    """Return the bits of the ECFP4 of each text, eight a byte; zeros for a text that is no molecule."""
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BitVectToBinaryText

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    bits = np.zeros((len(texts), BITS // 8), np.uint8)
    for start in range(0, len(texts), PART):
        for i, molecule in enumerate(molecules(texts[start : start + PART], representation), start):
            if molecule is not None:
                bits[i] = np.frombuffer(BitVectToBinaryText(generator.GetFingerprint(molecule)), np.uint8)
    return bits


def count_fingerprints(texts: Sequence[str], representation: str) -> UInt8[np.ndarray, "n b"]:
    """Return how often each part of radius 2 or less occurs, folded into 2,048 counts, at most 255 each.

    They are zeros for a text that is no molecule.

    Raises:
        PluginError, ValueError: as `lso_bench.molecules.reading.require`.
    """
    require(representation)
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    counts = np.zeros((len(texts), BITS), np.uint8)
    for row, molecule in zip(counts, molecules(texts, representation), strict=True):
        if molecule is not None:
            row[:] = generator.GetCountFingerprintAsNumPy(molecule).clip(max=255)
    return counts


@lru_cache(maxsize=1)
def _table(rows: tuple[str, ...], representation: str) -> list[Any]:
    """Return the fingerprints of rows."""
    if len(rows) < MANY:
        return [*map(_vector, fingerprints(rows, representation))]
    return [*map(_vector, cached(_name(rows, representation), lambda: _new(rows, representation), shape=(BITS // 8,)))]


def _new(rows: tuple[str, ...], representation: str) -> UInt8[np.ndarray, "n b"]:
    remark(f"The fingerprints of {len(rows):,} molecules are computed, once; they are kept in the cache.")
    return fingerprints(rows, representation)


def _name(rows: tuple[str, ...], representation: str) -> str:
    """Return a name of the fingerprints of rows, as this version of RDKit computes them."""
    from rdkit import __version__

    content = "\n".join((__version__, representation, *rows))
    return f"fingerprints-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _vector(bits: UInt8[np.ndarray, " b"]) -> Any:
    from rdkit.DataStructs import CreateFromBinaryText

    return CreateFromBinaryText(bits.tobytes())  # pyright: ignore[reportArgumentType], it takes bytes
