"""Data set of a user's file of texts."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.remarks import remark
from lso_bench.molecules.reading import PACKAGES, are_molecules
from lso_bench.plugins.settings import at_least
from lso_bench.vae.datasets import SEQUENCES, Split, TextSource
from lso_bench.vae.selfies_texts import kept_selfies
from lso_bench.vae.tokenizers import TOKENIZERS, Tokenizer, symbols_of

OF_MOLECULES = (".smi", ".smiles")  # endings
CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # all but the tabulator
FEWEST = 100  # texts; of fewer, a tenth is too small a test set
MOST_SYMBOLS = 255  # different ones; with the end they fill a byte
LARGEST = 256 << 20  # bytes of a file
LONGEST_LINE = 100_000  # bytes
ROOM = 1 << 24  # most numbers of the validation and of the test part, which a model gets one-hot


class Fault(str):
    """Description of what is wrong with a line, in the place of its text."""


class Content(NamedTuple):
    """Texts of a file."""

    texts: list[str]  # distinct, in the order of their lines
    symbols: tuple[str, ...]  # different ones, sorted
    length: int  # symbols of the longest text
    left_out: str  # how many lines are left out, and why; empty: none is


@dataclass(frozen=True)
class TextFile(TextSource):
    """Texts of a file in UTF-8, one a line, each counted once; of a file of molecules the first word of a line.

    Lines that cannot be used are counted on stderr and left out. Blank lines do not count.
    """

    path: Path
    tokenizer: Tokenizer = "characters"
    most: int = 120  # symbols of a text; longer ones are left out

    def __post_init__(self):
        at_least(self, 1, "most", most=1000)

    @property
    def representation(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.tokenizer if self.tokenizer in PACKAGES else ""

    @property
    def length(self) -> int:
        return self._content().length

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._content().symbols

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(f"{TOKENIZERS[self.tokenizer].pattern}|(?s:.)")

    def samples(self, folder: Path) -> UInt8[np.ndarray, "n t"]:
        if left_out := self._content().left_out:
            remark(f"{self.path}: {left_out}.")
        return self.tokens(self._content().texts)

    def sha256(self, stored: UInt8[np.ndarray, "n t"]) -> str:
        """Compute the hash of all texts; tokens alone are the same in files of other symbols."""
        return hashlib.sha256(repr(self.symbols).encode() + stored.tobytes()).hexdigest()

    def valid(self, texts: Sequence[str]) -> list[bool] | None:
        return are_molecules(texts, self.tokenizer) if self.tokenizer in PACKAGES else None

    def split(self, count: int, dealt: torch.Generator) -> Split:
        part = min(count // 10, ROOM // prod(self.shape))
        train, valid, test = torch.randperm(count, generator=dealt).split([count - 2 * part, part, part])
        return train, valid, test

    def _content(self) -> Content:
        try:
            status = self.path.stat()
        except OSError as error:
            raise UnusableError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        return _read(self.path, self.tokenizer, self.most, (status.st_ino, status.st_size, status.st_mtime_ns))


def text_file(path: Path) -> TextFile:
    """Return the data set of a file, with the tokenizer of its ending."""
    return TextFile(path, "smiles" if path.suffix.lower() in OF_MOLECULES else "characters")


@lru_cache(maxsize=4)
def _read(path: Path, tokenizer: str, most: int, state: tuple[int, ...]) -> Content:
    """Read a file; `state` changes with its content.

    Raises:
        UnusableError: it cannot be read, has too few texts, or too many different symbols.
    """
    lines = _lines(path)
    texts, faults = _sorted_out(_texts(lines, path.suffix.lower() in OF_MOLECULES, tokenizer), tokenizer, most)
    left_out = _left_out(faults, len(lines))
    if len(texts) < FEWEST:
        raise UnusableError(
            f"{path}: wanted at least {FEWEST} texts, one a line, got {len(texts)}{left_out and '; '}{left_out}."
        )
    vocabulary = tuple(sorted({s for symbols in texts.values() for s in symbols}))
    if len(vocabulary) > MOST_SYMBOLS:
        raise UnusableError(
            f"{path}: wanted at most {MOST_SYMBOLS} different symbols, got {len(vocabulary):,} with "
            f"tokenizer={tokenizer}; choose another of {', '.join(TOKENIZERS)}, or leave out texts with rare ones."
        )
    return Content([*texts], vocabulary, max(map(len, texts.values())), left_out)


def _lines(path: Path) -> list[bytes]:
    try:
        content = safe_read.content(path, LARGEST)
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if b"\0" in content:
        raise UnusableError(f"{path} is a binary file, or in UTF-16; wanted texts in UTF-8, one a line.")
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    if _is_fasta(lines):
        raise UnusableError(f"{path} is a FASTA file: line 1 is a name. {SEQUENCES}")
    return lines


def _is_fasta(lines: list[bytes]) -> bool:
    """Return whether a file begins with a name of FASTA, above a line of a sequence."""
    first, second = [*lines, b"", b""][:2]
    return first.startswith(b">") and bool(second.strip()) and not second.startswith(b">")


def _texts(lines: list[bytes], of_molecules: bool, tokenizer: str) -> list[str]:
    """Return the text of each line, empty for a blank one, or a fault."""
    texts = [_text(line, of_molecules, tokenizer == "words") for line in lines]
    if not (of_molecules and tokenizer == "selfies"):
        return texts
    smiles = [text for text in texts if text and not isinstance(text, Fault)]
    written = dict(zip(smiles, kept_selfies(smiles), strict=True))
    return [written[text] or Fault("that SELFIES cannot write") if text in written else text for text in texts]


def _text(line: bytes, of_molecules: bool, of_words: bool) -> str:
    if len(line) > LONGEST_LINE:
        return Fault(f"longer than {LONGEST_LINE:,} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Fault("not in UTF-8")
    if CONTROL.search(text):
        return Fault("with control characters")
    words = text.split()[:1] if of_molecules else text.split() if of_words else [text.strip()]
    return " ".join(words)


def _sorted_out(texts: list[str], tokenizer: str, most: int) -> tuple[dict[str, list[str]], dict[str, list[int]]]:
    """Return the symbols of each distinct text, and the numbers of the lines of each fault."""
    symbols: dict[str, list[str]] = {}
    faults: dict[str, list[int]] = {}
    for number, text in enumerate(texts, 1):
        if fault := _fault(text, symbols, tokenizer, most):
            faults.setdefault(fault, []).append(number)
    return symbols, faults


def _fault(text: str, known: dict[str, list[str]], tokenizer: str, most: int) -> str:
    """Return what is wrong with a text; without a fault note its symbols under `known`."""
    if isinstance(text, Fault):
        return text
    if text in known:
        return "that stand twice"
    symbols = symbols_of(text, tokenizer)
    if symbols is None:
        return f"not of the symbols of {tokenizer}"
    if len(symbols) > most:
        return f"of more than {most} symbols"
    if symbols:
        known[text] = symbols
    return ""


def _left_out(faults: dict[str, list[int]], lines: int) -> str:
    """Return how many lines are left out, and of each kind of fault how many and the first; empty: none is."""
    kinds = [f"{len(numbers):,} {fault} (first: line {numbers[0]:,})" for fault, numbers in faults.items()]
    count = sum(map(len, faults.values()))
    return f"{count:,} of {lines:,} lines are left out: {', '.join(kinds)}" if kinds else ""
