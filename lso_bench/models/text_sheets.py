"""Sheets of latent traversals as texts, one a line."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import one_line

EMPTY = "(the empty text)"


def write(path: Path, title: str, labels: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write the texts of each row under its label; equal neighbours once, with their number."""
    lines = [title]
    for label, texts in zip(labels, rows, strict=True):
        lines += [f"  {label}", *_lines(texts)]
    write_atomic(path, "".join(f"{one_line(line)}\n" for line in lines).encode())
    return path


def _lines(texts: Sequence[str]) -> Iterator[str]:
    for text, equal in groupby(texts):
        times = len([*equal])
        yield f"    {text or EMPTY}" + f"  ({times} times)" * (times > 1)
