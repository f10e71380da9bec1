"""Values of expressions in x, and their distance from a target; expressions are read, never executed."""

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from lso_bench.vae.grammar import LEAVES, OPENINGS, OPERATORS, SYMBOLS, TOKEN

POINTS = np.linspace(-10, 10, 1000)
WORST = 1000.0  # largest mean squared error that counts; source: weighted retraining (Tripp et al. 2020), its code
FEW = 50  # of so many points one is looked at first
CHUNK = 2000  # expressions evaluated at once at few points, to bound memory
FULL_CHUNK = 250  # at all points
PARTS = re.compile("|".join(re.escape(s) for s in sorted(SYMBOLS, key=len, reverse=True)) + "|(?s:.)")
CLOSE, PLUS, TIMES = TOKEN[")"], TOKEN["+"], TOKEN["*"]


def are_expressions(tokens: UInt8[np.ndarray, "n t"]) -> Bool[np.ndarray, " n"]:
    """Return whether each row is an expression with ends alone after it."""
    n = len(tokens)
    depth, complete, right = np.zeros(n, int), np.zeros(n, bool), np.ones(n, bool)  # complete: after an operand
    for column in tokens.T:
        end, close, opening = column == 0, column == CLOSE, np.isin(column, OPENINGS)
        after_operand = end | close | np.isin(column, OPERATORS)
        depth += opening.astype(int) - close
        right &= (complete == after_operand) & (depth >= 0)
        complete = close | end | np.isin(column, LEAVES)
    ended = (tokens[:, :-1] == 0) <= (tokens[:, 1:] == 0)
    return right & complete & (depth == 0) & ended.all(1)


def are_expression_texts(texts: Sequence[str]) -> list[bool]:
    """Return whether each text is an expression."""
    return are_expressions(_tokens(texts)).tolist()


def values(tokens: UInt8[np.ndarray, "n t"], x: Float[np.ndarray, " p"]) -> Float64[np.ndarray, "n p"]:
    """Return the values of expressions at the points x; * and / bind before + and from the left.

    Values may be infinite or no number.
    """
    with np.errstate(all="ignore"):
        machine = _Machine(tokens, x)
        for column in tokens.T:
            for token in np.unique(column):
                machine.take(int(token), np.flatnonzero(column == token))
    return machine.level_values(np.arange(len(tokens)))


def scores(tokens: UInt8[np.ndarray, "n t"], target: Float[np.ndarray, " p"]) -> Float64[np.ndarray, " n"]:
    """Return -log(1 + min(mean squared error, 1000)) of expressions against values at `POINTS`; 0 is best.

    Source: Kusner et al. 2017, section 5, with the limit of later work.
    """
    with np.errstate(all="ignore"):
        error = np.square(values(tokens, POINTS) - target).mean(1)
    return -np.log1p(np.fmin(error, WORST))  # fmin: an error that is no number is the largest


def expression_scores(texts: Sequence[str], target: str = "1/3+x+sin(x*x)") -> list[float | None]:
    """Return -log(1 + min(mean squared error, 1000)) of texts from a target, on 1,000 points from -10 to 10.

    None stands for a text that is no expression.

    Raises:
        ValueError: the target is no expression, or not finite at all points.
    """
    tokens, aim = _tokens(texts), _tokens([target])
    valid, result = are_expressions(tokens), np.full(len(texts), None)
    if not are_expressions(aim)[0] or not np.isfinite(aims := values(aim, POINTS)[0]).all():
        raise ValueError(f"wanted an expression that is finite from -10 to 10, as 1/3+x+sin(x*x), got {target[:80]!r}")
    for part in np.array_split(np.flatnonzero(valid), 1 + len(texts) // FULL_CHUNK):
        result[part] = scores(tokens[part], aims)
    return result.tolist()


def _tokens(texts: Sequence[str]) -> UInt8[np.ndarray, "n t"]:
    """Return the tokens of texts of any length; ends alone for a text with an unknown symbol."""
    rows = [[TOKEN.get(part, 0) for part in PARTS.findall(text)] for text in texts]
    tokens = np.zeros((len(rows), 1 + max(map(len, rows), default=0)), np.uint8)
    for row, numbers in zip(tokens, rows, strict=True):
        row[: len(numbers)] = numbers if all(numbers) else 0
    return tokens


def exceeds(tokens: UInt8[np.ndarray, "n t"], target: Float[np.ndarray, " p"], bound: float) -> Bool[np.ndarray, " n"]:
    """Return whether the `scores` of expressions are above a bound, of which few points decide for most."""
    allowed, above = math.expm1(-bound) * len(POINTS), np.zeros(len(tokens), bool)  # sum of squared errors
    for part in np.array_split(np.arange(len(tokens)), 1 + len(tokens) // CHUNK):
        with np.errstate(all="ignore"):
            errors = np.square(values(tokens[part], POINTS[::FEW]) - target[::FEW]).sum(1)
        near = part[errors <= allowed]
        above[near] = scores(tokens[near], target) > bound
    return above


class _Machine:
    """State of the evaluation of expressions, a level for each open parenthesis of an expression."""

    def __init__(self, tokens: UInt8[np.ndarray, "n t"], x: Float[np.ndarray, " p"]):
        levels = 1 + int(np.isin(tokens, OPENINGS).sum(1).max(initial=0))
        self.leaves = dict(zip(LEAVES, (x, 1.0, 2.0, 3.0), strict=True))
        self.depth = np.zeros(len(tokens), int)
        self.sums = np.zeros((levels, len(tokens), len(x)))  # of the terms before the last
        self.products = np.zeros((levels, len(tokens), len(x)))  # the last term so far
        self.operator = np.full((levels, len(tokens)), PLUS)  # before the next factor
        self.opening = np.zeros((levels, len(tokens)), int)

    def take(self, token: int, rows: np.ndarray) -> None:
        """Take the same next token in some rows."""
        if token in OPERATORS:
            self.operator[self.depth[rows], rows] = token
        elif token in OPENINGS:
            self.depth[rows] += 1
            level = self.depth[rows], rows
            self.sums[level], self.products[level], self.operator[level], self.opening[level] = 0, 0, PLUS, token
        elif token == CLOSE:
            closed, opening = self.level_values(rows), self.opening[self.depth[rows], rows][:, None]
            self.depth[rows] -= 1
            sine, power = opening == TOKEN["sin("], opening == TOKEN["exp("]
            self._operand(rows, np.where(sine, np.sin(closed), np.where(power, np.exp(closed), closed)))
        elif token in LEAVES:
            self._operand(rows, self.leaves[token])

    def level_values(self, rows: np.ndarray) -> Float64[np.ndarray, "r p"]:
        """Return the values of the innermost open parentheses."""
        level = self.depth[rows], rows
        return self.sums[level] + self.products[level]

    def _operand(self, rows: np.ndarray, operand: np.ndarray | float) -> None:
        level = self.depth[rows], rows
        product, operator = self.products[level], self.operator[level][:, None]
        self.sums[level] += np.where(operator == PLUS, product, 0)
        factor = np.where(operator == TIMES, product * operand, product / operand)
        self.products[level] = np.where(operator == PLUS, operand, factor)
