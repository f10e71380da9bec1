"""Inversion: latents that agree with the samples that were scored, closed forms first."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

from lso_bench.errors import PluginError, UsageError
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.inversion import agreeing
from lso_bench.search.region import build
from lso_bench.search.space import Space
from lso_bench.searchers.cmaes import injected
from lso_bench.study.grid import Grid, plan
from lso_bench.testing import template
from lso_bench.testing.linear_model import LinearModel, WithoutGradient, example_model
from lso_bench.vae.architectures.gru import GRU
from lso_bench.vae.architectures.paper import Paper
from lso_bench.vae.model import VAE

D, K, N = 3, 2, 4


def box(d: int = D):
    return build("box:3", d, lambda: torch.zeros(1, d))


def problem(model, decoding: str = "mean", **fields) -> Problem:
    d = model.latent
    return Problem(torch.zeros(K, 1, d), box(d), space=Space(model, decoding), **fields)


def points(d: int = D) -> torch.Tensor:
    return torch.randn(K, N, d, generator=torch.Generator().manual_seed(0)).clamp(-2.9, 2.9)


def density(problem: Problem, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return problem.space.log_prob(x.flatten(0, 1), z.flatten(0, 1))


ZEROS = torch.zeros(K, N)


def test_the_likeliest_latent_of_the_mean_of_a_normal_decoder_is_the_latent_itself():
    z = points()
    assert torch.equal(agreeing(problem(example_model(D, normal=True)), z, ZEROS, 5), z)


def test_from_another_start_the_likeliest_latent_is_that_of_least_squares():
    class Rounding(LinearModel):
        """A decoder of whole numbers, whose latents of most samples are then others."""

        def mean(self, z):
            return super().mean(z).round()

    weight = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 1.0, 0.0]])
    model = Rounding(weight, torch.zeros(4), normal=True)
    p, z = problem(model), 0.5 * points()
    expected = p.region.clip(torch.linalg.lstsq(weight, model.mean(z.flatten(0, 1)).T).solution.T.view_as(z))
    assert (expected - z).abs().max() > 0.1
    assert torch.allclose(agreeing(p, z, ZEROS, 400), expected, atol=2e-3)


MODELS = {
    "bernoulli": (lambda: example_model(D), "mean"),
    "normal": (lambda: example_model(D, normal=True), "mean"),
    "pixels": (lambda: VAE(Paper(latent=D, encoder=4, hidden=8, channels=4, kernels=(7, 5, 3), skips=False)), "sample"),
    "tokens": (lambda: VAE(GRU(shape=(7, 5), latent=D, likelihood="categorical:vocabulary=5", hidden=8)), "greedy"),
}


@pytest.mark.parametrize("name", MODELS)
def test_no_latent_becomes_less_likely_and_all_stay_in_the_region(name):
    make, decoding = MODELS[name]
    torch.manual_seed(0)
    p, z = problem(make(), decoding), points()
    x = p.space.discrete(z)
    inverted = agreeing(p, z, ZEROS, 10)
    gain = density(p, x, inverted) - density(p, x, z)
    assert (gain >= -1e-5).all() and torch.equal(p.region.clip(inverted), inverted)
    assert name == "normal" or gain.max() > 0.01


def test_a_descent_begins_at_the_encoders_mean_where_that_is_likelier():
    weight = torch.eye(D)
    model = LinearModel(weight, torch.zeros(D), normal=True)
    x, far = torch.full((1, D), 2.0), torch.full((1, D), -3.0)  # the encoder's mean of x is 1
    p = problem(model)
    p.space.discrete = lambda points, active: x.expand(*points.shape[:2], -1)
    inverted = agreeing(p, far.expand(K, 1, D).contiguous(), torch.zeros(K, 1), 1)
    assert torch.allclose(inverted, torch.full_like(inverted, 1.1), atol=1e-5)  # one step of Adam, of 0.1, from 1


def test_gradients_decodes_and_seconds_are_counted():
    p = problem(example_model(D))
    agreeing(p, points(), ZEROS, 5)
    assert p.counts == {"gradients": 5 * K * N, "inversion_fallbacks": 0}
    assert p.space.decodes == K * N * (1 + 2 + 5 + 5) and p.clock.seconds["invert"] > 0


def test_without_steps_nothing_is_decoded_or_counted():
    p, z = problem(example_model(D)), points()
    assert agreeing(p, z, ZEROS, 0) is z and not p.counts and not p.space.decodes


def test_points_of_a_problem_that_is_over_stay():
    p, z = problem(example_model(D)), points()
    y = ZEROS.clone()
    y[0] = torch.nan
    inverted = agreeing(p, z, y, 5)
    assert torch.equal(inverted[0], z[0]) and not torch.equal(inverted[1], z[1])
    assert torch.equal(agreeing(p, z, torch.full_like(y, torch.nan), 5), z)


def test_problems_and_points_are_inverted_apart():
    z = points()
    together = agreeing(problem(example_model(D)), z, ZEROS, 5)
    one = Problem(torch.zeros(1, 1, D), box(), space=Space(example_model(D), "mean"))
    assert torch.allclose(agreeing(one, z[1:, 2:3], torch.zeros(1, 1), 5), together[1:, 2:3], atol=1e-6)


def test_a_density_that_is_not_finite_leaves_the_latent_and_is_counted():
    class Broken(LinearModel):
        def decode(self, z, teacher=None):
            mean = z @ self.weight.T + self.bias
            return Independent(Normal(mean.masked_fill(z[:, :1] > 0, math.nan), 1.0, validate_args=False), 1)

    model = Broken(torch.eye(D), torch.ones(D), normal=True)
    p, z = problem(model), points()
    p.space.means = lambda x: torch.ones(len(x), D)
    p.space.discrete = lambda points, active: torch.full_like(points, -2.0)
    inverted = agreeing(p, z, ZEROS, 3)
    kept = z[..., 0] > 0
    assert torch.equal(inverted[kept], z[kept]) and inverted.isfinite().all() and not torch.equal(inverted, z)
    assert p.counts["inversion_fallbacks"] == int(kept.sum()) > 0


def test_a_problem_without_a_model_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^Inversion needs the model that decodes the latents.*inversion=0\.$"):
        agreeing(Problem(torch.zeros(K, 1, D)), points(), ZEROS, 1)


def test_a_density_without_a_gradient_is_refused_in_one_line():
    with pytest.raises(PluginError, match=r"^Inversion needs the gradient of log p"):
        agreeing(problem(WithoutGradient(torch.eye(D), torch.zeros(D))), points(), ZEROS, 1)


@pytest.mark.parametrize("name", ["bo:initial=3,raw=8,restarts=1", "turbo:initial=3,candidates=20", "cmaes"])
def test_a_searcher_learns_from_the_inverted_latents(name):
    searcher, steps = SEARCHERS.build(name), 4
    p = problem(example_model(D))
    asked = [z.clone() for z in replies(replace(searcher, inversion=5), p, steps)]
    plain = [z.clone() for z in replies(searcher, problem(example_model(D)), steps)]
    assert torch.equal(asked[0], plain[0]) and not torch.equal(asked[-1], plain[-1])
    assert p.counts["gradients"] == 5 * sum(z.shape[1] for z in asked[:-1]) * K


def replies(searcher, p: Problem, steps: int) -> list[torch.Tensor]:
    search, asked = searcher.search(p), []
    z = next(search)
    for _ in range(steps):
        asked.append(z)
        z = search.send(-(z - 0.3).square().sum(-1))
    return [*asked, z]


def test_injected_points_are_drawn_towards_the_mean_to_the_published_length():
    """Hansen 2011: at most sqrt(n) + 2 n / (n + 2) deviations; nearer ones stay."""
    from cmaes import CMA

    covariance = np.diag([1.0, 4.0, 0.25])
    strategy = CMA(np.ones(3), 0.5, cov=covariance)
    near, far = np.array([1.1, 0.9, 1.0]), np.array([1.0, 101.0, 1.0])
    moved = injected(strategy, np.stack([near, far]))
    most = math.sqrt(3) + 6 / 5
    assert np.allclose(moved[0], near) and np.allclose(moved[1], [1.0, 1.0 + most * 0.5 * 2, 1.0])


def test_a_model_without_a_density_is_refused_before_the_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(template.MODEL)
    line = "inversion needs log p.x.z., and model './mine.py' has no log_prob; write one, or say inversion=0"
    for searcher in ("cmaes", "bo", "turbo"):
        with pytest.raises(UsageError, match=line):
            plan(Grid(("./mine.py",), ("ink:data=glyphs",), (f"{searcher}:inversion=2",)))
        plan(Grid(("./mine.py",), ("ink:data=glyphs",), (searcher,)))
