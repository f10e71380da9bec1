"""Texts of unknown origin, made harmless before they are shown."""

import sys
from contextlib import suppress


def printable(text: str) -> str:
    """Return the text with each control or invisible character replaced by U+FFFD, except line ends.

    Such characters can control a terminal or change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def remark(line: str) -> None:
    """Print a line on stderr, if there is one."""
    with suppress(OSError, ValueError, AttributeError):  # closed, full or a broken pipe: a remark is not essential
        print(printable(line), file=sys.stderr, flush=True)
