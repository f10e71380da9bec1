"""Reconstruction of sequences: errors against closed forms, exact matches, gradients."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import random_vae
from made import measures, one

from lso_bench.report import tables
from lso_bench.runner.run import run
from lso_bench.spec import Spec
from lso_bench.tasks.expression_match import ExpressionMatch
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import save_model, sha256
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.likelihoods.categorical import Sequences
from lso_bench.vae.trained_model import Model

DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SOURCE = DATASETS.build(DATA)


def samples(*texts):
    """Texts as one-hot samples (n, 5, 12)."""
    return LIKELIHOODS.build(SOURCE.likelihood).model_input(torch.tensor(SOURCE.tokens(texts)))


def about(text, error="nats"):
    """The task whose only target is a text."""
    return ExpressionMatch(data=DATA, instances=1, error=error).bind(samples(text))


@pytest.mark.parametrize(
    ("text", "differing", "counted"),
    [("x+1", 0, 0), ("x+2", 1, 1), ("x", 2, 2), ("1*x", 3, 3), ("x+1*2", 2, 1)],  # what follows an end does not count
)
def test_error_of_decoded_tokens_is_2_or_69_nats_for_each_that_differs(text, differing, counted):
    x = samples(text)[None].double()
    assert about("x+1", "squared").score(x).item() == -2 * differing
    assert about("x+1").score(x).item() == pytest.approx(counted * math.log(1e-30))


def test_nats_are_the_log_probability_of_the_model():
    logits = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for text in ("x", "x+1", "x+1*2"):
        expected = Sequences(logits).log_prob(samples(text).double().expand(3, -1, -1))
        torch.testing.assert_close(about(text).score(logits.softmax(-1)[None])[0], expected)


def test_gradient_of_nats_is_that_of_a_sequence_in_which_other_tokens_do_not_count():
    x = torch.full((1, 1, 5, 12), 1 / 12, requires_grad=True)
    about("x+1").score(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0, 0, :4], 12 * samples("x+1")[0, :4])  # with the end
    assert not x.grad[0, 0, 4].any()


def test_exact_are_samples_whose_likeliest_tokens_are_those_of_the_target():
    near, far = 0.6 * samples("x+1") + 0.4 * samples("x+2"), 0.4 * samples("x+1") + 0.6 * samples("x+2")
    after = samples("x+1")
    after[0, 4] = samples("x")[0, 0]  # a token after the end
    x = torch.cat([samples("x+1", "x+1*2", "x"), near, far, after])[None]
    assert about("x+1").beside(x)["exact"].tolist() == [[1, 0, 0, 1, 0, 1]]


def test_targets_are_distinct_sequences_of_the_test_set_by_seed():
    test = samples(*SOURCE.texts(SOURCE.tokens(["x", "1", "2", "3", "x+1", "x*1", "x/1"])))
    drawn = [replace(ExpressionMatch(data=DATA, instances=5), seed=s).bind(test).targets() for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert len(torch.unique(drawn[0], dim=0)) == 5


@pytest.mark.parametrize("test", [torch.zeros(3, 1, 8, 8), torch.zeros(3, 2)])
def test_data_that_are_no_sequences_are_refused(test):
    with pytest.raises(ValueError, match="wanted a data set of sequences, got 'glyphs'"):
        ExpressionMatch(data="glyphs", instances=1).bind(test)


@pytest.fixture
def record(tmp_path):
    """The record of a search for three targets in an untrained model."""

    def recorded(searcher, decoding):
        arch, path = "gru:hidden=16,embedding=4", tmp_path / f"{searcher}.safetensors"
        save_model(path, random_vae(architecture(arch, 3, (5, 12), "categorical:vocabulary=12")), {"made": "by a test"})
        task = f'expression_match50:data="{DATA}",instances=3'
        how = {"max_steps": 30, "thresholds": (), "starts": ("random",), "region": "box:3", "decoding": decoding}
        return run(Spec(Model("vae", DATA, arch, 3), sha256(path), task, searcher, **how), path)

    return recorded


def test_adam_lowers_the_error_of_each_target_by_teacher_forcing(record):
    searches = record("adam", "teacher").members
    assert all(s.loss < s.first_loss - 0.01 for s in searches) and len(searches) == 3


@pytest.mark.parametrize("decoding", ["greedy", "sample"])
def test_searchers_without_gradients_search_decoded_tokens(record, decoding):
    searches = record("sobol", decoding).members
    assert all(s.loss == pytest.approx(-round(s.loss / 69.0776) * math.log(1e-30), rel=1e-5) for s in searches)
    assert all(s.beside["exact"] == (s.loss == 0) for s in searches)


def test_exact_matches_are_counted_as_a_share(record):
    recorded = record("sobol", "greedy")
    some = [replace(m, beside={"exact": float(i == 0)}) for i, m in enumerate(recorded.members)]
    measured = measures(replace(recorded, members=some))
    row = one(measured, "beside:exact")
    assert row["estimate"] == pytest.approx(1 / 3) and 0 < row["low"] < row["high"] < 1
    assert "exact: share" in tables.markdown(measured)
