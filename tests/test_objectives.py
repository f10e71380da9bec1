"""Objectives: closed forms where the encoder is a known constant, and a kit that all of them pass."""

import math

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench.errors import UsageError
from lso_bench.models.training import plan
from lso_bench.vae.architectures import architecture
from lso_bench.vae.objectives import OBJECTIVES, TABLE_1
from lso_bench.vae.objectives.aggressive import Aggressive
from lso_bench.vae.objectives.cyclical import Cyclical
from lso_bench.vae.objectives.elbo import ELBO
from lso_bench.vae.objectives.free_bits import FreeBits
from lso_bench.vae.objectives.info_vae import InfoVAE, mmd
from lso_bench.vae.objectives.nevae_lp import NeighborLP
from lso_bench.vae.objectives.nevae_se import NeighborSE
from lso_bench.vae.objectives.rae import RAE
from lso_bench.vae.reencoding import reencode
from lso_bench.vae.trained_model import Model

D = TINY.latent


def constant_encoder(mean: float, std: float):
    """A model whose q(z|x) is N(mean, std^2) in every dimension, whatever x."""
    vae = random_vae(TINY)
    last = vae.encoder.main[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([mean] * D + [2 * math.log(std)] * D))
    return vae


def test_rate_is_the_kl_of_two_normals_summed_over_latents():
    terms = ELBO()(constant_encoder(0.7, 0.5), squares(6))
    one = 0.5 * (0.7**2 + 0.5**2 - 1) - math.log(0.5)
    torch.testing.assert_close(terms.rate, torch.full((6,), D * one))


def test_distortion_is_the_cross_entropy_summed_over_pixels():
    vae, x = constant_encoder(0.0, 1e-6), squares(6)
    mean = vae.decode(torch.zeros(6, D), x).mean
    expected = -(x * mean.log() + (1 - x) * (1 - mean).log()).sum(dim=(1, 2, 3))
    torch.testing.assert_close(ELBO()(vae, x).distortion, expected, rtol=1e-4, atol=1e-3)


def test_loss_is_the_mean_over_the_batch_of_weighted_sums():
    terms = ELBO()(random_vae(TINY), squares(6))
    expected = (terms.distortion + 0.3 * terms.rate + terms.penalty).sum() / 6
    torch.testing.assert_close(terms.loss(0.3), expected)


@pytest.mark.parametrize(("sample", "times"), [(True, 2), (False, 1)])
def test_squared_error_has_its_known_expectation(sample, times):
    torch.manual_seed(0)
    penalty = NeighborSE(sample=sample)(constant_encoder(0.3, 0.5), squares(2000)).penalty
    expected = times * 0.5**2  # the variance of z, or of z - z'
    assert abs(penalty.mean().item() - expected) < 4 * penalty.std().item() / math.sqrt(2000)


def test_log_probability_has_the_entropy_as_its_expectation():
    torch.manual_seed(0)
    penalty = NeighborLP(c=-100.0, constant=True)(constant_encoder(0.3, 0.5), squares(2000)).penalty
    expected = D * 0.5 * math.log(2 * math.pi * math.e * 0.5**2)
    assert abs(penalty.mean().item() - expected) < 4 * penalty.std().item() / math.sqrt(2000)


def test_log_probability_without_its_constant_is_the_same_with_a_lower_bound():
    vae, x, penalties, constant = random_vae(TINY), squares(6), [], math.log(2 * math.pi) / 2
    for objective in (NeighborLP(c=1.2), NeighborLP(c=1.2 + constant, constant=True)):
        torch.manual_seed(0)
        penalties.append(objective(vae, x).penalty)
    torch.testing.assert_close(penalties[0], penalties[1] - D * constant)


def test_log_probability_of_a_collapsed_dimension_is_hardly_above_the_bound_of_1():
    torch.manual_seed(0)
    penalty = NeighborLP(c=1.0)(constant_encoder(0.0, 1.0), squares(2000)).penalty / D
    u = math.sqrt(2)  # E max(1, u^2 / 2) of a normal u
    expected = 1 + u * math.exp(-1) / math.sqrt(2 * math.pi) - math.erfc(u / math.sqrt(2)) / 2
    assert abs(penalty.mean().item() - expected) < 4 * penalty.std().item() / math.sqrt(2000) and expected < 1.13


