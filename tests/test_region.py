"""Regions of a search: what is inside, what fills them evenly, what is refused."""

import math

import pytest
import torch

from lso_bench.errors import UsageError
from lso_bench.search.region import beyond_prior_warning, build, parse

DRAWS = torch.linspace(0, 100, 101)[:, None] * torch.tensor([1.0, -2.0])  # quantiles are known


def region(text, d=2):
    return build(text, d, lambda: DRAWS)


def test_box_clips_each_dimension():
    torch.testing.assert_close(region("box:3").clip(torch.tensor([5.0, -1.0])), torch.tensor([3.0, -1.0]))


def test_ball_clips_the_length_and_keeps_the_direction():
    torch.testing.assert_close(region("ball:1").clip(torch.tensor([3.0, 4.0])), torch.tensor([0.6, 0.8]))
    assert torch.equal(region("ball:10").clip(torch.zeros(2)), torch.zeros(2))


def test_resting_point_of_adam_in_a_ball_is_the_optimum():
    """The gradient at the optimum on a ball is parallel to the latent, whose length is the radius."""
    size = torch.tensor([1.0, 10.0, 1000.0])
    u = torch.tensor([[0.5, 0.5, 0.5], [0.0, -0.9, 0.1]]).requires_grad_()
    optimizer = torch.optim.Adam([u], lr=0.01)
    for step in range(3000):
        loss = (size * (u - torch.tensor([2.0, -1.0, 0.3])).square()).sum() / 2
        (u.grad,) = torch.autograd.grad(loss, u)
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step / 100)
        optimizer.step()
        with torch.no_grad():
            u.copy_(region("ball:1", 3).after_adam(u, optimizer, u))
    downhill = -torch.autograd.grad((size * (u - torch.tensor([2.0, -1.0, 0.3])).square()).sum() / 2, u)[0]
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(torch.cosine_similarity(u, downhill), torch.ones(2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("text", ["none", "box:1", "ball:1"])
def test_latents_inside_a_region_stay_where_a_step_of_adam_led(text):
    u = torch.tensor([0.1, -0.2]).requires_grad_()
    optimizer = torch.optim.Adam([u], lr=0.01)
    u.grad = torch.tensor([1.0, 0.0])
    optimizer.step()
    assert torch.equal(region(text).after_adam(u.detach(), optimizer, u), u.detach())


def test_quantiles_bound_each_dimension_by_the_tails_of_the_aggregate_posterior():
    low, high = region("quantiles:0.1").bounds
    torch.testing.assert_close(low, torch.tensor([10.0, -180.0]))
    torch.testing.assert_close(high, torch.tensor([90.0, -20.0]))


def test_none_leaves_everything_and_has_no_bounds():
    z = torch.tensor([1e6, -1e6])
    assert torch.equal(region("none").clip(z), z)
    with pytest.raises(ValueError, match="box:3"):
        _ = region("none").bounds


def test_uniform_points_of_the_cube_are_uniform_in_the_box():
    u = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0))
    z = region("box:3").spread(u)
    torch.testing.assert_close(z.var(0), torch.full((2,), 3.0), rtol=0.05, atol=0)  # (2 * 3)^2 / 12


@pytest.mark.parametrize("d", [1, 2, 32])
def test_uniform_points_of_the_cube_are_uniform_in_the_ball(d):
    u = torch.rand(20_000, d, generator=torch.Generator().manual_seed(0))
    z = region("ball:2", d).spread(u)
    length = z.norm(dim=-1)
    assert length.max() <= 2 + 1e-6
    share = (length / 2) ** d  # uniform on [0, 1] if the points are uniform in the ball
    torch.testing.assert_close(
        torch.quantile(share, torch.tensor([0.1, 0.5, 0.9])), torch.tensor([0.1, 0.5, 0.9]), atol=0.02, rtol=0
    )
    assert z.mean(0).abs().max() < 0.06


