"""Objectives: closed forms where the encoder is a known constant, and a kit that all of them pass."""

import math

import pytest
import torch
from conftest import TINY, random_vae, squares

from vae.objectives.elbo import ELBO
from vae.objectives.nevae_lp import NeighborLP
from vae.objectives.nevae_se import NeighborSE
from vae.zoo import NAMES, objective

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
    penalty = NeighborLP(c=-100.0)(constant_encoder(0.3, 0.5), squares(2000)).penalty
    expected = D * 0.5 * math.log(2 * math.pi * math.e * 0.5**2)
    assert abs(penalty.mean().item() - expected) < 4 * penalty.std().item() / math.sqrt(2000)


def test_log_probability_above_the_bound_is_constant_without_gradient():
    vae = constant_encoder(0.0, 0.5)
    penalty = NeighborLP(c=100.0)(vae, squares(5)).penalty
    torch.testing.assert_close(penalty, torch.full((5,), 100.0 * D))
    gradients = torch.autograd.grad(penalty.sum(), list(vae.parameters()), allow_unused=True)
    assert all(g is None or (g == 0).all() for g in gradients)


@pytest.mark.parametrize("make", [NeighborSE, NeighborLP])
def test_sum_is_d_times_the_mean(make):
    vae, x, penalties = random_vae(TINY), squares(6), []
    for reduction in ("mean", "sum"):
        torch.manual_seed(0)
        penalties.append(make(reduction=reduction)(vae, x).penalty)
    torch.testing.assert_close(penalties[0] * D, penalties[1])


@pytest.mark.parametrize("name", NAMES)
class TestEveryObjective:
    """The contract kit: whatever is in the zoo is under it."""

    def test_gives_finite_terms_of_every_image(self, name):
        terms = objective(name)(random_vae(TINY), squares(5))
        for term in (terms.distortion, terms.rate, terms.penalty):
            assert term.shape == (5,) and term.isfinite().all()
        assert (terms.rate >= 0).all()

    def test_sends_gradients_to_encoder_and_decoder(self, name):
        vae = random_vae(TINY)
        objective(name)(vae, squares(5)).loss().backward()
        for part in (vae.encoder, vae.decoder):
            assert any(p.grad is not None and (p.grad != 0).any() for p in part.parameters())

    def test_scores_each_image_on_its_own(self, name):
        vae, x = random_vae(TINY), squares(4)
        last = vae.encoder.main[-1]
        last.bias.data[D:] = -40.0  # no noise, so that only the batch could make a difference
        last.weight.data[D:] = 0
        together, alone = objective(name)(vae, x), objective(name)(vae, x[:1])
        torch.testing.assert_close(together.distortion[:1], alone.distortion, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.rate[:1], alone.rate, rtol=1e-4, atol=1e-4)


def test_rate_weight_grows_from_a_tenth_to_beta():
    assert ELBO().rate_weight(0.0, 100, 10.0) == pytest.approx(0.1)
    assert ELBO().rate_weight(5.0, 100, 10.0) == pytest.approx(0.55)
    assert ELBO().rate_weight(10.0, 100, 10.0) == ELBO().rate_weight(99.0, 100, 10.0) == 1.0
    assert ELBO(beta=0.5).rate_weight(4.0, 100, 10.0) == pytest.approx(0.46)
    assert ELBO(beta=0.5).rate_weight(5.0, 100, 10.0) == 0.5
    assert ELBO(anneal=False).rate_weight(0.0, 100, 10.0) == 1.0


def test_settings_follow_the_name():
    assert objective("nevae_se:reduction=sum,sample=false") == NeighborSE(reduction="sum", sample=False)
    assert objective("nevae_lp_-1.0") == NeighborLP(c=-1.0)
    assert objective("beta_vae_0.65") == ELBO(beta=0.65)


@pytest.mark.parametrize("name", ["nvae", "nevae_se:reduktion=sum", "nevae_se:reduction=max", "vae:beta=much"])
def test_unknown_names_and_settings_are_refused(name):
    with pytest.raises(ValueError, match=r"No model|no setting|is one of|is a float"):
        objective(name)
