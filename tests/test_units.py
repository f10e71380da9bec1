"""A score in any unit is searched alike."""

from dataclasses import replace

import pytest
import torch
from made import measures, one, searched
from test_searchers import SLOW

from lso_bench.analysis.caveats import caveats, stood_still
from lso_bench.search import SEARCHERS, Problem, gaussian_process
from lso_bench.search.region import build
from lso_bench.search.score_unit import LARGEST, units
from lso_bench.testing.linear_model import example_space
from lso_bench.testing.sample_problems import problem_of, sample_losses
from lso_bench.testing.template import TASK

SETTINGS = {
    "ascent": "ascent:initial=5,ascents=8,training=10",
    "baxus": "baxus:initial=3,q=2,candidates=20,fit_steps=10",
    "bo": "bo:initial=5,raw=16,restarts=1,fit_steps=5",
    "cowboys": "cowboys:initial=5,q=2,chains=2,steps=5",
    "turbo": "turbo:initial=5,q=2,candidates=30,fit_steps=5",
}
STEPS = {"ascent": 5, "baxus": 5, "bo": 4, "cowboys": 4, "turbo": 4, "saasbo": 2}
BY_GRADIENT = ("adam", "lbfgs")


def valley(z):
    """Scores with a narrow direction, 0 the best."""
    weights = torch.linspace(1, 4, z.shape[-1])
    return -(weights * (z - 0.7).square()).sum(-1)


def asked(name, scale, steps, offset=0.0, region="box:3", k=2, d=3):
    """The points that a search asks for, (k, n, d), and the highest score of each problem, where the score is
    `scale * score + offset` of `valley`, or of how near samples are to a hidden one.
    """
    starts = torch.randn(k, 1, d, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    problem = Problem(starts, build(region, d, lambda: torch.zeros(1, d)), space=example_space(d))
    score = valley
    searcher = SEARCHERS.build(SETTINGS.get(str(name), str(name)))
    if searcher.space == "samples":
        kind = searcher.takes or "sequences"
        problem, score = problem_of(kind, k, 1), lambda x: -sample_losses(kind, x)
    search, points = searcher.search(problem), []
    torch.manual_seed(0)
    z = next(search)
    for _ in range(steps):
        points.append(z.detach().clone())
        y = scale * score(z) + offset
        z.grad = None
        if z.requires_grad:
            (-y.nan_to_num().sum()).backward()
        try:
            z = search.send(y.detach())
        except StopIteration:
            break
    search.close()
    codes = torch.cat(points, 1)
    best = score(codes).nan_to_num(-torch.inf).amax(1)
    return codes.nan_to_num(), best  # NaN: no more to ask for


@pytest.mark.parametrize("power", [-100, 60])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW.get(n, ())) for n in SEARCHERS.names() if n not in BY_GRADIENT]
)
def test_a_score_times_a_power_of_two_is_asked_for_the_same_points(name, power):
    steps = STEPS.get(name, 30)
    is_equal = torch.equal(asked(name, 2.0**power, steps)[0], asked(name, 1.0, steps)[0])
    assert is_equal, (
        f"{name} asks for other points where scores have another unit: divide them by a size of theirs first"
    )


@pytest.mark.parametrize("scale", [1e-18, 1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_gradient_search_goes_the_same_way_in_any_unit(name, scale):
    usual, best = asked(name, 1.0, 60, region="none")
    scaled, reached = asked(name, scale, 60, region="none")
    n = min(usual.shape[1], scaled.shape[1], 8)  # near its end a quasi-Newton method divides one rounding by another
    torch.testing.assert_close(scaled[:, :n], usual[:, :n], rtol=1e-3, atol=1e-3)
    start = valley(usual[:, :1]).amax(1)
    assert ((reached - best).abs() <= 1e-3 * (best - start)).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6])
@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_gradient_search_in_a_box_gets_as_far_in_any_unit(name, scale):
    """In a box the first step of SciPy's routine is as long as the gradient, so the way there is another."""
    _, best = asked(name, 1.0, 80)
    usual, reached = asked(name, scale, 80)
    start = valley(usual[:, :1]).amax(1)
    assert ((reached - best).abs() <= 1e-3 * (best - start)).all()


@pytest.mark.parametrize("power", [-40, -30])
@pytest.mark.parametrize("name", BY_GRADIENT)
def test_gradient_searches_of_two_small_units_ask_for_the_same_points(name, power):
    assert torch.equal(asked(name, 2.0**power, 30)[0], asked(name, 2.0**-20, 30)[0])


@pytest.mark.parametrize("name", [n for n in SEARCHERS.names() if n not in SLOW])
def test_an_offset_of_the_scores_size_changes_no_result(name, scale=1e-6):
    steps = STEPS.get(name, 60)
    usual, shifted = asked(name, scale, steps)[1], asked(name, scale, steps, offset=64 * scale)[1]
    worst = valley(asked(name, 1.0, 1)[0]).amax(1)
    assert ((shifted - worst) >= 0.5 * (usual - worst)).all()


