"""Batched Gaussian processes against single ones, closed forms and fine grids."""

import math

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.errors import NotPSDError

from lso_bench.search import SEARCHERS, Problem, gaussian_process
from lso_bench.search.region import build
from lso_bench.searchers.bo import BO
from lso_bench.searchers.sobol import Sobol
from lso_bench.searchers.turbo import FIRST, LEAST, MOST, TrustRegions, around, highest

K, N, D = 4, 12, 3


def data(k=K, n=N, d=D, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(k, n, d, generator=rng).double()
    peaks = torch.rand(k, 1, d, generator=rng).double()
    return x, -(3 * (x - peaks)).square().sum(-1) + torch.sin(5 * x[..., 0])


def fitted(x, y, steps=100):
    return gaussian_process.fit(x, y, steps)


def losses(model):
    """The objective of a fit, of each problem."""
    return gaussian_process._negative_log_posterior(model.gps)(gaussian_process._hyperparameters(model.gps))[0]


def alone(model, i):
    """The process of one problem, as BoTorch has it."""
    single = SingleTaskGP(model.x[i], model.gps.train_targets[i, :, None], outcome_transform=None)
    single.covar_module.lengthscale = model.gps.covar_module.lengthscale[i].detach()
    single.likelihood.noise = model.gps.likelihood.noise[i].detach()
    single.mean_module.constant = model.gps.mean_module.constant[i].detach()
    return single.eval()


def test_batched_fit_is_that_of_single_processes_by_botorch():
    x, y = data()
    batch = fitted(x, y)
    ours = -losses(batch.model)
    for i in range(K):
        single = SingleTaskGP(x[i], gaussian_process.standardised(y)[i, :, None], outcome_transform=None)
        likelihood = ExactMarginalLogLikelihood(single.likelihood, single)
        fit_gpytorch_mll(likelihood)
        single.train()
        theirs = likelihood(single(*single.train_inputs), single.train_targets).item()
        assert ours[i].item() == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("kernel", ["rbf", "matern", "linear"])
def test_loss_of_a_fit_and_its_gradient_are_those_of_gpytorch(kernel):
    x, y = data()
    gps = gaussian_process._processes(x, gaussian_process.standardised(y), kernel)
    settings = gaussian_process._hyperparameters(gps) * torch.linspace(0.5, 1.5, K).double()[:, None]
    values, slopes = gaussian_process._negative_log_posterior(gps)(settings)
    theirs = -ExactMarginalLogLikelihood(gps.likelihood, gps)(gps(*gps.train_inputs), gps.train_targets)
    gradients = torch.autograd.grad(theirs.sum(), [*gps.parameters()])
    torch.testing.assert_close(values, theirs.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slopes, torch.cat([g.reshape(K, -1) for g in gradients], 1), rtol=1e-7, atol=1e-9)


def test_posterior_is_that_of_botorch():
    x, y = data()
    model = fitted(x, y).model
    points = torch.rand(5, K, 2, D, generator=torch.Generator().manual_seed(1)).double()
    ours = model.posterior(points).distribution
    for i in range(K):
        single = alone(model, i)
        theirs = single.posterior(points[:, i]).distribution
        torch.testing.assert_close(ours.mean[:, i], theirs.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours.covariance_matrix[:, i], theirs.covariance_matrix, rtol=1e-3, atol=1e-5)


def test_posterior_goes_through_points_without_noise():
    x, y = data(n=20)
    model = fitted(x, y).model
    mean = model.posterior(x.transpose(0, 1)[:, :, None]).mean[..., 0, 0].T
    assert (mean - model.gps.train_targets).abs().max() < 0.1


@pytest.mark.parametrize("k", [1, 3])
def test_best_point_is_that_of_a_fine_grid(k):
    x, y = data(k=k, n=6, d=1)
    acquisition = gaussian_process.log_ei(fitted(x, y).model, 1)
    raw = torch.linspace(0, 1, 40).double().view(-1, 1, 1, 1).expand(-1, k, -1, -1)
    best = acquisition(gaussian_process.maximise(acquisition, raw, 4, 100).unsqueeze(0)).squeeze(0)
    grid = acquisition(torch.linspace(0, 1, 2001).double().view(-1, 1, 1, 1).expand(-1, k, -1, -1)).amax(0)
    assert (best >= grid - 1e-3).all()


def test_acquisition_is_botorchs_own():
    x, y = data(k=1)
    model = fitted(x, y).model
    single = alone(model, 0)
    points = torch.rand(7, 1, D, generator=torch.Generator().manual_seed(1)).double()
    theirs = LogExpectedImprovement(single, best_f=model.gps.train_targets.max())(points)
    torch.testing.assert_close(gaussian_process.log_ei(model, 1)(points[:, None])[:, 0], theirs, rtol=1e-3, atol=1e-3)


def test_two_points_together_are_worth_more_than_either():
    x, y = data()
    model = fitted(x, y).model
    pair = torch.rand(60, K, 2, D, generator=torch.Generator().manual_seed(2)).double()
    both = gaussian_process.log_ei(model, 2)(pair)
    either = torch.maximum(*(gaussian_process.log_ei(model, 1)(pair[:, :, i : i + 1]) for i in range(2)))
    likely = either > -4  # elsewhere 128 samples see no improvement
    assert likely.sum() > 10 and (both > either - 0.3)[likely].all()


def test_working_in_parts_changes_nothing(monkeypatch):
    x, y = data()
    whole = fitted(x, y)
    noise = torch.randn(K, 9, 2, generator=torch.Generator().manual_seed(0)).double()
    drawn = gaussian_process.draws(whole.model, x[:, :9], noise)
    monkeypatch.setattr(gaussian_process, "ENTRIES", 1)
    parts = fitted(x, y)
    torch.testing.assert_close(losses(parts.model), losses(whole.model), rtol=0, atol=1e-6)
    torch.testing.assert_close(gaussian_process.draws(whole.model, x[:, :9], noise), drawn, rtol=1e-4, atol=1e-4)


def test_draws_keep_no_graph():
    x, y = data()
    noise = torch.randn(K, 9, 2, generator=torch.Generator().manual_seed(0)).double()
    drawn = gaussian_process.draws(fitted(x, y, steps=2).model, x[:, :9].clone().requires_grad_(), noise)
    assert drawn.grad_fn is None and not drawn.requires_grad


@pytest.mark.parametrize("name", ["bo", "turbo"])
def test_points_asked_for_carry_no_graph(name):
    problem = Problem(torch.zeros(2, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2)))
    search = SEARCHERS.build(f"{name}:initial=2,q=1,fit_steps=2").search(problem)
    z = next(search)
    for _ in range(3):
        z = search.send(-z.square().sum(-1))
        assert not z.requires_grad


