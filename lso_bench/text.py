"""Texts that come out of files, made harmless for a terminal and for a spreadsheet."""

import unicodedata

UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, line and paragraph separators
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the direction of what follows


def printable(text: str) -> str:
    """The text without what a terminal obeys: each such character, but for the end of a line, is replaced by \ufffd."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _obeyed(c) else c for c in text)


def neutral(text: str) -> str:
    """The printable text, after a quote where a spreadsheet would run it as a formula; numbers are left.

    Source: OWASP, "CSV Injection".
    """
    runs = text.lstrip().startswith(("=", "+", "-", "@")) and not _is_number(text)
    return "'" * runs + printable(text)


def _obeyed(c: str) -> bool:
    return c != "\n" and (unicodedata.category(c) in UNSHOWN or c in TURNING)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
