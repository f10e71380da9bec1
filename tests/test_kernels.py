"""Kernels of Gaussian processes against published values, closed forms and BoTorch's own posteriors."""

import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from test_surrogate import K, data, losses

from lso_bench.search import SEARCHERS, gaussian_process, kernels
from lso_bench.search.kernels import SphericalLinear

NAMES = ("rbf", "matern", "linear")
D = 3
POINTS = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.4, 0.3], [1.0, 0.0, 0.6]]).double()


def spherical(lengthscales, shares, scale):
    """The kernel of one problem with these raw hyperparameters."""
    kernel = SphericalLinear(len(lengthscales), torch.Size([1])).double()
    kernel.raw_lengthscale.data = torch.tensor(lengthscales).double().view(1, 1, -1)
    kernel.raw_shares.data, kernel.raw_scale.data = torch.tensor([shares]).double(), torch.tensor([[scale]]).double()
    return kernel


def values(kernel, *x):
    return kernel(*(part[None] for part in x)).to_dense()[0].detach()


def test_linear_kernel_has_the_values_of_the_published_code():
    """Values by `SphericalLinearKernel` of repository colmont/linear-bo, commit 6ee3bb68, in double precision."""
    expected = [[1.0, 0.638176189411, 0.272882357611], [0.638176189411, 1.0, 0.554973052804]]
    result = values(spherical([0.1, 0.5, 2.0], [0.3, -0.2], 0.7), POINTS)
    torch.testing.assert_close(result[:2], torch.tensor(expected, dtype=torch.double), rtol=0, atol=1e-11)


def test_linear_kernel_is_the_cosine_of_projected_points():
    """The centre is projected onto a pole; a corner, scaled to norm r = g^-1/2, has height (r^2 - 1) / (r^2 + 1)."""
    kernel = spherical([0.4, 0.4], [-50.0, 50.0], 0.0)  # no constant, g = 1/2
    centre, corner = torch.full((1, 2), 0.5).double(), torch.ones(1, 2).double()
    assert values(kernel, centre, corner).item() == pytest.approx(-1 / 3, abs=1e-12)
    assert values(kernel, centre, 0 * corner).item() == pytest.approx(-1 / 3, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_diagonal_is_that_of_the_matrix_and_problems_are_apart(name):
    torch.manual_seed(0)
    x = torch.rand(2, 5, D).double()
    kernel = kernels.build(name, D, torch.Size([2])).double()
    for p in kernel.parameters():
        p.data = torch.rand_like(p) + 0.1
    whole = kernel(x).to_dense()
    torch.testing.assert_close(whole.diagonal(dim1=1, dim2=2), kernel(x, diag=True))
    for p in kernel.parameters():
        p.data[1] = 3.0
    torch.testing.assert_close(kernel(x).to_dense()[0], whole[0])
    assert not torch.allclose(kernel(x).to_dense()[1], whole[1])


@pytest.mark.parametrize("name", NAMES)
def test_posterior_of_each_kernel_is_botorchs(name):
    x, y = data()
    model = gaussian_process.fit(x, y, 10, name).model
    points = torch.rand(K, 2, D, generator=torch.Generator().manual_seed(1)).double()
    model.gps.eval()
    theirs = model.gps.posterior(points).distribution
    mean, covariance = theirs.mean.squeeze(-1), theirs.covariance_matrix
    joint = model.posterior(points[None]).distribution
    torch.testing.assert_close(joint.mean[0], mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(joint.covariance_matrix[0], covariance, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model.mean(points), mean, rtol=1e-5, atol=1e-5)
    each = model.posterior(points.transpose(0, 1).unsqueeze(2)).variance[..., 0, 0].T
    torch.testing.assert_close(each, covariance.diagonal(dim1=1, dim2=2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_processes_of_some_problems_are_those_of_all(name):
    x, y = data()
    model = gaussian_process.fit(x, y, 5, name).model
    torch.testing.assert_close(model.subset(torch.tensor([2])).mean(x[2:3]), model.mean(x)[2:3])


def rugged(k, n, d):
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(k, n, d, generator=rng).double()
    off = 6 * x - 3 - (torch.rand(k, 1, d, generator=rng).double() * 4 - 2)
    return x, -(off.square().sum(-1) + 2 * (1 - torch.cos(2 * off)).sum(-1)) / d


@pytest.mark.parametrize("name", ["rbf", "matern"])
def test_first_fit_reaches_the_optimum_that_botorch_reaches(name):
    k, d = 3, 32
    x, y = rugged(k, 20, d)
    fit = gaussian_process.fit(x, y, 100, name)
    ours = -losses(fit.model)
    for i in range(k):
        kernel = kernels.build(name, d, torch.Size())
        single = SingleTaskGP(x[i], gaussian_process.standardised(y)[i, :, None], None, None, kernel, None, None)
        likelihood = ExactMarginalLogLikelihood(single.likelihood, single)
        fit_gpytorch_mll(likelihood)
        single.train()
        theirs = likelihood(single(*single.train_inputs), single.train_targets).item()
        assert ours[i].item() > theirs - 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_first_fit_has_converged(name):
    k, d = 4, 32
    x, y = rugged(k, 20, d)
    points = torch.rand(k, 200, d).double()
    short, long = (gaussian_process.fit(x, y, steps, name).model.mean(points) for steps in (100, 2000))
    assert (short - long).abs().max() < 0.02  # of a standard deviation of the scores


def test_default_kernel_is_in_no_key_and_another_is():
    stored = "bo:initial=20,q=5,raw=128,restarts=4,fit_steps=20,polish_steps=40"
    assert SEARCHERS.canonical("bo:q=5") == SEARCHERS.canonical("bo:q=5,kernel=rbf") == stored
    assert SEARCHERS.canonical("bo:q=5,kernel=linear") == f"{stored},kernel=linear"
    assert SEARCHERS.canonical("turbo") == "turbo:initial=20,q=5,candidates=500,fit_steps=20"
    assert SEARCHERS.build(f"{stored},kernel=linear").kernel == "linear"


@pytest.mark.parametrize("scores", [0.0, 1e30])
def test_equal_scores_do_no_harm_to_the_linear_kernel(scores):
    x, _ = data()
    assert gaussian_process.fit(x, torch.full((K, 12), scores).double(), 20, "linear").fitted.all()