def test_draws_have_the_posteriors_mean_and_spread():
    x, y = data(k=1, n=5)
    model, points = fitted(x, y).model, torch.rand(1, 3, D, generator=torch.Generator().manual_seed(3)).double()
    drawn = gaussian_process.draws(
        model, points, torch.randn(1, 3, 20_000, generator=torch.Generator().manual_seed(0)).double()
    )
    posterior = model.posterior(points).distribution
    torch.testing.assert_close(drawn.mean(-1), posterior.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn[0].cov(), posterior.covariance_matrix[0], atol=0.03, rtol=0.05)


@pytest.mark.parametrize("scores", [0.0, 1e30, 5.0])
def test_scores_that_are_all_the_same_do_no_harm(scores):
    x, _ = data()
    fit = fitted(x, torch.full((K, N), scores).double())
    assert fit.fitted.all() and fit.model is not None


def test_standardised_scores_of_any_size_have_mean_0_and_deviation_1():
    _, y = data()
    for scale in (1e-12, 1.0, 1e25):
        z = gaussian_process.standardised(y * scale + 3 * scale)
        torch.testing.assert_close(z.mean(1), torch.zeros(K).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(z.std(1), torch.ones(K).double())


def test_problem_that_cannot_be_fitted_is_left_out_and_the_others_are_not():
    x, y = data()
    broken = x.clone()
    broken[1] = torch.nan
    fit, clean = fitted(broken, y), fitted(x, y)
    assert fit.fitted.tolist() == [True, False, True, True]
    torch.testing.assert_close(losses(fit.model), losses(clean.model)[[0, 2, 3]], rtol=0, atol=1e-6)


def test_step_without_a_process_asks_for_sobol_points_and_counts_them(monkeypatch):
    def hopeless(x, y, steps, kernel):
        return gaussian_process.Fit(None, torch.zeros(len(x), dtype=torch.bool))

    monkeypatch.setattr(gaussian_process, "fit", hopeless)
    for name in ("bo", "turbo"):
        problem = Problem(torch.zeros(3, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2)))
        search = SEARCHERS.build(f"{name}:initial=2,q=1").search(problem)
        z = next(search)
        for _ in range(4):
            z = search.send(-z.square().sum(-1))
        assert z.isfinite().all() and z.abs().max() <= 3 and problem.counts["fallbacks"] >= 6


