"""Coordinates by examples: the distribution of mapped points, the published map, its inverse and its gradient."""

import pytest
import torch
from conftest import TINY, random_vae
from scipy.stats import kstest
from test_coordinates import DATA, search  # noqa: F401, a fixture

from lso_bench.errors import UsageError
from lso_bench.runner import aggregate_posterior
from lso_bench.search.coordinates import Moments, build, canonical, parse
from lso_bench.search.example_coordinates import LARGEST, ExampleCoordinates, coordinates_of, weights
from lso_bench.search.space import Space
from lso_bench.vae.data import load

PRIOR = Moments(torch.zeros(4).double(), torch.eye(4).double())


def drawn(count):
    """Examples from N(0, I), with the map that they span."""
    examples = torch.randn(count, 4, generator=torch.Generator().manual_seed(0)).double()
    map_ = build(f"examples:{count}", PRIOR, lambda k: examples[:k])
    assert isinstance(map_, ExampleCoordinates)
    return examples, map_


def test_points_of_the_cube_become_draws_of_the_prior():
    """Over draws of the examples; each has uniform points of the cube, that is, draws of N(0, I) in u."""
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(4000, 9, 16, generator=generator).double()
    z = (weights(torch.randn(4000, 8, generator=generator)).unsqueeze(1) @ examples).squeeze(1)
    assert kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    torch.testing.assert_close(z.T.cov(), torch.eye(16).double(), rtol=0, atol=5 * (2 / 4000) ** 0.5)
    assert abs(z.square().sum(1).var().item() / (2 * 16) - 1) < 0.15  # of |z|^2, chi-squared with 16 degrees


@pytest.mark.parametrize("c", [1, 2, 8, 31])
def test_weights_are_on_the_positive_part_of_the_sphere_and_have_their_coordinates(c):
    u = torch.randn(50, c, generator=torch.Generator().manual_seed(c)).double()
    w = weights(u)
    assert (w >= 0).all()
    torch.testing.assert_close(w.norm(dim=-1), torch.ones(50).double())
    torch.testing.assert_close(coordinates_of(w), u, rtol=0, atol=1e-9)
    torch.testing.assert_close(coordinates_of(3 * w), u, rtol=0, atol=1e-9)


def test_weights_of_uniform_points_are_uniform_on_the_sphere():
    """Each squared weight of K has mean 1 / K; the squared sum of all has mean 1 + (K - 1) 2 / pi."""
    w = weights(torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(w.square().mean(0), torch.full((5,), 0.2).double(), rtol=0, atol=0.01)
    assert w.sum(1).square().mean().item() == pytest.approx(1 + 4 * 2 / torch.pi, rel=0.01)


def test_weights_are_those_of_the_published_map():
    """Value of `KnotheRosenblattChart.forward` of `latent_spaces_by_example` at the quantiles of these coordinates."""
    expected = [0.2447920610, 0.8157473382, 0.3705624962, 0.3705624962]
    result = weights(torch.tensor([0.5, -1.0, 0.0]))
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.double), rtol=0, atol=1e-9)


def test_gradient_of_the_weights_is_that_of_finite_differences():
    u = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    assert torch.autograd.gradcheck(weights, u)


@pytest.mark.parametrize("size", [9.0, 1e3])
def test_far_coordinates_give_finite_weights_and_gradients(size):
    u = torch.tensor([[size, -size, 0.0]]).double().requires_grad_()
    w = weights(u)
    w.sum().backward()
    assert w.isfinite().all() and u.grad is not None and u.grad.isfinite().all()


def test_combinations_of_the_examples_have_their_coordinates_and_the_examples_are_corners():
    examples, map_ = drawn(3)
    u = torch.randn(6, 5, 2).double()
    torch.testing.assert_close(map_.to_u(map_.to_z(u)), u, rtol=0, atol=1e-8)
    corners = torch.tensor([[-LARGEST, 0.0], [LARGEST, -LARGEST], [LARGEST, LARGEST]]).double()
    torch.testing.assert_close(map_.to_z(corners), examples, rtol=0, atol=1e-6)
    assert (map_.to_u(examples).abs() <= LARGEST).all()


def test_latents_beyond_the_examples_have_finite_coordinates():
    _, map_ = drawn(3)
    z = torch.randn(20, 4).double()
    assert map_.to_u(z).isfinite().all() and map_.to_u(torch.zeros(1, 4).double()).isfinite().all()


def test_examples_are_standardised_by_the_moments():
    moments = Moments(torch.arange(4.0).double(), torch.diag(torch.tensor([4.0, 1.0, 0.25, 9.0]).double()))
    draws = moments.mean + moments.covariance.diagonal().sqrt() * torch.randn(3, 4).double()
    std, u = moments.covariance.diagonal().sqrt(), torch.randn(2).double()
    plain = build("examples:3", PRIOR, lambda k: ((draws - moments.mean) / std)[:k])
    z = build("examples:3", moments, lambda k: draws[:k]).to_z(u)
    torch.testing.assert_close(z, moments.mean + std * plain.to_z(u))


def test_examples_are_the_first_draws_of_the_aggregate_posterior():
    vae = random_vae(TINY)
    examples = aggregate_posterior.examples(vae, DATA, 3)
    assert examples.shape == (3, 4) and examples.dtype == torch.double
    draws = aggregate_posterior.draws(Space(vae, "greedy"), DATA)
    torch.testing.assert_close(examples, draws[:3].double(), rtol=0, atol=1e-5)


def test_notation_counts_the_examples_and_the_coordinates_are_one_fewer():
    assert parse("examples:9", 32) == ("examples", 8) and canonical("examples:09", 32) == "examples:9"
    for text in ("examples:1", "examples:5", "examples"):
        with pytest.raises(
            UsageError, match=rf"Space '{text}': wanted examples:K, .* from 2 to 4, .*; say examples:4\.$"
        ):
            parse(text, 4)


@pytest.mark.parametrize("searcher", ["adam", "cmaes"])
def test_search_records_combinations_of_the_examples(search, searcher):  # noqa: F811
    vae = random_vae(TINY)
    bounds = {"region": "box:3", "budget": 12} if searcher == "cmaes" else {}
    record = search(vae, searcher=searcher, space="examples:3", **bounds)
    data = load("glyphs")
    map_ = build(
        "examples:3", aggregate_posterior.moments(vae, data), lambda k: aggregate_posterior.examples(vae, data, k)
    )
    z = record.tensors["z"].double()
    torch.testing.assert_close(map_.to_z(map_.to_u(z)), z, rtol=0, atol=1e-3)
    assert record.status == "ok" and record.spec.space == "examples:3"
    assert [m.norm_u for m in record.members] == pytest.approx(map_.to_u(z).norm(dim=-1).tolist(), rel=0.02, abs=0.02)
