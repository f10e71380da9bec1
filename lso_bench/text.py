"""Texts that come out of files, made harmless for a terminal, a spreadsheet and a file."""

from collections.abc import Sequence

from lso_bench.vae.text import printable

__all__ = ["neutral", "one_line", "printable", "some", "storable"]

LONGEST = 20_000  # characters of a message that is kept
NAMED = 10  # lines of a kind that are shown; the others are counted


def storable(text: str) -> str:
    """The text as a file can keep it: without half characters, and of a very long one the beginning and the end."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
    return text.encode("utf-8", "replace").decode()


def file_part(text: str, longest: int = 60) -> str:
    """The beginning of a text as a part of a file's name: of its bytes, which file systems count."""
    plain = "".join(c if c.isalnum() or c in "._-" else "+" for c in text)
    return plain.encode("utf-8", "replace")[:longest].decode(errors="ignore")


def one_line(text: str, longest: int | None = None) -> str:
    """The printable text in one line, of which a longer one ends in an ellipsis."""
    shown = printable(text if longest is None else text[: longest + 1]).replace("\n", " ")
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def neutral(text: str) -> str:
    """The printable text, after a quote where a spreadsheet would run it as a formula; numbers are left.

    Source: OWASP, "CSV Injection".
    """
    runs = text.lstrip().startswith(("=", "+", "-", "@")) and not _is_number(text)
    return "'" * runs + printable(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def some(lines: Sequence[str]) -> list[str]:
    """So many lines of one kind that they can be read, and the number of the others."""
    rest = len(lines) - NAMED
    return [*lines[:NAMED], *([f"... and {rest:,} like these"] if rest > 0 else [])]