def test_log_probability_above_the_bound_is_constant_without_gradient():
    vae = constant_encoder(0.0, 0.5)
    penalty = NeighborLP(c=100.0)(vae, squares(5)).penalty
    torch.testing.assert_close(penalty, torch.full((5,), 100.0 * D))
    gradients = torch.autograd.grad(penalty.sum(), list(vae.parameters()), allow_unused=True)
    assert all(g is None or (g == 0).all() for g in gradients)


def one_element(likelihood, p):
    """A model of one token or pixel, which is 1 with probability p whatever z; q(z|x) is at 3x."""
    shape = (1, 2) if likelihood.startswith("categorical") else (1, 1, 1)
    vae = random_vae(architecture("mlp", 1, shape, likelihood))
    encoder, decoder = torch.nn.Linear(math.prod(shape), 2), torch.nn.Linear(1, math.prod(shape))
    with torch.no_grad():
        for layer in (encoder, decoder):
            layer.weight.zero_()
        encoder.weight[0, -1] = 3.0
        encoder.bias.copy_(torch.tensor([0.0, -40.0]))
        decoder.bias.copy_(torch.tensor([0.0, math.log(p / (1 - p))])[-math.prod(shape) :])
    vae.encoder = torch.nn.Sequential(torch.nn.Flatten(), encoder)
    vae.decoder = torch.nn.Sequential(decoder, torch.nn.Unflatten(1, shape))
    x = torch.zeros(4000, *shape)
    x[..., -1] = 1
    return vae, x


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical:vocabulary=2"])
def test_squared_error_of_a_draw_is_that_of_its_two_values(likelihood):
    vae, x = one_element(likelihood, 0.3)
    objective = NeighborSE(sample=False, channel="draw")
    penalty = objective(vae, x).penalty
    missed = penalty > 1
    torch.testing.assert_close(penalty, torch.where(missed, 9.0, 0.0))
    assert abs(missed.double().mean().item() - 0.7) < 4 * math.sqrt(0.3 * 0.7 / 4000)
    mean = NeighborSE(sample=False, channel="mean")(vae, x).penalty
    torch.testing.assert_close(mean, torch.full((4000,), (3 - 3 * 0.3) ** 2))
    bias = vae.decoder[0].bias
    (gradient,) = torch.autograd.grad(penalty.sum(), bias)  # straight-through: d penalty / dp = -18 where it missed
    assert gradient[-1].item() == pytest.approx(-18 * 0.3 * 0.7 * missed.sum().item(), rel=1e-3)


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical:vocabulary=2"])
@pytest.mark.parametrize("make", [NeighborSE, NeighborLP])
def test_sequences_are_drawn_and_images_are_means_by_default(make, likelihood):
    vae, x = one_element(likelihood, 0.3)
    penalties = {}
    for channel in ("auto", "draw", "mean"):
        torch.manual_seed(0)
        penalties[channel] = make(channel=channel)(vae, x).penalty
    alike = "draw" if likelihood.startswith("categorical") else "mean"
    assert torch.equal(penalties["auto"], penalties[alike]) and not torch.equal(penalties["draw"], penalties["mean"])


@pytest.mark.parametrize("make", [NeighborSE, NeighborLP])
def test_gradient_of_a_drawn_image_reaches_the_decoder(make):
    vae = random_vae(TINY)
    gradients = torch.autograd.grad(
        make(channel="draw")(vae, squares(5)).penalty.sum(), list(vae.decoder.parameters()), allow_unused=True
    )
    assert any(g is not None and (g != 0).any() for g in gradients)


@pytest.mark.parametrize("make", [NeighborSE, NeighborLP])
def test_sum_is_d_times_the_mean(make):
    vae, x, penalties = random_vae(TINY), squares(6), []
    for reduction in ("mean", "sum"):
        torch.manual_seed(0)
        penalties.append(make(reduction=reduction)(vae, x).penalty)
    torch.testing.assert_close(penalties[0] * D, penalties[1])


def test_free_bits_charge_the_floor_for_what_is_below_it_and_the_rate_for_what_is_above():
    x, one = squares(6), 0.5 * (0.7**2 + 0.5**2 - 1) - math.log(0.5)  # nats a dimension: 0.69
    for floor, charged in ((0.1, one), (2.0, 2.0)):
        terms = FreeBits(floor=floor)(constant_encoder(0.7, 0.5), x)
        torch.testing.assert_close(terms.rate, torch.full((6,), D * charged))


