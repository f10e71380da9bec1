"""One data set a file.

To add one, save a file here with one subclass of `ImageSource`, a frozen dataclass:

- its fields are the settings (`--data name:field=value`);
- `images(folder)` gives all images, in an order that never changes;
- the file's name is the data set's name.

Texts are a subclass of `TextSource`, with `length`, `symbols` and `samples(folder)`. Samples of another shape are a
subclass of `Source`, with `shape` and `samples(folder)`.

`lso-bench list data` then shows it, and the tests check it.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.files.sanitize import one_line
from lso_bench.plugins.registry import Registry
from lso_bench.vae.likelihoods import LIKELIHOODS

WRITTEN = "docs/bring-your-own.md, A file of texts, has a line that writes one."
COLUMN = f"Of a table one column is wanted, a text a line: {WRITTEN}"
SEQUENCES = f"Of FASTA the sequences are wanted, one a line, without the lines of >: {WRITTEN}"
OF_ARRAYS = ".npy"  # ending
ENDINGS = (OF_ARRAYS, ".smi", ".smiles", ".txt")  # of files of arrays and of texts, each of which is a data set
TO_ARRAYS = {  # what to do with other files of arrays, by their endings
    ".npz": "Of an archive one array is wanted: np.save('images.npy', np.load('images.npz')['images']).",
    ".pt": "Of a tensor an array is wanted: np.save('images.npy', torch.load('images.pt').numpy()).",
}
Split = tuple[Int[Tensor, " n"], Int[Tensor, " v"], Int[Tensor, " t"]]
Classes = tuple[tuple[str, ...], Int[Tensor, " n"]]  # names of the classes, and the class of each sample


class Source(ABC):
    """Source of the samples of a data set; a frozen dataclass whose fields are its settings."""

    likelihood: str = "bernoulli"  # of an element of a sample, a name of `lso_bench.vae.likelihoods`
    entropy: float | None = None  # nats, of one sample, where it is known: no -ELBO of a model is below it on average
    words: ClassVar[tuple[str, str]] = ("samples", "numbers")  # for samples, and for the elements of one
    published: ClassVar[str] = ""  # expected sha256 of the content of all samples, if they are published data
    ink: ClassVar[bool] = False  # whether images are ink on paper, which pictures show dark on white
    small: ClassVar[str] = ""  # settings of a part of it that is soon read, for a check of its files; empty: all

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one sample, as a model gets it."""

    @abstractmethod
    def samples(self, folder: Path) -> Shaped[np.ndarray, "n *stored"]:
        """Return all samples as they are stored; `folder` holds data sets that need files.

        They are grey levels 0..255 in uint8, numbers in float32, which stay as they are, or tokens in uint8.

        Raises:
            UnusableError: files are missing and cannot be downloaded, or are damaged.
        """

    def split(self, count: int, dealt: torch.Generator) -> Split:
        """Split `count` samples into train, validation and test (default: 80, 10, 10 percent, shuffled by `dealt`)."""
        tenth = count // 10
        train, valid, test = torch.randperm(count, generator=dealt).split([count - 2 * tenth, tenth, tenth])
        return train, valid, test

    def sha256(self, stored: Shaped[np.ndarray, "n *stored"]) -> str:
        """Compute the hash of all samples as they are stored, hexadecimal."""
        return hashlib.sha256(stored.tobytes()).hexdigest()

    def classes(self, folder: Path) -> Classes | None:
        """Return the names of the classes and the class of each sample, in order; None (the default) if unknown.

        Raises:
            UnusableError: files are missing or damaged.
        """
        return None


class ImageSource(Source):
    """Source of square grey images."""

    words = ("images", "pixels")
    size: int = 28  # pixels a side; a multiple of 4

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, self.size, self.size

    @abstractmethod
    def images(self, folder: Path) -> UInt8[np.ndarray, "n h w"]:
        """Return all images, grey, 0..255, ink = 255; `folder` holds data sets that need files.

        Bernoulli images are binarised; Gaussian ones stay grey.

        Raises:
            UnusableError: files are missing and cannot be downloaded, or are damaged.
        """

    def samples(self, folder: Path) -> Shaped[np.ndarray, "n 1 h w"]:
        return self.images(folder)[:, None]


