"""SELFIES of molecules, by the package selfies, which is imported when the first are wanted."""

from collections.abc import Iterable

from lso_bench.errors import UnusableError


def selfies(smiles: Iterable[str]) -> list[str]:
    """Return the SELFIES of molecules that are given as SMILES.

    Raises:
        UnusableError: the package selfies is not installed.
        ValueError: a molecule has no SELFIES; names it.
    """
    try:
        from selfies import EncoderError, encoder
    except ImportError as error:
        raise UnusableError("SELFIES need the package selfies: pip install 'lso-bench[molecules]'.") from error
    texts = []
    for molecule in smiles:
        try:
            texts.append(encoder(molecule))
        except EncoderError as error:
            raise ValueError(f"wanted a molecule that SELFIES have, got {molecule[:80]!r}") from error
    return texts
