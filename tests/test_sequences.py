"""Sequences from a data set to a search: networks that decode all tokens at once, objectives, training, runs."""

import itertools
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
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.sampling import sample

DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SHAPE, LIKELIHOOD = (5, 12), "categorical:vocabulary=12"
TINY = "parallel:hidden=8,layers=1,embedding=3"
RECURRENT = "gru:hidden=8,embedding=3"
BOTH = pytest.mark.parametrize("arch", [TINY, RECURRENT])


@pytest.fixture(scope="module")
def expressions():
    return data.load(DATA)


def random(arch):
    return random_vae(architecture(arch, 3, SHAPE, LIKELIHOOD))


@pytest.fixture
def tiny():
    return random(TINY)


@pytest.fixture
def recurrent():
    return random(RECURRENT)


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


@BOTH
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_objective_has_a_finite_gradient_on_sequences(name, arch, expressions):
    vae = random(arch).train()
    terms_of(OBJECTIVES.build(name), vae, expressions.test).loss(1.0).backward()
    gradients = [p.grad for p in vae.decoder.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients) and any((g != 0).any() for g in gradients)


@BOTH
@pytest.mark.parametrize("name", ["nevae_se", "nevae_lp_0.1"])
def test_gradient_of_a_drawn_reconstruction_reaches_the_decoder(name, arch, expressions):
    vae = random(arch).train()
    penalty = OBJECTIVES.build(f"{name}:channel=draw")(vae, expressions.test).penalty.sum()
    gradients = torch.autograd.grad(penalty, list(vae.decoder.parameters()))
    assert all(g.isfinite().all() for g in gradients) and any((g != 0).any() for g in gradients)


@pytest.mark.parametrize("arch", ["small", "conv"])
def test_networks_of_images_refuse_sequences(arch):
    with pytest.raises(UsageError, match="that of these data categorical:vocabulary=12; choose gru, parallel or mlp"):
        architecture(arch, 3, SHAPE, LIKELIHOOD)


def test_recurrent_networks_refuse_images():
    with pytest.raises(UsageError, match=r"of its decoder is categorical.*bernoulli; choose small"):
        architecture("gru", 3, (1, 28, 28), "bernoulli")


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


def every_sequence(length, vocabulary):
    rows = itertools.product(range(vocabulary), repeat=length)
    rows = [r for r in rows if all(b == 0 for a, b in itertools.pairwise(r) if a == 0)]
    return LIKELIHOODS.build(f"categorical:vocabulary={vocabulary}").model_input(torch.tensor(rows).byte())


def test_probabilities_of_all_sequences_given_a_code_sum_to_one():
    vae = random_vae(architecture(RECURRENT, 2, (3, 4), "categorical:vocabulary=4"))
    x = every_sequence(3, 4)
    with torch.no_grad():
        chances = vae.decode(torch.randn(1, 2).expand(len(x), 2), x).log_prob(x).exp()
    assert chances.sum().item() == pytest.approx(1) and chances.std() > 0


def test_token_depends_on_the_code_and_on_the_tokens_before_it_alone(recurrent, expressions):
    x, z = expressions.test[:1].clone().requires_grad_(), torch.randn(1, 3, requires_grad=True)
    logits, _ = recurrent.decoder.step(
        z, torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), recurrent.decoder.initial(z)
    )
    for t in range(5):
        of_x, of_z = torch.autograd.grad(logits[0, t, 3], (x, z), retain_graph=True)
        assert (of_x[0, t:] == 0).all() and (of_x[0, :t] != 0).all() and (of_z != 0).all()


@pytest.mark.parametrize("noise", ["greedy", "drawn"])
def test_tokens_one_by_one_are_those_of_the_whole_network(recurrent, noise):
    z = 3 * torch.randn(50, 3)
    x, mean = sample(recurrent, z, torch.full((50, *SHAPE), 0.5) if noise == "greedy" else None)
    with torch.no_grad():
        whole = recurrent.decode(z, x).mean
    torch.testing.assert_close(mean, whole)
    assert (x.sum(-1) == 1).all() and torch.equal(x, LIKELIHOODS.build(LIKELIHOOD).model_input(x.argmax(-1).byte()))
    assert noise == "drawn" or torch.equal(x.argmax(-1), whole.argmax(-1))


