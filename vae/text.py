"""Texts of others, made harmless before they are shown."""

import sys
from contextlib import suppress


def printable(text: str) -> str:
    """The text without what a terminal obeys or nobody sees (control characters, turns of the direction of writing):
    each such character, but for the end of a line, is replaced by U+FFFD.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def remark(line: str) -> None:
    """Print a line on stderr, where there is one."""
    with suppress(OSError, ValueError, AttributeError):  # closed, full or a broken pipe: nothing depends on a remark
        print(printable(line), file=sys.stderr, flush=True)