class TextSource(Source):
    """Source of texts, sequences of tokens; token 0 is the end, and fills the places after it."""

    words = ("texts", "tokens")
    representation: str = ""  # of molecules, selfies or smiles; empty: the texts are none

    @property
    @abstractmethod
    def length(self) -> int:
        """Return the number of tokens of the longest text, without its end."""

    @property
    @abstractmethod
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols of the tokens 1, 2, ..., at most 255."""

    @property
    def likelihood(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"categorical:vocabulary={1 + len(self.symbols)}"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.length, 1 + len(self.symbols)

    @property
    def pattern(self) -> re.Pattern[str]:
        """Return a pattern of one symbol in a text, else of one character (default: the longest symbol that fits)."""
        return _longest_first(self.symbols)

    def tokens(self, texts: Sequence[str]) -> UInt8[np.ndarray, "n t"]:
        """Return the tokens of texts.

        Raises:
            ValueError: a text has a symbol that is unknown, or is too long or empty; names it.
        """
        rows, length, symbols = np.zeros((len(texts), self.length), np.uint8), self.length, self.symbols
        pattern, token = self.pattern, {symbol: i for i, symbol in enumerate(symbols, 1)}
        for row, text in zip(rows, texts, strict=True):
            parts = pattern.findall(text)
            numbers = [token.get(part, 0) for part in parts]
            if 0 in numbers:
                unknown = parts[numbers.index(0)]
                raise ValueError(f"wanted texts of {one_line(' '.join(symbols), 80)}, got {unknown!r} in {text[:80]!r}")
            if not 1 <= len(parts) <= length:
                raise ValueError(f"wanted 1 to {length} symbols, got {len(parts)} in {text[:80]!r}")
            row[: len(numbers)] = numbers
        return rows

    def texts(self, tokens: Shaped[np.ndarray, "n t"]) -> list[str]:
        """Return the texts of tokens, up to the first end."""
        ends = np.where((tokens == 0).any(1), (tokens == 0).argmax(1), tokens.shape[1])
        rows, symbols = zip(tokens.tolist(), ends.tolist(), strict=True), self.symbols
        return ["".join(symbols[token - 1] for token in row[:end]) for row, end in rows]

    def valid(self, texts: Sequence[str]) -> list[bool] | None:
        """Return whether each text is one that the data may hold; None (the default) if the data set cannot tell."""
        return None


@cache
def _longest_first(symbols: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(symbols, key=len, reverse=True))) + "|(?s:.)")


def _at_path(path: Path) -> Source:
    from lso_bench.vae.array_file import array_file  # which imports this module, as do
    from lso_bench.vae.image_folder import ImageFolder
    from lso_bench.vae.text_file import text_file

    if path.is_dir():
        return ImageFolder(path)
    return array_file(path) if path.suffix.lower() == OF_ARRAYS else text_file(path)


def _check(origin: Source) -> None:
    """Refuse a size or likelihood that no model has.

    Raises:
        ValueError: names it.
    """
    if isinstance(origin, ImageSource) and (origin.size % 4 or origin.size < 4):
        raise ValueError(f"wanted a size of 4, 8, 12, ... pixels a side, got {origin.size}.")
    try:
        LIKELIHOODS.build(origin.likelihood)
    except UsageError as error:
        raise ValueError(str(error)) from error


DATASETS = Registry(
    "data set",
    Source,
    __name__,
    "lso_bench.datasets",
    from_path=_at_path,
    endings=ENDINGS,
    file_advice=TO_ARRAYS
    | {e: COLUMN for e in (".csv", ".tsv")}
    | {e: SEQUENCES for e in (".fasta", ".fa", ".faa", ".fna")},
    check=_check,
)


def is_ink(name: str) -> bool:
    """Return whether images of a data set are drawn dark on white; a user's are drawn as they are.

    No code of a file that a result names is executed.
    """
    try:
        return DATASETS.runs_no_code(name) and DATASETS.build(name).ink
    except UsageError:
        return False  # a result from elsewhere may name anything
