"""Tokenizers: how texts are cut into symbols. Each is a pattern of one symbol."""

import re
from typing import Literal

Tokenizer = Literal["characters", "words", "smiles", "selfies"]
TOKENIZERS: dict[str, re.Pattern[str]] = {
    "characters": re.compile("(?s:.)"),
    "words": re.compile(r"\s*\S+"),  # with the space before them, so that the symbols of a text give it again
    # Atoms and bonds. Source: Schwaller et al. 2018, "Found in Translation" (arXiv 1711.04810), section 2.1.
    "smiles": re.compile(r"\[[^\]]+]|Br?|Cl?|[NOSPFI]|[bcnosp]|[()]|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9]"),
    "selfies": re.compile(r"\[[^\[\]]*\]|\."),
}


def symbols_of(text: str, tokenizer: str) -> list[str] | None:
    """Return the symbols of a text; None where it is not made of such symbols alone."""
    symbols = TOKENIZERS[tokenizer].findall(text)
    return symbols if "".join(symbols) == text else None
