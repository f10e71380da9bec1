"""Metrics against what is known exactly."""

import math

import pytest
import torch
from conftest import TINY, random_vae, squares
from test_objectives import D, constant_encoder
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae.metrics import aggregate_log_density, measure


def test_aggregate_density_equals_the_mixture():
    torch.manual_seed(0)
    z, mean, std = torch.randn(40, 3).double(), torch.randn(25, 3).double(), torch.rand(25, 3).double() + 0.1
    mixture = MixtureSameFamily(Categorical(torch.ones(25).double()), Independent(Normal(mean, std), 1))
    torch.testing.assert_close(aggregate_log_density(z, mean, std), mixture.log_prob(z))


def test_collapsed_posterior_has_no_information():
    metrics = measure(constant_encoder(0.0, 1.0), squares(100))
    assert metrics.kl == pytest.approx(0, abs=1e-6)
    assert metrics.mi == pytest.approx(0, abs=1e-4)
    assert metrics.au == 0 and max(metrics.activity) < 1e-9


def test_constant_posterior_has_rate_but_no_information():
    metrics = measure(constant_encoder(1.0, 0.5), squares(400))
    assert metrics.kl == pytest.approx(D * (0.5 * (1 + 0.25 - 1) - math.log(0.5)), rel=1e-4)
    assert abs(metrics.mi) < 4 * metrics.se["mi"] + 1e-4


def test_information_is_capped_at_the_log_of_the_reference_size():
    vae = random_vae(TINY)
    last = vae.encoder.main[-1]
    with torch.no_grad():
        last.weight[:D] *= 300  # every image its own far-off code
        last.weight[D:] = 0
        last.bias[D:] = -6.0
    x = squares(900).unique(dim=0)[:200]
    metrics = measure(vae, x)
    assert metrics.mi == pytest.approx(math.log(200), abs=0.05)
    assert metrics.mi_b50 == pytest.approx(math.log(50), abs=0.05)
    assert metrics.au == D


def test_activity_is_the_variance_of_the_posterior_mean():
    vae, x = random_vae(TINY), squares(80)
    with torch.no_grad():
        expected = vae.encode(x).mean.var(dim=0)
    torch.testing.assert_close(torch.tensor(measure(vae, x).activity), expected, rtol=1e-4, atol=1e-8)


def test_same_seed_gives_the_same_figures_and_leaves_the_generator_alone():
    vae, x = random_vae(TINY), squares(60)
    before = torch.random.get_rng_state()
    assert measure(vae, x, seed=3) == measure(vae, x, seed=3) != measure(vae, x, seed=4)
    assert torch.equal(before, torch.random.get_rng_state())
