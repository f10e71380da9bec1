"""SELFIES of molecules, by the package selfies, which is imported when the first are wanted."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from lso_bench.errors import MissingError
from lso_bench.files.cache import cached


def selfies(smiles: Sequence[str]) -> list[str]:
    """Return the SELFIES of molecules given as SMILES, without line ends; empty where one cannot be written so.

    Raises:
        MissingError: the package selfies is not installed.
    """
    encode = _encoder()
    return [encode(molecule) for molecule in smiles]


def kept_selfies(smiles: Sequence[str]) -> list[str]:
    """Return what `selfies` returns, from the cache where it has them; a quarter of a million take a minute.

    Raises:
        MissingError: as `selfies`.
    """
    if not smiles:
        return []
    digest = hashlib.sha256("\n".join((package_version(), *smiles)).encode()).hexdigest()
    make = lambda: np.frombuffer("\n".join(selfies(smiles)).encode(), np.uint8)[:, None]  # noqa: E731
    return cached(f"selfies-{digest[:16]}", make, shape=(1,)).tobytes().decode().split("\n")


def package_version() -> str:
    """Return the version of the package selfies, of which its texts may depend; empty if it is not installed."""
    try:
        return version("selfies")
    except PackageNotFoundError:
        return ""


def _encoder() -> Callable[[str], str]:
    try:
        from selfies import encoder
    except ImportError as error:
        raise MissingError("SELFIES need the package selfies: pip install 'lso-bench[molecules]'.") from error

    def encode(molecule: str) -> str:
        try:
            return encoder(molecule) or ""
        except Exception:  # beside its EncoderError the package may raise anything for what is no molecule
            return ""

    return encode
