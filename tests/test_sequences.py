"""Sequences from a data set to a search: networks that decode all tokens at once, objectives, training, runs."""

import math

import pytest
import torch
from conftest import random_vae

from lso_bench.errors import UsageError
from lso_bench.record import holds_images
from lso_bench.runner.run import run
from lso_bench.search.space import Space
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.vae import data
from lso_bench.vae.architectures import architecture
from lso_bench.vae.asking import terms_of
from lso_bench.vae.checkpoint import load_model
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.objectives import OBJECTIVES

DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SHAPE, LIKELIHOOD = (5, 12), "categorical:vocabulary=12"
TINY = "parallel:hidden=8,layers=1,embedding=3"


@pytest.fixture(scope="module")
def expressions():
    return data.load(DATA)


@pytest.fixture
def tiny():
    return random_vae(architecture(TINY, 3, SHAPE, LIKELIHOOD))


def test_networks_are_those_of_the_shape_of_the_data(tiny, expressions):
    source = DATASETS.build(DATA)
    assert (source.shape, source.likelihood) == (SHAPE, LIKELIHOOD)
    assert tiny.encode(expressions.test).mean.shape == (50, 3) and tiny.mean(torch.randn(2, 3)).shape == (2, *SHAPE)
    assert tiny.encoder[0].weight.shape == (3, 12) and tiny.decoder.main[-1].weight.shape == (12, 3)


def test_elbo_of_a_model_that_knows_nothing_is_the_mean_length_times_log_vocabulary(tiny, expressions):
    with torch.no_grad():
        for last in (tiny.encoder[-1], tiny.decoder.main[-1]):
            last.weight.zero_()
            last.bias.zero_()
    metrics, _ = evaluate(tiny, expressions.test, SampleSizes(samples=3, images=10, codes=20))
    lengths = (expressions.test[..., 0] == 0).sum(1) + (expressions.test[..., 0] == 1).any(1)  # with the end
    assert metrics.nelbo == pytest.approx(lengths.double().mean().item() * math.log(12), rel=1e-5)
    assert metrics.kl == pytest.approx(0, abs=1e-6) and metrics.decoder_use == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_objective_has_a_finite_gradient_on_sequences(name, tiny, expressions):
    objective = OBJECTIVES.build(name)
    tiny.train()
    terms_of(objective, tiny, expressions.test).loss(1.0).backward()
    gradients = [p.grad for p in tiny.decoder.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients) and any((g != 0).any() for g in gradients)


@pytest.mark.parametrize("arch", ["small", "conv"])
def test_networks_of_images_refuse_sequences(arch):
    with pytest.raises(UsageError, match="that of these data categorical:vocabulary=12; choose parallel or mlp"):
        architecture(arch, 3, SHAPE, LIKELIHOOD)


@pytest.mark.parametrize("embedding", ["0", "2000"])
def test_embedding_that_cannot_be_is_refused(embedding):
    with pytest.raises(UsageError, match="embedding: wanted a whole number from 1 to 1024"):
        architecture(f"parallel:embedding={embedding}", 3, SHAPE, LIKELIHOOD)


def test_greedy_decoding_gives_the_likeliest_tokens_up_to_the_end(tiny):
    z = torch.randn(2, 4, 3)
    x = Space(tiny, "greedy").decode(z)
    likeliest = tiny.decoder(z.flatten(0, 1)).argmax(-1)
    after = ((likeliest == 0).cumsum(-1) - (likeliest == 0).long()) > 0
    assert torch.equal(x.flatten(0, 1).argmax(-1), likeliest.masked_fill(after, 0)) and set(x.unique().tolist()) == {
        0,
        1,
    }
    assert torch.allclose(Space(tiny, "mean").decode(z).sum(-1), torch.ones(2, 4, 5))


def test_same_code_is_decoded_to_the_same_draw_in_a_search(tiny):
    space, z = Space(tiny, "sample", seed=3), torch.randn(1, 4, 3)
    assert torch.equal(space.decode(z), space.decode(z)) and (space.decode(z).sum(-1) == 1).all()


def test_trained_model_is_above_the_entropy_and_is_searched_for_sequences(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = call("train", "--model", "vae", "--arch", TINY, "--latent", 3, "--data", DATA, "--epochs", 2)
    assert ran.returncode == 0, ran.stderr
    vae, header = load_model(tmp_path / "checkpoints" / named_model("vae", DATA, TINY, 3, 0).file)
    assert vae.shape == SHAPE and header["metrics"]["nelbo"] > DATASETS.build(DATA).entropy
    assert header["history"][1]["nelbo"] < header["history"][0]["nelbo"]
    (mean,) = searched("adam", Protocol(max_steps=5))
    assert all(m.loss <= m.first_loss for m in mean.members)
    (greedy,) = searched("sobol", Protocol(budget=20, decoding="greedy"))
    decoded = greedy.tensors["decoded"]
    assert set(decoded.unique().tolist()) == {0, 255} and (decoded.sum(-1) == 255).all()  # one-hot
    assert {m.loss % 2 for m in greedy.members} == {0.0}  # two for each token that differs


def searched(searcher, protocol):
    grid = Grid(["vae"], [f'omniglot50:data="{DATA}",instances=3'], [searcher], arch=TINY, latent=3)
    records = [run(planned.spec, planned.checkpoint) for planned in plan(grid, protocol)]
    assert all(r.status == "ok" and not holds_images(r.tensors) for r in records)
    assert all(r.tensors["decoded"].shape[1:] == SHAPE for r in records)
    return records