def test_free_dimensions_get_no_gradient():
    vae = constant_encoder(0.7, 0.5)
    terms = FreeBits(floor=2.0)(vae, squares(6))
    gradients = torch.autograd.grad(terms.rate.sum(), list(vae.encoder.parameters()))
    assert all((g == 0).all() for g in gradients)


def test_cyclical_weight_starts_over_in_each_cycle():
    weight = Cyclical().rate_weight  # 4 cycles, the first half of each grows
    assert [weight(e, 40, 10.0) for e in (0.0, 2.5, 5.0, 9.9, 10.0, 12.5, 35.0)] == [0, 0.5, 1, 1, 0, 0.5, 1]
    assert Cyclical(beta=0.5).rate_weight(9.0, 40, 10.0) == 0.5


def test_mmd_of_two_normals_is_its_closed_form():
    torch.manual_seed(0)
    d, shift, n = 3, 1.5, 4000
    a, b = torch.randn(n, d), torch.randn(n, d)
    b[:, 0] += shift
    alike = (d / (d + 2)) ** (d / 2)  # E exp(-|a - b|^2 / 2d) for a - b ~ N(0, 2 I)
    apart = alike * math.exp(-(shift**2) / (2 * (d + 2)))
    assert mmd(a, b).item() == pytest.approx(2 * (alike - apart), abs=0.01)


def test_mmd_of_the_same_distribution_is_zero_on_average():
    torch.manual_seed(0)
    estimates = torch.stack([mmd(torch.randn(50, 4), torch.randn(50, 4)) for _ in range(400)])
    assert abs(estimates.mean()) < 4 * estimates.std() / 20 and (estimates < 0).any()


def test_info_vae_weighs_rate_and_distance_as_its_paper_does():
    torch.manual_seed(0)
    objective = InfoVAE(alpha=0.3, scale=10.0)
    terms = objective(constant_encoder(1.0, 0.5), squares(2000))
    apart = normals_apart(1.0, 0.5)
    assert objective.rate_weight(0.0, 10, 3.0) == pytest.approx(0.7)
    assert terms.penalty[0].item() == pytest.approx((0.3 + 10.0 - 1) * apart, rel=0.1) and apart > 0.1


def normals_apart(mean: float, std: float) -> float:
    """MMD^2 of N(mean, std^2) and N(0, 1) in each of D dimensions, by E exp(-u^2 / 2D) of each normal difference u."""

    def alike(shift: float, variance: float) -> float:
        return ((D / (D + variance)) ** 0.5 * math.exp(-(shift**2) / (2 * (D + variance)))) ** D

    return alike(0, 2 * std**2) + alike(0, 2) - 2 * alike(mean, 1 + std**2)


def test_autoencoder_has_no_noise_and_pays_for_size():
    vae, x = constant_encoder(0.7, 0.5), squares(6)
    terms = RAE(decay=0.5)(vae, x)
    torch.testing.assert_close(terms.distortion, RAE()(vae, x).distortion)
    torch.testing.assert_close(terms.rate, torch.full((6,), D * 0.7**2 / 2))
    size = sum(p.square().sum().item() for p in vae.decoder.parameters())
    assert terms.penalty[0].item() == pytest.approx(size / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("mi", "never_reset", "reset"),
    [
        ([], True, True),
        ([1.0, 2.0, 3.0], True, True),
        ([3.0, 2.0, 2.0, 2.0, 2.0], True, True),
        ([3.0, 2.0, 2.0, 2.0, 2.0, 2.0], False, False),
        ([3.0, 2.0, 2.0, 4.0, 2.0, 2.0, 2.0], False, True),  # five epochs without a better MI, three of them in a row
    ],
)
def test_encoder_leads_until_five_epochs_did_not_raise_the_information(mi, never_reset, reset):
    assert Aggressive().is_aggressive_epoch(mi) is never_reset
    assert Aggressive(reset=True).is_aggressive_epoch(mi) is reset


@pytest.mark.parametrize(("norm", "moves"), [("shared", True), ("data", False), ("frozen", False)])
def test_reencoding_moves_the_running_statistics_only_where_they_are_shared(norm, moves):
    vae = random_vae(TINY).train()
    before = vae.encoder.main[0].main[1].running_mean.clone()
    reencode(vae, squares(8), norm)
    assert torch.equal(before, vae.encoder.main[0].main[1].running_mean) is not moves
    assert vae.encoder.main[0].main[1].training and vae.encoder.main[0].main[1].momentum == 0.1