def test_trust_region_doubles_after_successes_and_halves_after_failures():
    trust, asked = TrustRegions(2, patience=2), torch.tensor([True, True])
    y = torch.tensor([[0.0], [0.0]]).double()
    for step in range(1, 4):
        y = torch.cat([y, torch.tensor([[float(step)], [-1.0]]).double()], 1)
        trust.follow(y, 1, asked)
    assert trust.length.tolist() == [min(2 * FIRST, MOST), FIRST / 2]


def test_trust_region_that_has_shrunk_away_begins_anew():
    trust, y = TrustRegions(1, patience=1), torch.zeros(1, 1).double()
    for _ in range(math.ceil(math.log2(FIRST / LEAST))):
        y = torch.cat([y, torch.full((1, 1), -1.0).double()], 1)
        trust.follow(y, 1, torch.tensor([True]))
    assert trust.length.item() == FIRST and trust.since.item() == y.shape[1]


def test_trust_region_is_longer_where_the_process_varies_slowly_and_keeps_its_volume():
    low, high = around(torch.full((1, 1, 2), 0.5).double(), torch.tensor([[0.2, 0.8]]).double(), torch.tensor([0.4]))
    torch.testing.assert_close((high - low)[0, 0], torch.tensor([0.2, 0.8]).double())


def test_draws_choose_their_highest_candidates_and_none_twice():
    candidates = torch.arange(4.0)[None, :, None]
    drawn = torch.tensor([[[0.0, 0.0], [3.0, 3.0], [1.0, 2.0], [0.0, 1.0]]])
    assert highest(candidates, drawn).flatten().tolist() == [1.0, 2.0]


def test_bo_spends_far_fewer_evaluations_than_sobol_on_a_smooth_valley():
    problem = Problem(torch.full((2, 1, 4), 2.0), build("box:3", 4, lambda: torch.zeros(1, 4)))
    reached = []
    for searcher in (BO(initial=8, raw=32, restarts=2), Sobol(batch=1)):
        search, best = searcher.search(problem), torch.full((2,), -torch.inf)
        z = next(search)
        for _ in range(16):
            y = -(z - 0.7).square().sum(-1)
            best = torch.maximum(best, y.amax(1))
            z = search.send(y)
        reached.append(best)
    assert (reached[0] > -0.1).all() and (reached[1] < 10 * reached[0]).all()


@pytest.mark.parametrize("bad", [{1}, {0, 3}, {0, 1, 2, 3}])
def test_problem_whose_posterior_fails_is_left_out_and_the_others_are_as_before(bad):
    x, y = data()
    model = fitted(x, y).model

    def highest_point(gp, indices):  # of the points seen, that of the highest posterior mean
        if bad & set(indices.tolist()):
            raise NotPSDError("not positive definite")
        mean = gp.posterior(x[indices].transpose(0, 1).unsqueeze(2)).mean.squeeze((-1, -2))  # (n, b)
        return x[indices, mean.argmax(0)].unsqueeze(1)

    good, points = gaussian_process.proposed(model, highest_point)
    bad, kept = set(), [i for i in range(K) if i not in bad]
    assert good.tolist() == kept
    torch.testing.assert_close(points.expand(-1, 1, D), highest_point(model, torch.arange(K))[kept])
