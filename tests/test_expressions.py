"""Expressions as a data set: exact counts, uniform draws, texts and tokens, values by the rules of arithmetic."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lso_bench.errors import UnusableError, UsageError
from lso_bench.vae import data
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.datasets.expressions import TARGET
from lso_bench.vae.expression_values import are_expressions, scores, values
from lso_bench.vae.grammar import LEAVES, SYMBOLS, TOKEN, count, count_up_to, draw, longest

COUNTS = {2: 4, 4: 60, 6: 1_044, 8: 19_980, 10: 407_268, 12: 8_675_100, 14: 190_837_620}


@pytest.fixture(scope="module")
def source():
    return DATASETS.build("expressions")


@pytest.fixture(scope="module")
def stored(source):
    return source.drawn()


def test_number_of_expressions_is_exact(source):
    assert {r: count("S", r) for r in COUNTS} == COUNTS and not any(count("S", r) for r in range(1, 16, 2))
    assert count_up_to(15) == 199_941_076 and source.entropy == pytest.approx(19.1135, abs=5e-5)


def smallest():
    """The 64 expressions of at most 4 rules, by hand: a leaf, two leaves and an operator, a leaf in parentheses."""
    leaves = ["x", "1", "2", "3"]
    pairs = [a + o + b for a, o, b in itertools.product(leaves, "+*/", leaves)]
    return [*leaves, *pairs, *(f"{o}{a})" for o in ("(", "sin(", "exp(") for a in leaves)]


def test_draws_are_uniform_over_the_smallest_expressions():
    n, small = 64_000, DATASETS.build("expressions:rules=4,count=20,bound=0")
    drawn = Counter(small.texts(draw(4, n, np.random.default_rng(0))))
    assert sorted(drawn) == sorted(smallest())
    assert sum((c - n / 64) ** 2 / (n / 64) for c in drawn.values()) < 104  # chi-square of 63: 0.999 quantile is 103.4


def test_sizes_of_draws_are_in_proportion_to_their_counts():
    n = 50_000
    rules = rules_of(draw(11, n, np.random.default_rng(0)))
    for r in (2, 4, 6, 8, 10):
        share = COUNTS[r] / count_up_to(11)
        assert abs((rules == r).sum() - n * share) < 4 * math.sqrt(n * share) + 1


def rules_of(tokens):
    """Number of rules of expressions: one for S -> T, each leaf, each operator, and two for parentheses."""
    leaves, openings = np.isin(tokens, LEAVES).sum(1), np.isin(tokens, [TOKEN[s] for s in ("(", "sin(", "exp(")]).sum(1)
    return 2 * (leaves + openings)


def test_data_are_distinct_expressions_and_stay_the_same(source, stored):
    assert stored.shape == (100_000, 13) and len(np.unique(stored, axis=0)) == 100_000 and longest(15) == 13
    assert are_expressions(stored).all()
    assert (source.samples(Path()) == stored).all()  # those in the cache
    assert data.load("expressions").sha256.startswith("e0be038847195f9e")  # as models were trained on


def test_texts_and_tokens_are_inverse(source, stored):
    assert (source.tokens(source.texts(stored)) == stored).all()
    assert source.texts(source.tokens(["1/3+x+sin(x*x)"])) == ["1/3+x+sin(x*x)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x+y", "wanted texts of x 1 .*, got 'y' in 'x\\+y'"),
        ("x + 1", "got ' '"),
        ("", "wanted 1 to 13 symbols, got 0"),
        ("x" * 14, "wanted 1 to 13 symbols, got 14"),
    ],
)
def test_text_that_is_none_of_the_data_is_refused(source, text, message):
    with pytest.raises(ValueError, match=message):
        source.tokens([text])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x", lambda x: x),
        ("1+x*2", lambda x: 1 + x * 2),
        ("(1+x)*2", lambda x: (1 + x) * 2),
        ("3/2/x", lambda x: 3 / 2 / x),
        ("3/2*x", lambda x: 1.5 * x),
        ("1/3+x+sin(x*x)", lambda x: 1 / 3 + x + np.sin(x * x)),
        ("x+sin(exp(1)+x)", lambda x: x + np.sin(np.e + x)),
        ("2*((x)/(x+1))", lambda x: 2 * x / (x + 1)),
        ("exp(exp(exp(x*3)))", lambda x: np.exp(np.exp(np.exp(np.minimum(x * 3, 8))))),  # infinite
    ],
)
def test_values_follow_the_rules_of_arithmetic(source, text, value):
    x = np.linspace(0.5, 3, 7)
    with np.errstate(over="ignore"):
        expected = value(x)
    np.testing.assert_allclose(values(source.tokens([text]), x)[0], expected, rtol=1e-12)


def test_score_is_that_of_the_literature(source):
    landmarks = {"1/3+x+sin(x*x)": 0, "1/2+x+sin(x*x)": -math.log1p(1 / 36), "x+sin(x*x)": -math.log1p(1 / 9)}
    worst = {"exp(exp(x))": -math.log1p(1000), "1/(x+3*3+1)": -math.log1p(1000)}  # infinite at x = -10
    expected = landmarks | worst
    np.testing.assert_allclose(scores(source.tokens(list(expected)), TARGET), list(expected.values()), atol=1e-12)


@pytest.mark.parametrize("text", ["+x", "x+", "(x", "x)", "xx", "()", "sin()", "x(1)", "1+)x("])
def test_rows_that_are_no_expressions_are_seen(source, text):
    assert not are_expressions(source.tokens([text]))[0]


def test_row_with_a_token_after_its_end_or_without_any_is_no_expression():
    x, opening = TOKEN["x"], TOKEN["("]
    rows = np.array([[x, 0, x], [0, 0, 0], [opening, 0, 0], [0, x, 0], [x, 0, 0]], np.uint8)
    assert are_expressions(rows).tolist() == [False, False, False, False, True]


def test_every_row_of_three_tokens_is_judged_as_the_grammar_does():
    rows = np.array([*itertools.product(range(1 + len(SYMBOLS)), repeat=3)], np.uint8)
    valid = DATASETS.build("expressions:rules=4,count=20,bound=0").texts(rows[are_expressions(rows)])
    assert sorted(valid) == sorted(smallest())


def test_draws_above_the_bound_are_left_out(source):
    strict = DATASETS.build("expressions:count=3000,bound=-1")
    all_of_them = DATASETS.build("expressions:count=3000,bound=0")
    assert scores(strict.samples(Path()), TARGET).max() <= -1 < scores(all_of_them.samples(Path()), TARGET).max()
    near = source.tokens(["1/3+x+sin(x*x)", "1/2+x+sin(x*x)", "x", "exp(exp(x))"])
    assert source.left_out(near).tolist() == [True, True, False, False]


@pytest.mark.parametrize("settings", ["rules=3", "rules=26", "count=19", "rules=4,count=33", "bound=0.1", "bound=-5.1"])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match=r"expressions.*wanted"):
        DATASETS.build(f"expressions:{settings}")


def test_bound_that_leaves_too_few_is_one_line():
    with pytest.raises(UnusableError, match=r"wanted 32 expressions that score at most -5, got \d+"):
        data.load("expressions:rules=4,count=32,bound=-5")