def test_reencoding_normalises_by_its_own_or_the_running_statistics():
    vae, x = random_vae(TINY), squares(8)
    frozen = vae.encode(x).mean
    vae.train()
    torch.testing.assert_close(reencode(vae, x, "frozen").mean, frozen)
    torch.testing.assert_close(reencode(vae, x, "data").mean, reencode(vae, x, "shared").mean)
    assert not torch.allclose(reencode(vae, x, "data").mean, frozen)


@pytest.mark.parametrize("name", OBJECTIVES.names())
class TestEveryObjective:
    """The contract kit: whatever is in the zoo is under it."""

    def test_gives_finite_terms_of_every_image(self, name):
        terms = OBJECTIVES.build(name)(random_vae(TINY), squares(5))
        for term in (terms.distortion, terms.rate, terms.penalty):
            assert term.shape == (5,) and term.isfinite().all()
        assert (terms.rate >= 0).all()

    def test_sends_gradients_to_encoder_and_decoder(self, name):
        vae = random_vae(TINY)
        OBJECTIVES.build(name)(vae, squares(5)).loss().backward()
        for part in (vae.encoder, vae.decoder):
            assert any(p.grad is not None and (p.grad != 0).any() for p in part.parameters())

    def test_scores_each_image_on_its_own(self, name):
        vae, x = random_vae(TINY), squares(4)
        last = vae.encoder.main[-1]
        last.bias.data[D:] = -40.0  # no noise, so that only the batch could make a difference
        last.weight.data[D:] = 0
        together, alone = OBJECTIVES.build(name)(vae, x), OBJECTIVES.build(name)(vae, x[:1])
        torch.testing.assert_close(together.distortion[:1], alone.distortion, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.rate[:1], alone.rate, rtol=1e-4, atol=1e-4)


def test_rate_weight_grows_from_a_tenth_to_beta():
    assert ELBO().rate_weight(0.0, 100, 10.0) == pytest.approx(0.1)
    assert ELBO().rate_weight(5.0, 100, 10.0) == pytest.approx(0.55)
    assert ELBO().rate_weight(10.0, 100, 10.0) == ELBO().rate_weight(99.0, 100, 10.0) == 1.0
    assert ELBO(beta=0.5).rate_weight(4.0, 100, 10.0) == pytest.approx(0.46)
    assert ELBO(beta=0.5).rate_weight(5.0, 100, 10.0) == 0.5
    assert ELBO(anneal=False).rate_weight(0.0, 100, 10.0) == 1.0


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 4.0, 100.0])
def test_weight_above_one_is_reached_when_annealing_ends_in_a_training_of_any_length(beta):
    weight = ELBO(beta=beta).rate_weight
    for epochs in (1, 3, 20, 30, 100):
        annealed = plan(Model(f"beta_vae_{beta}", "omniglot", "conv"), epochs).anneal_epochs
        assert weight(0.0, epochs, annealed) == pytest.approx(0.1)
        assert 0.1 < weight(0.04 * annealed, epochs, annealed) < beta
        assert weight(annealed, epochs, annealed) == pytest.approx(beta)
        assert weight(float(epochs), epochs, annealed) == beta


def test_settings_follow_the_name():
    assert OBJECTIVES.build("nevae_se:reduction=sum,sample=false") == NeighborSE(reduction="sum", sample=False)
    assert OBJECTIVES.build("nevae_lp_-1.0") == NeighborLP(c=-1.0)
    assert OBJECTIVES.build("beta_vae_0.65") == ELBO(beta=0.65)


@pytest.mark.parametrize("name", ["nvae", "nevae_se:reduktion=sum", "nevae_se:reduction=max", "vae:beta=much"])
def test_unknown_names_and_settings_are_refused(name):
    with pytest.raises(UsageError, match=r"No model|no setting|is one of|wanted a number"):
        OBJECTIVES.build(name)


def test_every_row_of_table_1_has_its_name():
    assert len(set(TABLE_1)) == 19 and set(TABLE_1) <= set(OBJECTIVES.names())
    assert OBJECTIVES.build("aggressive_noanneal") == Aggressive(anneal=False)
    assert OBJECTIVES.build("beta_vae_0.7") == ELBO(beta=0.7)
    assert OBJECTIVES.build("nevae_lp_-3.0") == NeighborLP(c=-3.0)
