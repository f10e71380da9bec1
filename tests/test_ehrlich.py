"""Ehrlich functions as a data set and a task: the published package's scores, an exact entropy, an optimum of 1."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lso_bench.errors import UsageError
from lso_bench.task import TASKS
from lso_bench.vae import data
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.ehrlich_function import SYMBOLS, EhrlichFunction, stationary
from lso_bench.vae.torch_draws import TorchDraws

# Scores of `Ehrlich` of pytorch-holo 0.0.5 with PyTorch 2.13, by its settings; None: not feasible, -inf there.
PUBLISHED = {
    EhrlichFunction(): {
        "KKRRNeOVVVccNOOcNNNQaaGGHYYYYYYY": 1.0,
        "KKRRNeOVVVccNOOcNNNQQaGGHYYYYYYY": 0.75,
        "KKRRNeOVVVccNOOcNRNVaaGGPYYYYYYY": 0.5625,
        "KKWRFeOVVVccNOOcNNNQaaGFHYYYDYYY": 0.5,
        "KKRRNMOVVVccNOOcMNNQacGGHeYYYYYY": 0.421875,
        "KKRRNeJVVVccNOOcNNNQaaGPJYYYYYYY": None,
    },
    EhrlichFunction(states=20, length=15, motifs=2, quantization=2, epistasis=1.5, seed=3): {
        "KNNPPCJAARRFFFF": 1.0,
        "KNNPPCLAARRFFFF": 0.3125,
        "JABKFJABKNLAOJA": 0.09765625,
        "AKNLAOIJCJCJTSP": 0.0,
        "DNNPPCBAMRRFFFF": None,
    },
    EhrlichFunction(length=64, motifs=2, motif_length=6, quantization=3, seed=1): {
        "ccccccccVVVVVVBBBBBBOORRRRRRRRdMMMMMMMMMMMWWSSSSSSSSKKKVVVVLLLLL": 1.0,
        "ccccccccVVVVVVBBBBBBOOTRRRRRRRdMMMMMMMMMMMWWSSScSSSSKKKVVVVLLLLL": 0.6666666865348816,
        "XcccOcccVVVVVVBBBBBBOOWRRRRRRRdMMMZOMMMMMMWWSKSSSSSSKKKVVVVZLVcL": 0.444444477558136,
        "CGWCGWVeMJKEdScTZLRUdRdSHJcJcOVKFcVBMGVLPLfUVKOLVCWMGWKRdJIEDYIL": 0.222222238779068,
        "PFdScMCTBMJNPNXYLdVcTZLYdEbfLLRUdEfTZLdUQaCTZLYdVBMHfUNeMJcTCGRH": 0.111111119389534,
        "ccccccacVVVVVVBBBBBBOORdXRRRRRdMVMMMMRMMMMWWSSSSSSSSAKKVVVVLLLLL": None,
    },
}
SMALL = EhrlichFunction(states=4, length=5, motifs=1, motif_length=2, seed=1)
SETTINGS = [*PUBLISHED, SMALL, *(EhrlichFunction(states=12, length=24, motifs=3, seed=s) for s in range(5))]


@pytest.mark.parametrize("function", PUBLISHED)
def test_scores_are_those_of_the_published_package(function):
    scores = function.scores([*PUBLISHED[function]])
    assert scores == [None if s is None else pytest.approx(s, abs=1e-7) for s in PUBLISHED[function].values()]


def test_draws_are_those_of_torch():
    n, draws, generator = 44, TorchDraws(5), torch.Generator().manual_seed(5)  # a block of normal numbers is not full
    np.testing.assert_array_equal(draws.uniform(n), torch.rand(n, generator=generator))
    np.testing.assert_allclose(draws.normal(n), torch.randn(n, generator=generator), atol=2e-6)
    np.testing.assert_array_equal(draws.permutation(n), torch.randperm(n, generator=generator))
    expected = [0.03470345586538315, 0.3379095792770386, 1.4824306964874268]  # by PyTorch 2.13
    np.testing.assert_allclose(TorchDraws(3).exponential(3), expected, rtol=1e-6)


@pytest.mark.parametrize("function", SETTINGS)
def test_optimum_of_1_is_attained_by_a_feasible_sequence(function):
    solution = function.solution()[None]
    assert function.feasible(solution).all() and function.values(solution) == [1]


@pytest.mark.parametrize("function", SETTINGS)
def test_no_score_is_outside_0_and_1(function):
    rng = np.random.default_rng(0)
    values = function.values(
        np.concatenate([function.draw(300, rng), rng.integers(0, function.states, (300, function.length))])
    )
    assert values.min() >= 0 and values.max() <= 1


def test_entropy_is_that_of_all_sequences():
    every = np.array([*itertools.product(range(4), repeat=5)])
    chances = stationary(SMALL.parts.transitions)[every[:, 0]]
    chances = chances * SMALL.parts.transitions[every[:, :-1], every[:, 1:]].prod(1)
    assert chances.sum() == pytest.approx(1) and (chances > 0).sum() == SMALL.feasible(every).sum() < 1024
    assert SMALL.entropy == pytest.approx(-sum(p * math.log(p) for p in chances if p), rel=1e-12)


def test_draws_are_in_proportion_to_their_probability():
    n, every = 40_000, np.array([*itertools.product(range(4), repeat=5)])
    chances = stationary(SMALL.parts.transitions)[every[:, 0]]
    chances = chances * SMALL.parts.transitions[every[:, :-1], every[:, 1:]].prod(1)
    counts = np.bincount(SMALL.draw(n, np.random.default_rng(0)) @ 4 ** np.arange(5)[::-1], minlength=1024)
    seen, often = chances > 0, n * chances > 5
    assert (counts[~seen] == 0).all() and often.sum() > 100
    statistic = ((counts - n * chances) ** 2)[often] / (n * chances)[often]
    assert statistic.sum() < often.sum() + 4 * math.sqrt(2 * often.sum())  # about chi-square, its mean and deviation


def test_stationary_distribution_stays_as_it_is():
    transitions = EhrlichFunction().parts.transitions
    chances = stationary(transitions)
    np.testing.assert_allclose(chances @ transitions, chances, atol=1e-14)
    assert chances.min() > 0 and chances.sum() == pytest.approx(1)


def test_data_are_feasible_sequences_of_full_length_and_stay_the_same():
    source = DATASETS.build("ehrlich")
    stored = source.samples(Path())
    assert stored.shape == (50_000, 32) and stored.min() == 1 and stored.max() == 32
    assert None not in source.function().scores(source.texts(stored[:2000]))
    assert data.load("ehrlich").sha256.startswith("aedb1ea0eb2a3dbc")  # as models were trained on


def test_entropy_of_the_data_is_56_92_nats():
    assert DATASETS.build("ehrlich").entropy == pytest.approx(56.918, abs=5e-4)


def test_data_of_a_task_are_those_of_its_chain():
    assert DATASETS.canonical(TASKS.build("ehrlich").data) == "ehrlich"
    task = TASKS.build("ehrlich:states=20,length=15,motifs=2,quantization=2,epistasis=0.5,seed=3,count=100")
    assert DATASETS.canonical(task.data) == "ehrlich:states=20,length=15,motifs=2,seed=3,count=100"


@pytest.mark.parametrize("text", ["", "A", "KKRRNeOVVVccNOOcNNNQaaGGHYYYYYY", "K" * 33, "9" * 32])
def test_text_of_another_length_or_of_unknown_symbols_is_invalid(text):
    assert EhrlichFunction().scores([text, "KKRRNeOVVVccNOOcNNNQaaGGHYYYYYYY"]) == [None, 1]


def test_valid_texts_of_the_data_are_those_that_have_a_score():
    data = DATASETS.build("ehrlich:count=20")
    texts = [*data.texts(data.samples(Path())), "A", ""]
    assert data.valid(texts) == [True] * 20 + [False] * 2


def test_no_text_has_no_score():
    assert EhrlichFunction().scores([]) == []


def test_epistasis_lowers_what_is_partly_present():
    partly = "KKRRNeOVVVccNOOcNNNQQaGGHYYYYYYY"  # one symbol of 16 is wrong
    for factor in (0.0, 1.0, 4.0):
        score = EhrlichFunction(epistasis=factor).scores([partly])
        assert score == [pytest.approx(0.75 * (1 - factor * 0.75 * 0.25))]  # source: the package's `_cubic_response`


WRONG = {
    "states=3": "states: wanted 4 or more, got 3",
    "states=63": "states: wanted 62 or less, got 63",
    "length=15": "length: wanted 16 or more, got 15",
    "motif_length=1": "motif_length: wanted 2 or more, got 1",
    "motifs=0": "motifs: wanted 1 or more, got 0",
    "seed=-1": "seed: wanted 0 or more, got -1",
    "count=19": "count: wanted 20 or more, got 19",
}


@pytest.mark.parametrize("settings", WRONG)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match=WRONG[settings]):
        DATASETS.build(f"ehrlich:{settings}")


@pytest.mark.parametrize("settings", ["quantization=3", "quantization=5", "quantization=-1", "epistasis=4.1"])
def test_settings_of_a_task_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match=f"{settings.partition('=')[0]}: wanted"):
        TASKS.build(f"ehrlich:{settings}")


def test_symbols_are_distinct_characters():
    assert len(set(SYMBOLS)) == len(SYMBOLS) == 62
