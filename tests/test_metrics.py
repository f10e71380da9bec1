"""Metrics against what is known exactly."""

import json
import math
from dataclasses import asdict
from functools import cache

import pytest
import torch
from conftest import TINY, random_vae, squares
from test_objectives import D, constant_encoder
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.evaluation import SampleSizes, evaluate, importance_gap, latent_consistency
from lso_bench.vae.metrics import Metrics, aggregate_log_density, measure
from lso_bench.vae.model import VAE


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


class LinearGaussian(VAE):
    """x = W z + noise with orthogonal columns of W: everything about it is known in closed form.

    Source: Tipping & Bishop 1999, "Probabilistic Principal Component Analysis", equations 6 to 8.
    """

    def __init__(self, widen: float = 1.0, second: float = 0.5, noise: float = 0.5):
        """Make a model whose second latent has `second` times the weights of the first."""
        nn.Module.__init__(self)
        self.arch = Conv(shape=(1, 2, 2), latent=2, likelihood="gaussian")
        self.decoder = nn.Identity()
        self.W = nn.Parameter(
            0.5 * torch.tensor([[1.0, second], [1.0, -second], [-1.0, second], [1.0, second]]), requires_grad=False
        )
        self.noise = noise
        self.variance = 1 / (1 + self.W.square().sum(0) / self.noise**2)  # of p(z|x), (d,)
        self.widen = widen  # how much wider q is than p(z|x)

    def encode(self, x):
        mean = x.flatten(1) @ self.W * self.variance / self.noise**2
        return Independent(Normal(mean, (self.widen * self.variance.sqrt()).expand_as(mean)), 1)

    def decode(self, z, teacher=None):
        return Independent(Normal((z @ self.W.T).view(*z.shape[:-1], 1, 2, 2), self.noise), 3)

    def images(self, n: int) -> torch.Tensor:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            return self.decode(torch.randn(n, 2)).sample()

    def nll(self, x) -> torch.Tensor:
        covariance = self.W @ self.W.T + self.noise**2 * torch.eye(4)
        return -MultivariateNormal(torch.zeros(4), covariance).log_prob(x.flatten(1)).mean().detach()


@cache
def measured_linear_gaussian(n: int) -> Metrics:
    vae = LinearGaussian()
    return evaluate(vae, vae.images(n), SampleSizes(samples=50, images=100, codes=0))[0]


class TestLinearGaussian:
    """Each estimator where the truth is known."""

    N = 6000

    @pytest.fixture
    def metrics(self):
        return measured_linear_gaussian(self.N)

    def near(self, metrics, key: str, truth: float, slack: float = 0.0) -> None:
        assert abs(getattr(metrics, key) - truth) < 4 * metrics.se[key] + slack

    def test_information_and_rate_are_minus_half_the_log_determinant_of_the_posterior(self, metrics):
        truth = -0.5 * LinearGaussian().variance.log().sum().item()  # 1.6 nats
        self.near(metrics, "mi", truth, slack=0.01)  # n posteriors in place of all
        self.near(metrics, "kl", truth)
        assert sum(metrics.kl_each) == pytest.approx(metrics.kl)

    def test_aggregate_posterior_is_the_prior(self, metrics):
        self.near(metrics, "divergence", 0.0, slack=0.01)
        assert metrics.divergence == pytest.approx(
            metrics.kl - metrics.mi, abs=4 * metrics.se["mi"] + 4 * metrics.se["kl"]
        )

    def test_activity_is_one_minus_the_posterior_variance(self, metrics):
        truth = (1 - LinearGaussian().variance).tolist()
        assert metrics.activity == pytest.approx(truth, rel=0.06) and metrics.au == 2

    def test_exact_posterior_leaves_no_gap(self, metrics):
        vae = LinearGaussian()
        assert metrics.gap == pytest.approx(0, abs=1e-4)
        self.near(metrics, "nll", vae.nll(vae.images(self.N)).item())

    def test_importance_weights_close_the_gap_of_a_wrong_posterior(self):
        vae = LinearGaussian(widen=1.4)
        x = vae.images(self.N)
        metrics = evaluate(vae, x, SampleSizes(samples=500, images=400, codes=0))[0]
        truth = vae.nll(x).item()
        assert metrics.nelbo - truth > 0.2  # 2 * (0.5 * (1.4**2 - 1) - log 1.4) = 0.29 nats
        assert metrics.nll == pytest.approx(truth, abs=4 * metrics.se["nll"])

    def test_more_codes_make_a_tighter_bound(self):
        vae = LinearGaussian(widen=1.4)
        gaps = [importance_gap(vae, vae.images(300), s)[0] for s in (1, 5, 200)]
        assert abs(gaps[0]) < 0.05 < gaps[1] < gaps[2]


@pytest.mark.parametrize("source", ["prior", "posterior"])
def test_consistency_of_a_constant_encoder_is_the_distance_of_its_codes(source):
    torch.manual_seed(0)
    vae = constant_encoder(0.0, 1.0)  # codes are standard normal from either source, and all come back as 0
    errors = latent_consistency(vae, squares(400), source)
    truth = math.sqrt(2) * math.gamma((D + 1) / 2) / math.gamma(D / 2)  # mean norm of a standard normal code
    assert errors.mean().item() == pytest.approx(truth, abs=4 * errors.std().item() / 20)


def test_deterministic_model_has_no_measure_that_needs_a_distribution():
    vae = random_vae(TINY)
    vae.deterministic = True
    metrics = evaluate(vae, squares(60), SampleSizes(samples=5, images=10, codes=10))[0]
    assert metrics.nelbo is metrics.kl is metrics.mi is metrics.divergence is metrics.nll is metrics.kl_each is None
    assert metrics.distortion > 0 and metrics.squared_error > 0 and metrics.consistency_prior > 0


@pytest.mark.parametrize(("n", "present"), [(2, False), (20, False), (49, False), (50, True), (99, True)])
def test_information_in_batches_of_50_wants_50_images(n, present):
    metrics = measure(random_vae(TINY), squares(n))
    assert (metrics.mi_b50 is not None) == present == ("mi_b50" in metrics.se)
    assert metrics.mi is not None and metrics.mi <= math.log(n) + 1e-4
    json.dumps(asdict(metrics), allow_nan=False)


@pytest.mark.parametrize("n", [0, 1])
def test_measures_of_fewer_than_two_images_are_refused(n):
    with pytest.raises(ValueError, match="two or more, got"):
        measure(random_vae(TINY), squares(n))


def test_every_mean_has_its_standard_error():
    metrics = evaluate(random_vae(TINY), squares(60), SampleSizes(samples=5, images=10, codes=10))[0]
    means = {k for k, v in vars(metrics).items() if isinstance(v, float)}
    assert means == set(metrics.se) and all(e > 0 for e in metrics.se.values())