@pytest.mark.parametrize("power", [-120, -60, -20, 20, 60, 120])
def test_standardised_scores_do_not_depend_on_the_unit(power):
    y = torch.randn(3, 12, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(gaussian_process.standardised(y * 2.0**power), gaussian_process.standardised(y))


@pytest.mark.parametrize("score", [0.0, 1e-30, 0.1, 1e6 + 0.1, 1e30])
def test_scores_that_differ_by_rounding_alone_are_all_the_same(score):
    y = torch.full((2, 7), score).double()
    assert torch.equal(gaussian_process.standardised(y * (1 + 1e-16 * torch.arange(7))), torch.zeros(2, 7).double())


@pytest.mark.parametrize("least", [2.0**-10, 2.0**-3])
def test_units_are_powers_of_two_that_leave_ordinary_sizes_alone(least):
    size = torch.tensor([1e-12, 1e-6, least / 2, least, 1.0, LARGEST, 4 * LARGEST, 1e12])
    unit = units(size, least)
    assert (unit.log2() == unit.log2().round()).all()
    assert torch.equal(unit == 1, (size >= least) & (size <= LARGEST))
    assert (size / unit >= least).all() and (size / unit <= 2 * LARGEST).all()


@pytest.mark.parametrize("size", [0.0, torch.nan, torch.inf])
def test_unit_of_a_size_that_says_nothing_is_one(size):
    assert units(torch.tensor([size]), 1.0).item() == 1


def test_adam_takes_the_unit_from_the_first_gradient_that_is_not_zero():
    """A start on a plateau says nothing; the slope below it does."""
    search = SEARCHERS.build("adam").search(Problem(torch.zeros(2, 1, 3)))
    z = next(search)
    z.grad = torch.tensor([0.0, 1e-12]).view(2, 1, 1).expand(2, 1, 3).clone()
    z = search.send(torch.zeros(2, 1))
    assert z[0].abs().max() == 0 and z[1].abs().min() > 0.09
    z.grad = torch.full((2, 1, 3), 1e-12)
    z = search.send(torch.zeros(2, 1))
    assert z[0].abs().min() > 0.02


STILL, MOVING, BACK = [3.0, 3.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("ways", "gradients", "says"),
    [
        ([STILL, STILL], 6, "2 of 2"),
        ([STILL, MOVING], 6, "1 of 2"),
        ([STILL, STILL], 0, "2 of 2"),
        ([STILL, MOVING], 0, ""),  # without gradients a start may be better than all that is tried
        ([MOVING, BACK], 6, ""),
        ([[3.0], [3.0]], 0, ""),  # nothing was tried
    ],
)
def test_searches_that_never_left_their_starts_are_said(ways, gradients, says):
    record = replace(searched({"random": ways}), counts={"gradients": gradients})
    message = f"{says} searches never changed the score of their starts" if says else ""
    assert stood_still(record) == message
    flagged = " ".join(caveats([record]))
    assert message in flagged and ("never changed the score" in flagged) == bool(says)


def test_gradients_of_an_inversion_do_not_say_that_a_search_should_leave_any_start():
    record = replace(searched({"random": [STILL, MOVING]}), counts={"gradients": 6, "inversion_fallbacks": 0})
    assert stood_still(record) == ""


def test_runs_whose_searches_never_left_their_starts_are_one_line():
    records = [searched({"random": [STILL, STILL]}, init=i) for i in range(3)]
    (line,) = [line for line in caveats(records) if "never changed" in line]
    assert "3 runs (" in line and "6 of 6 searches" in line


def test_a_run_whose_searches_never_left_their_starts_says_so(call, tmp_path):
    """In its line, and where it is compared."""
    (tmp_path / "flat.py").write_text(TASK.replace("return -", "return 0 * "))
    quiet = ("--quiet", "--no-pictures")
    ended = call("run", "--model", "vae", "--arch", "conv", "--task", "./flat.py", "--max-steps", "2", *quiet)
    assert ended.returncode == 0, ended.stderr
    shown = " ".join((ended.stderr + ended.stdout).split())
    assert shown.count("1 of 1 searches never changed the score of their starts") == 2


def test_same_basin_does_not_depend_on_the_unit_of_the_score():
    near, far = [10.0, 1e-5], [10.0, 0.2]
    for scale in (1e-9, 1.0, 1e9):
        ways = [[scale * y for y in way] for way in (near, [10.0, 2e-5], far)]
        runs = [searched({"random": [way]}, init=i) for i, way in enumerate(ways)]
        assert one(measures(*runs), "basin").estimate == pytest.approx(1 / 3)
