"""Texts of unknown origin, made harmless for a terminal, a spreadsheet and a file."""

from collections.abc import Sequence

LONGEST = 20_000  # characters of a stored message
SHOWN = 10  # lines of a kind that are shown; further ones are counted


def printable(text: str) -> str:
    """Return the text with each control or invisible character replaced by U+FFFD, except line ends.

    Such characters can control a terminal or change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def storable(text: str) -> str:
    """Return the text as a file can store it: without lone surrogates, and shortened in the middle if very long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
    return text.encode("utf-8", "replace").decode()


def file_part(text: str, longest: int = 60) -> str:
    """Return the beginning of a text as a part of a file name; `longest` counts bytes, as file systems do."""
    plain = "".join(c if c.isalnum() or c in "._-" else "+" for c in text)
    return plain.encode("utf-8", "replace")[:longest].decode(errors="ignore")


def one_line(text: str, longest: int | None = None) -> str:
    """Return the printable text in one line; a longer one ends in an ellipsis."""
    printed = printable(text if longest is None else text[: longest + 1]).replace("\n", " ")
    return printed if longest is None or len(printed) <= longest else f"{printed[: longest - 1]}…"


def neutral(text: str) -> str:
    """Return the printable text, after a quote if a spreadsheet would run it as a formula; numbers are unchanged.

    Source: OWASP, "CSV Injection".
    """
    is_formula = text.lstrip().startswith(("=", "+", "-", "@")) and not _is_number(text)
    return "'" * is_formula + printable(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def some(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and a line with the number of the remaining ones."""
    remaining = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"... and {remaining:,} like these"] if remaining > 0 else [])]