def test_ends_of_the_cube_stay_finite_and_inside():
    for text in ("box:3", "ball:3"):
        z = region(text, 4).spread(torch.stack([torch.zeros(4), torch.ones(4)]))
        assert z.isfinite().all() and (region(text, 4).clip(z) - z).abs().max() < 1e-5


@pytest.mark.parametrize(
    "text", ["bix:3", "box", "box:-1", "box:nan", "box:x", "ball:0", "quantiles:0.5", "none:3", ""]
)
def test_anything_else_is_refused_and_told_what_is_wanted(text):
    with pytest.raises(UsageError, match="wanted none, box:"):
        parse(text)


def test_region_that_leaves_the_prior_behind_is_warned_of():
    assert "far behind" in beyond_prior_warning("box:10", 32) and "5.7" in beyond_prior_warning("ball:20", 32)
    assert not any(beyond_prior_warning(t, 32) for t in ("box:3", "ball:10", "none", "quantiles:0.01"))
    assert math.isnan(parse("none")[1])


def test_all_of_the_cube_is_inside_a_box_as_it_is():
    u = torch.rand(5, 2)
    for text in ("box:3", "quantiles:0.1"):
        where = region(text)
        assert where.nearest(u) is u and where.even(u) is u and where.drawn_back(u, u, u[:, :1]) is u
        assert torch.equal(where.throughout(u), where.spread(u))


@pytest.mark.parametrize("d", [1, 3, 16])
def test_nearest_points_of_a_ball_are_those_that_codes_are_clipped_to(d):
    u, where = torch.rand(200, d, generator=torch.Generator().manual_seed(0)).double(), region("ball:2", d)
    near = where.nearest(u)
    assert (near - 0.5).norm(dim=-1).max() <= 0.5 + 1e-12
    torch.testing.assert_close(where.from_cube(near), where.from_cube(u))
    torch.testing.assert_close(where.nearest(near), near)
    assert (where.nearest(u, 0.1) - 0.5).norm(dim=-1).max() <= 0.45 + 1e-12


def test_nearest_points_of_a_ball_have_a_gradient_its_centre_included():
    u = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)).double()
    u[0] = 0.5
    assert torch.autograd.gradcheck(region("ball:2", 4).nearest, u.requires_grad_())


@pytest.mark.parametrize("on_the_sphere", [False, True])
def test_points_outside_a_ball_are_drawn_back_along_their_segment_and_others_stay(on_the_sphere):
    rng, where = torch.Generator().manual_seed(0), region("ball:2", 6)
    u, best = torch.rand(500, 6, generator=rng).double(), where.even(torch.rand(1, 6, generator=rng).double())
    if on_the_sphere:
        best = 0.5 + 0.5 * (best - 0.5) / (best - 0.5).norm()
    outside = (u - 0.5).norm(dim=-1) > 0.5
    half, full = (where.drawn_back(u, best, torch.full((500, 1), s).double()) for s in (0.5, 1.0))
    assert 0 < outside.sum() < 500 and torch.equal(half[~outside], u[~outside])
    assert (full - 0.5).norm(dim=-1).max() <= 0.5 + 1e-9
    torch.testing.assert_close(half[outside] - best, (full[outside] - best) / 2)
    along = torch.cosine_similarity(full - best, u - best, dim=-1)[outside & ((full - best).norm(dim=-1) > 1e-9)]
    torch.testing.assert_close(along, torch.ones_like(along))


def test_even_points_of_the_cube_are_those_of_the_ball_in_its_coordinates():
    u, where = torch.rand(50, 5, generator=torch.Generator().manual_seed(0)).double(), region("ball:2", 5)
    torch.testing.assert_close(where.even(u), where.to_cube(where.spread(u)))


@pytest.mark.parametrize("d", [1, 2, 32])
def test_points_throughout_a_ball_are_uniform_in_their_distance_from_its_centre(d):
    z = region("ball:2", d).throughout(torch.rand(20_000, d, generator=torch.Generator().manual_seed(0)))
    share, at = z.norm(dim=-1) / 2, torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(torch.quantile(share, at), at, atol=0.02, rtol=0)
    assert z.mean(0).abs().max() < 0.06
