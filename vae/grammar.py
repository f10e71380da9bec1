"""Grammar of expressions in x: exact counts, and uniform draws from them.

S -> S + T | S * T | S / T | T, and T -> (S) | sin(S) | exp(S) | x | 1 | 2 | 3. Source: Kusner et al. 2017, "Grammar
Variational Autoencoder", section 5. The grammar is unambiguous, so that derivations are expressions. Their size is the
number of rules of the derivation.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

SYMBOLS = ("x", "1", "2", "3", "+", "*", "/", "(", ")", "sin(", "exp(")  # of the tokens 1, 2, ...; token 0 is the end
TOKEN = {symbol: i for i, symbol in enumerate(SYMBOLS, 1)}
LEAVES, OPERATORS, OPENINGS = ([TOKEN[s] for s in kind] for kind in ("x123", "+*/", ("(", "sin(", "exp(")))
FIRST = 1 + len(SYMBOLS)  # number of the first nonterminal in a row of tokens
MOST_RULES = 25  # beyond it counts exceed 2**53, and a draw in double precision is not uniform
Rule = tuple[int, tuple[int, ...]]  # number of expressions, and the tokens and nonterminals that replace a nonterminal


def longest(rules: int) -> int:
    """Return the number of tokens of the longest expressions of at most so many rules, which are even in number."""
    return rules // 2 * 2 - 1


@cache
def count(kind: str, rules: int) -> int:
    """Return the number of expressions that a nonterminal, S or T, derives by exactly so many rules."""
    return sum(number for number, _ in _rules(kind, rules))


def count_up_to(rules: int) -> int:
    """Return the number of expressions of at most so many rules."""
    return sum(count("S", r) for r in range(rules + 1))


def _code(kind: str, rules: int) -> int:
    """Return the number that stands for a nonterminal in a row of tokens."""
    return FIRST + 2 * rules + (kind == "T")


def _rules(kind: str, rules: int) -> list[Rule]:
    """Return the rules for a nonterminal that derives an expression by exactly `rules` rules."""
    left = rules - 1  # for what the rule leaves
    if left < 0:
        return []
    if kind == "T":
        leaves = [(1, (t,)) for t in LEAVES if left == 0]
        return leaves + [(count("S", left), (t, _code("S", left), TOKEN[")"])) for t in OPENINGS if left]
    sums = [
        (count("S", a) * count("T", left - a), (_code("S", a), t, _code("T", left - a)))
        for t in OPERATORS
        for a in range(1, left)
    ]
    return [(count("T", left), (_code("T", left),)), *sums]


class _Tables(NamedTuple):
    """Rules of all tokens and nonterminals in one row; a token is replaced by itself."""

    begins: Int64[np.ndarray, " c"]  # of the expressions of each token and nonterminal, in the row of all
    counts: Int64[np.ndarray, " c"]  # of the expressions of each token and nonterminal
    ends: Int64[np.ndarray, " r"]  # of the expressions of each rule, in the row of all
    replacements: UInt8[np.ndarray, "r 3"]
    lengths: Int64[np.ndarray, " r"]


@cache
def _tables(rules: int) -> _Tables:
    tokens = [[(1, (t,))] for t in range(FIRST)]
    choices = [*tokens, *(_rules(kind, r) for r in range(rules + 1) for kind in "ST")]
    counts = np.array([sum(number for number, _ in c) for c in choices])
    flat = [rule for c in choices for rule in c]
    return _Tables(
        np.cumsum(counts) - counts,
        counts,
        np.cumsum([number for number, _ in flat]),
        np.array([(*into, 0, 0)[:3] for _, into in flat], np.uint8),
        np.array([len(into) for _, into in flat]),
    )


def draw(rules: int, n: int, rng: np.random.Generator) -> UInt8[np.ndarray, "n t"]:
    """Draw expressions of at most `rules` rules, each with the same probability; ends fill a row.

    The first nonterminal of every row is replaced, in all rows at once, by a rule that is drawn in proportion to the
    number of expressions that it leads to.
    """
    sizes = np.cumsum([count("S", r) for r in range(rules + 1)])
    rows = np.zeros((n, longest(rules)), np.uint8)
    rows[:, 0] = FIRST + 2 * np.searchsorted(sizes, _below(np.full(n, sizes[-1]), rng), side="right")
    for _ in range(rules):
        rows = _replaced(rows, _tables(rules), rng)
    return rows


def _replaced(rows: UInt8[np.ndarray, "n t"], tables: _Tables, rng: np.random.Generator) -> UInt8[np.ndarray, "n t"]:
    """Replace the first nonterminal of every row."""
    at = (rows >= FIRST).argmax(1)[:, None]  # 0 in a row of tokens alone
    codes = np.take_along_axis(rows, at, 1)[:, 0]
    rule = np.searchsorted(tables.ends, tables.begins[codes] + _below(tables.counts[codes], rng), side="right")
    length, columns = tables.lengths[rule][:, None], np.arange(rows.shape[1])[None]
    moved = np.take_along_axis(rows, np.maximum(columns - length + 1, 0), 1)
    inserted = np.take_along_axis(tables.replacements[rule], np.clip(columns - at, 0, 2), 1)
    return np.where(columns < at, rows, np.where(columns < at + length, inserted, moved))


def _below(limits: Int64[np.ndarray, " n"], rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """Draw a whole number from 0 to below each limit."""
    return np.minimum((rng.random(len(limits)) * limits).astype(np.int64), limits - 1)
