"""Sequences from a data set to a search: networks that decode all tokens at once, objectives, training, runs."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from conftest import random_vae
from torch.nn.functional import pad

from lso_bench.errors import UsageError
from lso_bench.record import holds_images
from lso_bench.runner.run import run
from lso_bench.search.space import Space
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import named_model
from lso_bench.vae import data
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import load_model, read
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.evaluation import SampleSizes, evaluate
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.likelihoods.categorical import padded
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import OBJECTIVES, TABLE_1
from lso_bench.vae.sampling import sample
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import Stopped, one_epoch, train, validate
from lso_bench.vae.training_state import Plan, start_or_resume

DATA = "expressions:rules=6,count=500"  # at most 5 tokens of 12
SHAPE, LIKELIHOOD = (5, 12), "categorical:vocabulary=12"
TINY = "parallel:hidden=8,layers=1,embedding=3"
RECURRENT = "gru:hidden=8,embedding=3"
TRANSFORMER = "transformer:width=8,heads=2,hidden=8,layers=2"
EVERY = pytest.mark.parametrize("arch", [TINY, RECURRENT, TRANSFORMER])
STEPWISE = pytest.mark.parametrize("arch", [RECURRENT, TRANSFORMER])  # autoregressive ones


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


FAMILIES = (*(n for n in OBJECTIVES.names() if n not in TABLE_1), *TABLE_1[:5], "nevae_se", "nevae_lp_0.1")


@EVERY
@pytest.mark.parametrize("name", FAMILIES)
def test_every_objective_trains_networks_of_sequences(name, arch, expressions, tmp_path):
    model = Model(f"{name}:inner=2,look=1" if name.startswith("aggressive") else name, DATA, arch, 3)
    data = replace(expressions, train=expressions.train[:100])
    job = start_or_resume(Plan(model, epochs=1), data, tmp_path / "state", "cpu")
    before = [p.detach().clone() for p in job.vae.decoder.parameters()]
    one_epoch(job, 0, data.train, tmp_path / "state", lambda _: None, lambda: False)
    after = [p.detach() for p in job.vae.decoder.parameters()]
    assert all(p.isfinite().all() for p in job.vae.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(math.isfinite(v) for v in validate(job.vae, data.valid, "cpu").values())


@EVERY
@pytest.mark.parametrize("name", ["nevae_se", "nevae_lp_0.1"])
def test_gradient_of_a_drawn_reconstruction_reaches_the_decoder(name, arch, expressions):
    vae = random(arch).train()
    penalty = OBJECTIVES.build(f"{name}:channel=draw")(vae, expressions.test).penalty.sum()
    gradients = torch.autograd.grad(penalty, list(vae.decoder.parameters()))
    assert all(g.isfinite().all() for g in gradients) and any((g != 0).any() for g in gradients)


@pytest.mark.parametrize("arch", ["small", "conv"])
def test_networks_of_images_refuse_sequences(arch):
    with pytest.raises(UsageError, match="data categorical:vocabulary=12; choose gru, transformer, parallel or mlp"):
        architecture(arch, 3, SHAPE, LIKELIHOOD)


@pytest.mark.parametrize("arch", ["gru", "transformer"])
def test_networks_of_sequences_refuse_images(arch):
    with pytest.raises(UsageError, match=r"of its decoder is categorical.*bernoulli; choose small"):
        architecture(arch, 3, (1, 28, 28), "bernoulli")


def test_heads_of_attention_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UsageError, match="heads: wanted a divisor of width, 64, got 5"):
        architecture("transformer:heads=5", 3, SHAPE, LIKELIHOOD)


def test_weights_of_the_default_transformer_take_about_a_megabyte():
    for shape, vocabulary in (((13, 12), 12), ((72, 80), 80)):
        vae = VAE(architecture("transformer", 32, shape, f"categorical:vocabulary={vocabulary}"))
        assert 0.8e6 < 4 * sum(p.numel() for p in vae.parameters()) < 1.2e6


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


@STEPWISE
def test_probabilities_of_all_sequences_given_a_code_sum_to_one(arch):
    vae = random_vae(architecture(arch, 2, (3, 4), "categorical:vocabulary=4"))
    x = every_sequence(3, 4)
    with torch.no_grad():
        chances = vae.decode(torch.randn(1, 2).expand(len(x), 2), x).log_prob(x).exp()
    assert chances.sum().item() == pytest.approx(1) and chances.std() > 0


@STEPWISE
def test_token_depends_on_the_code_and_on_the_tokens_before_it_alone(arch, expressions):
    decoder = random(arch).decoder
    x, z = expressions.test[:1].clone().requires_grad_(), torch.randn(1, 3, requires_grad=True)
    logits = decoder.logits(z, torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1))
    for t in range(5):
        of_x, of_z = torch.autograd.grad(logits[0, t, 3], (x, z), retain_graph=True)
        assert (of_x[0, t:] == 0).all() and (of_x[0, :t] != 0).all() and (of_z != 0).all()


@STEPWISE
@pytest.mark.parametrize("noise", ["greedy", "drawn"])
def test_tokens_one_by_one_are_those_of_the_whole_network(arch, noise):
    vae, z = random(arch), 3 * torch.randn(50, 3)
    x, mean = sample(vae, z, torch.full((1, *SHAPE), 0.5) if noise == "greedy" else None)
    with torch.no_grad():
        whole = vae.decode(z, x).mean
    torch.testing.assert_close(mean, whole, atol=1e-5, rtol=0)
    assert (x.sum(-1) == 1).all() and torch.equal(x, LIKELIHOODS.build(LIKELIHOOD).model_input(x.argmax(-1).byte()))
    assert noise == "drawn" or torch.equal(x.argmax(-1), whole.argmax(-1))


@STEPWISE
def test_draws_of_tokens_one_by_one_have_the_probabilities_of_the_sequences(arch):
    vae, n = random_vae(architecture(arch, 2, (2, 3), "categorical:vocabulary=3")), 20_000
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


def test_attention_of_the_encoder_ends_with_the_sequence():
    vae, length = random(TRANSFORMER), 2
    shown = LIKELIHOODS.build(LIKELIHOOD).model_input(torch.tensor([[3, 4, 0, 0, 0]]).byte()).requires_grad_()
    (gradient,) = torch.autograd.grad(vae.encode(shown).mean.sum(), shown)
    assert (gradient[0, : length + 1, 1:] != 0).all() and gradient[0, length + 1 :, 1:].abs().max() < 1e-30


@EVERY
def test_encoder_takes_probabilities_whose_limit_is_the_tokens(arch, expressions):
    vae, x = random(arch), expressions.test[:4]
    soft = 0.999 * x + 0.001 / 12
    with torch.no_grad():
        hard, near, far = (vae.encode(shown).mean for shown in (x, soft, 0.5 * x + 0.5 / 12))
    assert 0 < (near - hard).abs().max() < 0.01 * (far - hard).abs().max()


@STEPWISE
def test_hidden_tokens_leave_the_code_alone_in_training_only(arch, expressions):
    vae = random(f"{arch},dropout=1")
    x, z = expressions.test[:2], torch.randn(1, 3).expand(2, 3)
    a, b = vae.train().decode(z, x).log_probabilities  # pyright: ignore[reportAttributeAccessIssue]
    together = (x[..., 0].cumsum(1) == 0).all(0)  # before an end of either
    assert together.sum() >= 1 and torch.equal(a[together], b[together])
    a, b = vae.eval().decode(z, x).log_probabilities  # pyright: ignore[reportAttributeAccessIssue]
    assert not torch.equal(a[1], b[1])


@STEPWISE
def test_teacher_decoding_of_a_search_is_that_of_the_model(arch, expressions):
    vae, targets, z = random(arch), expressions.test[:2], torch.randn(2, 4, 3, requires_grad=True)
    x = Space(vae, "teacher", teacher=targets).decode(z)
    torch.testing.assert_close(x[1], vae.decode(z[1], targets[1:].expand(4, *SHAPE)).mean)
    x.square().sum().backward()
    assert z.grad is not None and (z.grad != 0).any()


@STEPWISE
def test_soft_decoding_is_given_the_probabilities_of_the_tokens_before(arch):
    vae, z = random(arch), torch.randn(2, 4, 3, requires_grad=True)
    x = Space(vae, "soft").decode(z)
    before = torch.zeros(8, 1, 12)
    for _ in range(5):
        whole = vae.decoder.logits(z.flatten(0, 1), pad(before, (0, 0, 0, 5 - before.shape[1]))[:, :5]).softmax(-1)
        before = torch.cat([torch.zeros(8, 1, 12), whole[:, : before.shape[1]]], 1)
    torch.testing.assert_close(x.flatten(0, 1), padded(before[:, 1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.sum(-1), torch.ones(2, 4, 5))
    (gradient,) = torch.autograd.grad(x[0, 0, :, 3].sum(), z)
    assert (gradient[0, 0] != 0).all() and (gradient[1] == 0).all()


@STEPWISE
def test_soft_decoding_of_certain_tokens_is_the_greedy_one(arch):
    vae, z = random(arch), 3 * torch.randn(1, 20, 3)
    last = vae.decoder.exit if arch == RECURRENT else vae.decoder.exit[-1]
    with torch.no_grad():
        last.weight *= 1e5
        soft, greedy = (Space(vae, decoding).decode(z) for decoding in ("soft", "greedy"))
    torch.testing.assert_close(soft, greedy)


@STEPWISE
def test_draws_of_a_search_share_one_noise(arch):
    vae, z = random(arch), torch.randn(1, 1, 3)
    space = Space(vae, "sample", seed=3)
    with torch.no_grad():
        alike = space.decode(z.expand(1, 600, 3))  # in several chunks
    assert (alike == alike[:, :1]).all() and torch.equal(alike[:, :1], space.decode(z))


def test_data_of_texts_have_networks_and_a_decoding_by_default():
    (text,) = plan(Grid(["vae"], ["expression"], ["sobol"]))
    assert (text.spec.model.arch, text.spec.decoding) == ("gru", "greedy")
    image, drawn = (plan(Grid(["vae"], [f"ink:data={d}"], ["sobol"]))[0].spec for d in ("omniglot", "glyphs"))
    assert (image.model.arch, image.decoding, drawn.model.arch, drawn.decoding) == 2 * ("small", "sample")
    (target,) = plan(Grid(["vae"], ["omniglot50:data=expressions"], ["adam"]))
    assert target.spec.decoding == "teacher"
    assert named_model("vae", "expressions", None, 32, 0).arch == "gru"
    assert named_model("vae", "omniglot", None, 32, 0).arch == "small"


@pytest.mark.parametrize(
    ("arch", "task", "decoding", "searcher", "reason"),
    [
        ("gru", "expression", "soft", "sobol", "scores texts, and decoding 'soft' gives prob.*greedy or sample"),
        ("gru", "expression", "teacher", "sobol", "scores texts, and decoding 'teacher' gives prob.*greedy or sample"),
        ("gru", "omniglot50:data=expressions", "mean", "adam", "'mean' is not for --arch gru, which is autoregressive"),
        ("gru", "omniglot50:data=expressions", "greedy", "adam", "'greedy' gives none.*or --decoding soft"),
        ("small", "omniglot50", "soft", "adam", "'soft' is of sequences, and samples of omniglot are none"),
        ("conv", "omniglot50", "soft", "adam", "'soft' is not for --arch conv, which is not autoregressive"),
    ],
)
def test_decoding_that_does_not_fit_is_refused_with_one_that_does(arch, task, decoding, searcher, reason):
    with pytest.raises(UsageError, match=reason):
        plan(Grid(["vae"], [task], [searcher], arch=arch), Protocol(decoding=decoding))


@EVERY
def test_trained_model_is_above_the_entropy_and_is_searched_for_sequences(arch, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = call("train", "--model", "vae", "--arch", arch, "--latent", 3, "--data", DATA, "--epochs", 2)
    assert ran.returncode == 0, ran.stderr
    vae, header = load_model(tmp_path / "checkpoints" / named_model("vae", DATA, arch, 3, 0).file)
    assert vae.shape == SHAPE and header["metrics"]["nelbo"] > DATASETS.build(DATA).entropy
    assert header["history"][1]["nelbo"] < header["history"][0]["nelbo"]
    if vae.autoregressive:
        (soft,) = searched(arch, "adam", Protocol(max_steps=5, decoding="soft"))
        assert all(m.loss <= m.first_loss for m in soft.members)
    measured = call("evaluate", "--model", "vae", "--arch", arch, "--latent", 3, "--data", DATA, "--codes", 0)
    assert "below 7.01, the entropy of the data in nats" in " ".join(measured.stdout.split())  # log(4 + 60 + 1044)
    (mean,) = searched(arch, "adam", Protocol(max_steps=5))
    assert all(m.loss <= m.first_loss for m in mean.members)
    (greedy,) = searched(arch, "sobol", Protocol(budget=20, decoding="greedy"))
    decoded = greedy.tensors["decoded"]
    assert decoded.dtype == torch.uint8 and (decoded < 12).all() and (decoded > 0).any()
    assert {*map(tuple, greedy.tensors["targets"].tolist())} <= {*map(tuple, rows_of_test_set())}
    space = Space(vae, "greedy")
    assert torch.equal(decoded, space.decode(greedy.tensors["z"][:, None])[:, 0].argmax(-1).byte())
    assert {m.loss % 2 for m in greedy.members} == {0.0}  # two for each token that differs


@pytest.mark.parametrize("settings", [f"vae {RECURRENT},dropout=0.3", f"nevae_se {RECURRENT}", f"vae {TINY}"])
def test_interrupted_training_of_sequences_goes_on_to_the_same_weights(settings, expressions, tmp_path):
    name, arch = settings.split()
    trained = Plan(named_model(name, DATA, arch, 3, 0), 2, anneal_epochs=1.0, batch=100, threads=1)
    train(trained, expressions, tmp_path / "whole.safetensors")
    for batches in (1, 2, 3):  # after 1, 3 and 6 batches; an epoch has 4
        seen = iter(range(1, 100))
        with pytest.raises(Stopped):
            train(trained, expressions, tmp_path / "parts.safetensors", stop=lambda: next(seen) == batches)  # noqa: B023
    train(trained, expressions, tmp_path / "parts.safetensors")
    whole, parts = (read(tmp_path / f"{n}.safetensors")[0] for n in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)


def rows_of_test_set():
    return data.load(DATA).test.argmax(-1).tolist()


def searched(arch, searcher, protocol):
    grid = Grid(["vae"], [f'omniglot50:data="{DATA}",instances=3'], [searcher], arch=arch, latent=3)
    records = [run(planned.spec, planned.checkpoint) for planned in plan(grid, protocol)]
    assert all(r.status == "ok" and not holds_images(r.tensors) for r in records)
    assert all(r.tensors[name].shape[1:] == SHAPE[:1] for r in records for name in ("decoded", "targets"))
    return records


def test_texts_are_searched_without_naming_networks_or_a_decoding(call):
    ran = call("run", "--model", "vae,beta_vae_0.1", "--task", "expression", "--searcher", "sobol,turbo", "--dry-run")
    assert ran.returncode == 0 and ran.stdout.count("expressions-gru-d32-") == 4, ran.stderr
