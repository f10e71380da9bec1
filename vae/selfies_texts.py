"""SELFIES of molecules, by the package selfies, which is imported when the first are wanted."""

from collections.abc import Iterable

from lso_bench.errors import MissingError


def selfies(smiles: Iterable[str]) -> list[str]:
    """Return the SELFIES of molecules that are given as SMILES.

    Raises:
        MissingError: the package selfies is not installed.
        ValueError: a molecule cannot be written as SELFIES.
    """
    try:
        from selfies import EncoderError, encoder
    except ImportError as error:
        raise MissingError("SELFIES need the package selfies: pip install 'lso-bench[molecules]'.") from error
    texts = []
    for molecule in smiles:
        try:
            texts.append(encoder(molecule))
        except EncoderError as error:
            raise ValueError("no molecule that SELFIES can write") from error
    return texts