def test_draws_of_tokens_one_by_one_have_the_probabilities_of_the_sequences():
    vae, n = random_vae(architecture(RECURRENT, 2, (2, 3), "categorical:vocabulary=3")), 20_000
    z, x = torch.randn(1, 2), every_sequence(2, 3)
    drawn = sample(vae, z.expand(n, 2))[0]
    counts = (drawn[:, None] == x).flatten(2).all(-1).sum(0)
    with torch.no_grad():
        expected = n * vae.decode(z.expand(len(x), 2), x).log_prob(x).exp()
    assert counts.sum() == n and ((counts - expected).square() / expected).sum() < 22.5  # chi-square of 6: 0.999


def test_state_at_the_first_end_is_read(recurrent):
    for length in (1, 2, 3, 4):
        x = torch.zeros(1, 5, dtype=torch.uint8)
        x[0, :length] = torch.randint(1, 12, (length,))
        shown = LIKELIHOODS.build(LIKELIHOOD).model_input(x)
        state = recurrent.encoder.gru(recurrent.encoder.embedding(shown))[0][:, length]  # after the end token
        expected = recurrent.encoder.exit(state)[:, :3]
        torch.testing.assert_close(recurrent.encode(shown).mean, expected)


def test_state_after_the_last_token_is_read_where_there_is_no_end(recurrent):
    shown = LIKELIHOODS.build(LIKELIHOOD).model_input(torch.randint(1, 12, (4, 5)).byte())
    states, _ = recurrent.encoder.gru(recurrent.encoder.embedding(shown))
    torch.testing.assert_close(recurrent.encode(shown).mean, recurrent.encoder.exit(states[:, -1])[:, :3])


def test_hidden_tokens_leave_the_code_alone_in_training_only(expressions):
    vae = random(f"{RECURRENT},dropout=1")
    x, z = expressions.test[:2], torch.randn(1, 3).expand(2, 3)
    a, b = vae.train().decode(z, x).log_probabilities
    together = (x[..., 0].cumsum(1) == 0).all(0)  # before an end of either
    assert together.sum() >= 1 and torch.equal(a[together], b[together])
    a, b = vae.eval().decode(z, x).log_probabilities
    assert not torch.equal(a[1], b[1])


def test_teacher_decoding_of_a_search_is_that_of_the_model(recurrent, expressions):
    targets, z = expressions.test[:2], torch.randn(2, 4, 3, requires_grad=True)
    x = Space(recurrent, "teacher", teacher=targets).decode(z)
    torch.testing.assert_close(x[1], recurrent.decode(z[1], targets[1:].expand(4, *SHAPE)).mean)
    x.square().sum().backward()
    assert z.grad is not None and (z.grad != 0).any()


@BOTH
def test_trained_model_is_above_the_entropy_and_is_searched_for_sequences(arch, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = call("train", "--model", "vae", "--arch", arch, "--latent", 3, "--data", DATA, "--epochs", 2)
    assert ran.returncode == 0, ran.stderr
    vae, header = load_model(tmp_path / "checkpoints" / named_model("vae", DATA, arch, 3, 0).file)
    assert vae.shape == SHAPE and header["metrics"]["nelbo"] > DATASETS.build(DATA).entropy
    assert header["history"][1]["nelbo"] < header["history"][0]["nelbo"]
    measured = call("evaluate", "--model", "vae", "--arch", arch, "--latent", 3, "--data", DATA, "--codes", 0)
    assert "below 7.01, the entropy of the data in nats" in " ".join(measured.stdout.split())  # log(4 + 60 + 1044)
    (mean,) = searched(arch, "adam", Protocol(max_steps=5))
    assert all(m.loss <= m.first_loss for m in mean.members)
    (greedy,) = searched(arch, "sobol", Protocol(budget=20, decoding="greedy"))
    decoded = greedy.tensors["decoded"]
    assert set(decoded.unique().tolist()) == {0, 255} and (decoded.sum(-1) == 255).all()  # one-hot
    assert {m.loss % 2 for m in greedy.members} == {0.0}  # two for each token that differs


def searched(arch, searcher, protocol):
    grid = Grid(["vae"], [f'omniglot50:data="{DATA}",instances=3'], [searcher], arch=arch, latent=3)
    records = [run(planned.spec, planned.checkpoint) for planned in plan(grid, protocol)]
    assert all(r.status == "ok" and not holds_images(r.tensors) for r in records)
    assert all(r.tensors["decoded"].shape[1:] == SHAPE for r in records)
    return records
