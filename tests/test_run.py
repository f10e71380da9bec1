"""One run: the search loop against an independent loop, budgets, seeds, failures."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench.errors import PluginError, UnusableError, UsageError
from lso_bench.runner import starting_codes
from lso_bench.runner.loop import drive
from lso_bench.runner.placement import Placement
from lso_bench.runner.validation import check_fit
from lso_bench.search import Problem, Searcher
from lso_bench.search.penalties import beyond_shell
from lso_bench.search.region import build
from lso_bench.search.space import Space
from lso_bench.searchers.adam import Adam
from lso_bench.searchers.cmaes import CMAES
from lso_bench.searchers.sobol import Sobol
from lso_bench.spec import Seeds, Spec
from lso_bench.tasks.reconstruction import Reconstruction
from lso_bench.vae.data import Dataset
from lso_bench.vae.trained_model import Model

SPEC = Spec(Model("vae", "glyphs", "small", 4), "0" * 64, "glyphs50", "adam", max_steps=25, check_every=5)
DATA = Dataset("glyphs", (squares(40, 1) * 255).to(torch.uint8), squares(2), squares(30), "")
HERE = Placement()
TASK = Reconstruction(data="glyphs", instances=6).bind(squares(30))


def search(spec=SPEC, task=TASK, searcher=None, scale=1.0, reports=None, place=HERE):
    """A driven search over both starts of all instances."""
    instances, task = torch.arange(task.instances).repeat(2), replace(task, images=task.targets().to(place.device))
    vae, targets = random_vae(TINY).to(place.device), task.at(instances).targets()
    space = Space(vae, "teacher", targets, compile=place.compile, capture=place.capture)
    starts = scale * torch.cat([start(s, spec, task, space) for s in spec.starts])
    note = (reports if reports is not None else []).append
    where = build(spec.region, 4, lambda: starts[:, 0])
    return drive(
        spec, space, task, instances.to(place.device), searcher or Adam(), Problem(where.clip(starts), where), note
    )


def start(name, spec, task, space):
    return starting_codes.starting_latents(name, spec.seeds.init, task, space, DATA)


def by_hand(z, image, steps, lr=0.1, cost=lambda z: 0.0):
    """The losses of one image, by a loop that shares nothing with ours but the trained network."""
    vae, losses = random_vae(TINY), []
    z = z.clone()[None].requires_grad_()
    m = v = torch.zeros_like(z)
    for t in range(1, steps + 2):
        mean = torch.sigmoid(vae.decoder(z, image[None]))
        loss = ((mean - image) ** 2).sum()
        losses.append(loss.item())
        (g,) = torch.autograd.grad(loss + cost(z), z)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        z = (z - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)).detach().requires_grad_()
    return losses


def test_adam_in_lockstep_equals_a_plain_loop_over_single_images():
    spec = replace(SPEC, thresholds=(-1e9,))  # nothing converges
    result = search(spec)
    curves = torch.stack([loss for step, loss in result.trace if step % 10 == 0], dim=1)  # (k, recorded)
    instances = torch.arange(6)
    space = Space(random_vae(TINY), "teacher", TASK.targets())
    starts = torch.cat([start(s, spec, TASK, space) for s in spec.starts])[:, 0]
    for k in range(12):
        alone = by_hand(starts[k], TASK.targets()[instances.repeat(2)[k]], 25)
        torch.testing.assert_close(curves[k], torch.tensor(alone)[[0, 10, 20]], rtol=1e-4, atol=1e-3)


def test_members_that_leave_do_not_change_the_others():
    loose, strict = search(replace(SPEC, thresholds=(0.5,))), search(replace(SPEC, thresholds=(-1e9,)))
    stayed = loose.steps == SPEC.max_steps
    assert 0 < stayed.sum() < 12
    torch.testing.assert_close(loose.loss[stayed], strict.loss[stayed], rtol=1e-4, atol=1e-4)


def test_converged_members_cost_no_more_evaluations():
    result = search(replace(SPEC, thresholds=(1e9,), max_steps=40))
    assert result.evaluations.tolist() == [6] * 12  # all met it at step 5
    assert result.gradients == 12 * 6


def test_spends_exactly_its_budget():
    result = search(replace(SPEC, budget=7, thresholds=(-1e9,)))
    assert result.evaluations.tolist() == [7] * 12 and set(result.stop_reason) == {"budget"}


def test_max_steps_bounds_the_run():
    result = search(replace(SPEC, thresholds=(-1e9,)))
    assert set(result.steps.tolist()) == {25} and set(result.evaluations.tolist()) == {26}


def test_box_holds_the_codes():
    result = search(replace(SPEC, region="box:0.2"), scale=0.1)
    assert result.z.abs().max() <= 0.2


def test_search_lowers_every_loss():
    result = search()
    assert (result.loss < result.trace[0][1]).all()


def test_same_seeds_same_result_another_start_seed_another():
    a, b, c = search(), search(), search(replace(SPEC, seeds=Seeds(init=1)))
    assert torch.equal(a.z, b.z) and torch.equal(a.loss, b.loss)
    assert not torch.equal(a.z[:6], c.z[:6])
    assert torch.equal(a.z[6:], c.z[6:])  # from the encoder


def test_encoder_start_is_the_posterior_mean():
    space = Space(random_vae(TINY), "teacher", TASK.targets())
    expected = random_vae(TINY).encode(TASK.targets()).mean
    torch.testing.assert_close(start("encoder", SPEC, TASK, space)[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_penalty_joins_the_gradient_and_records_keep_the_score_without_it():
    """The same by hand: loss plus 40 times the penalty of |z|, beyond its mode sqrt(3)."""
    spec = replace(SPEC, thresholds=(-1e9,))
    result = search(spec, searcher=replace(Adam(), penalty="prior", penalty_weight=40.0), scale=3.0)
    curves = torch.stack([loss for step, loss in result.trace if step % 10 == 0], dim=1)
    space = Space(random_vae(TINY), "teacher", TASK.targets())
    starts = 3 * torch.cat([start(s, spec, TASK, space) for s in spec.starts])[:, 0]
    for k in range(12):
        alone = by_hand(starts[k], TASK.targets()[k % 6], 25, cost=lambda z: 40 * beyond_shell(z)[0])
        torch.testing.assert_close(curves[k], torch.tensor(alone)[[0, 10, 20]], rtol=1e-4, atol=1e-3)
    assert not torch.equal(result.z, search(spec, scale=3.0).z)


def test_the_best_score_is_the_best_without_the_penalty():
    spec = replace(SPEC, searcher="cmaes", region="box:3", budget=60, max_steps=100)
    result = search(spec, searcher=CMAES(penalty="prior", penalty_weight=1e6), scale=3.0)
    x = Space(random_vae(TINY), "teacher", TASK.targets()[torch.arange(6).repeat(2)]).decode(result.z[:, None])
    losses = -TASK.at(torch.arange(6).repeat(2)).score(x)[:, 0]
    torch.testing.assert_close(result.best, losses, rtol=1e-4, atol=1e-4)
    assert (result.best < result.trace[0][1]).all()


def test_progress_is_told_and_ends_at_the_last_step():
    reports = []
    search(replace(SPEC, max_steps=20, thresholds=(-1e9,)), reports=reports)
    assert [r.step for r in reports] == [0, 10, 20] and reports[-1].members == 12


class PoisonedTask(Reconstruction):
    """The reconstruction task, except that the third instance's score is not a number."""

    def score(self, x):
        y = super().score(x)
        bad = (self.targets() == TASK.targets()[2]).flatten(1).all(dim=1)
        return torch.where(bad[:, None], torch.nan, 1.0) * y


def test_member_whose_score_is_nan_leaves_and_the_others_go_on():
    poisoned = PoisonedTask("glyphs", 6, 0, TASK.targets())
    result, clean = search(task=poisoned), search()
    assert result.loss.isnan().nonzero().flatten().tolist() == [2, 8]
    rest = [i for i in range(12) if i not in (2, 8)]
    torch.testing.assert_close(result.loss[rest], clean.loss[rest], rtol=1e-4, atol=1e-4)


def test_gradient_searcher_is_refused_where_there_is_no_gradient():
    class Flat(Reconstruction):
        differentiable = False

    with pytest.raises(UsageError, match="needs gradients"):
        check_fit(SPEC, Flat(data="glyphs"), Adam())


def test_task_of_another_data_set_is_refused():
    with pytest.raises(UsageError, match="scores mnist"):
        check_fit(SPEC, Reconstruction(data="mnist"), Adam())


def test_task_without_images_needs_a_decoder_that_sees_the_code_alone():
    class Bare(Reconstruction):
        has_targets = False

    with pytest.raises(UsageError, match="--arch conv"):
        check_fit(replace(SPEC, starts=("random",)), Bare(data="glyphs"), Adam())
    check_fit(
        replace(SPEC, model=Model("vae", "glyphs", "conv", 4), decoding="mean", starts=("random",)),
        Bare(data="glyphs"),
        Adam(),
    )


def test_starts_are_inside_the_box(checkpoint):
    from lso_bench.runner.run import run
    from lso_bench.vae.checkpoint import sha256

    record = run(replace(SPEC, checkpoint=sha256(checkpoint), region="box:0.2", budget=1), checkpoint)
    assert record.tensors["z"].abs().max() <= 0.2 + 1e-6


def test_run_refuses_weights_that_changed_since_it_was_planned(checkpoint):
    from lso_bench.runner.run import run

    with pytest.raises(UnusableError, match="changed"):
        run(SPEC, checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "mnist50"},
        {"max_steps": 3},
        {"seeds": Seeds(1, 0)},
        {"region": "box:3"},
        {"decoding": "mean"},
        {"joint": True},
    ],
)
def test_every_part_of_a_spec_changes_its_key(change):
    assert replace(SPEC, **change).key != SPEC.key == replace(SPEC).key


class Scripted(Searcher):
    """Yields what it is given; n points of the same value in every dimension at each step."""

    bounded = False

    def __init__(self, *steps):
        self.steps = steps

    def search(self, problem):
        yield problem.starts
        k, _, d = problem.starts.shape
        for points in self.steps:
            yield torch.tensor(points).view(1, -1, 1).expand(k, -1, d).clone()
        while True:
            yield torch.zeros(k, 1, d)


def losses_at(*values):
    """Losses of every member, at codes that have the same value in every dimension; (12, len(values))."""
    space = Space(random_vae(TINY), "teacher", TASK.at(torch.arange(6).repeat(2)).targets())
    z = torch.tensor(values).view(1, -1, 1).expand(12, -1, 4)
    return -TASK.at(torch.arange(6).repeat(2)).score(space.decode(z))


def test_result_of_a_searcher_that_does_not_descend_is_the_best_it_saw():
    result = search(replace(SPEC, max_steps=4, thresholds=()), searcher=Scripted([0.5, 1.0], [3.0], [-2.0]))
    seen = torch.cat([result.trace[0][1][:, None], losses_at(0.5, 1.0, 3.0, -2.0, 0.0)], 1)
    torch.testing.assert_close(result.loss, seen.amin(1), rtol=1e-4, atol=1e-3)
    assert torch.equal(result.loss, result.best) and result.evaluations.tolist() == [6] * 12


def test_budget_cuts_the_last_batch():
    result = search(replace(SPEC, budget=3, thresholds=()), searcher=Scripted([0.5, 1.0, 9.0]))
    seen = torch.cat([result.trace[0][1][:, None], losses_at(0.5, 1.0)], 1)
    torch.testing.assert_close(result.loss, seen.amin(1), rtol=1e-4, atol=1e-3)
    assert result.evaluations.tolist() == [3] * 12 and set(result.stop_reason) == {"budget"}


def test_searcher_that_is_finished_ends_its_problem_and_meets_the_thresholds():
    result = search(replace(SPEC, max_steps=20), searcher=Scripted([0.5], [1.0], [torch.nan]))
    assert set(result.stop_reason) == {"finished"} and result.evaluations.tolist() == [3] * 12
    assert (result.thresholds.step_at_threshold == 5).all()  # the next look after step 3


@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
def test_points_that_are_not_finite_are_refused_with_a_line(value):
    with pytest.raises(PluginError, match=f"wanted finite points, got one with {value:g} in it; mend how"):
        search(replace(SPEC, max_steps=20), searcher=Scripted([0.5], [value]))


def test_points_that_are_nan_in_part_are_refused_with_a_line():
    class Torn(Scripted):
        def search(self, problem):
            yield problem.starts
            yield problem.starts.index_fill(2, torch.tensor([1]), torch.nan)

    with pytest.raises(PluginError, match="wanted finite points, got one with nan in it; mend how"):
        search(searcher=Torn())


class Short(Scripted):
    """Returns after its first points, or yields what has not the right shape."""

    def search(self, problem):
        yield problem.starts
        if self.steps:
            yield problem.starts[:, 0]


def test_searcher_that_returns_is_finished():
    result = search(searcher=Short())
    assert set(result.stop_reason) == {"finished"} and result.evaluations.tolist() == [1] * 12


def test_searcher_that_yields_another_shape_is_told_what_was_wanted():
    with pytest.raises(
        PluginError, match=r"searcher Short: .*wanted points of shape \(12, n, 4\) and torch.float32, got \(12, 4\)"
    ):
        search(searcher=Short(True))


class Yields(Scripted):
    """Yields its one setting after the starts."""

    def search(self, problem):
        yield problem.starts
        yield self.steps[0]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (torch.zeros(12, 1, 4).double(), "and torch.float32, got .* torch.float64"),
        (torch.zeros(12, 0, 4), r"got \(12, 0, 4\)"),
        ([0.0], r"points of shape \(12, n, 4\) and torch.float32, got \[0.0\]"),
        (torch.full((12, 1, 4), 0.6), "inside the region, got one 0.1 outside"),
    ],
)
def test_searcher_that_yields_what_cannot_be_scored_is_named(what, says):
    with pytest.raises(PluginError, match=f"searcher Yields: .*{says}"):
        search(replace(SPEC, region="box:0.5"), searcher=Yields(what))


def test_patience_ends_what_does_not_improve():
    result = search(replace(SPEC, max_steps=20, thresholds=(), patience=4), searcher=Scripted())
    assert set(result.stop_reason) == {"patience"}
    assert set(result.steps.tolist()) <= {4, 5}  # the origin is better than the start, or not


def test_time_ends_a_run_after_the_step_that_used_it_up():
    result = search(replace(SPEC, seconds=1e-9))
    assert set(result.stop_reason) == {"time"} and result.evaluations.tolist() == [1] * 12


def test_joint_stop_is_the_stop_of_the_mean():
    spec = replace(SPEC, joint=True, max_steps=400, thresholds=(5.0, 1.0))
    result = search(spec)
    free = search(replace(spec, thresholds=(-1e9,), joint=False, max_steps=int(result.steps.max())))
    curves = {step: loss.unflatten(0, (2, 6)).mean(1) for step, loss in free.trace}
    looked = [s for s in range(0, int(result.steps.max()) + 1, 5) if s in curves]
    for start in range(2):
        for t, threshold in enumerate(spec.thresholds):
            met = int(result.mean_convergence.step_at_threshold[start, t])
            assert met > 0 and set(result.stop_reason) == {"converged"}
            if met in curves and met - 5 in curves:
                assert curves[met - 5][start] - curves[met][start] <= threshold + 1e-3
            for a, b in pairwise(looked):
                if b < met and b - a == 5:
                    assert curves[a][start] - curves[b][start] > threshold - 1e-3


class Strays(Scripted):
    """Goes outside the region for problems that have left, and there alone."""

    def search(self, problem):
        y = yield problem.starts
        while True:
            y = yield torch.where(y.isnan().all(1)[:, None, None], 99.0, 0.1 * problem.starts)


def test_what_is_yielded_for_a_problem_that_left_is_not_looked_at():
    poisoned = PoisonedTask("glyphs", 6, 0, TASK.targets())
    result = search(replace(SPEC, region="box:0.5", max_steps=4, thresholds=()), task=poisoned, searcher=Strays())
    assert result.stop_reason.count("diverged") == 2 and result.stop_reason.count("steps") == 10


class Late(Reconstruction):
    """The third of six instances, the brightest, has no score from the third call on."""

    calls = 0

    def score(self, x):
        Late.calls += 1
        y, bad = super().score(x), (self.targets() == TASK.targets()[2]).flatten(1).all(dim=1)
        return torch.where(bad[:, None] & (Late.calls > 2), torch.nan, 1.0) * y


def test_joint_stop_is_that_of_the_problems_that_are_left():
    spec = replace(SPEC, joint=True, max_steps=400, thresholds=(0.05, 0.01), starts=("encoder", "origin"))
    result = search(spec, task=Late("glyphs", 6, 0, TASK.targets()))
    alone = search(spec, task=Reconstruction("glyphs", 5, 0, TASK.targets()[[0, 1, 3, 4, 5]]))
    assert (
        result.stop_reason.count("diverged") == 2
        and (alone.mean_convergence.step_at_threshold >= 5).all()
        and alone.mean_convergence.step_at_threshold.max() > 10
    )
    assert torch.equal(result.mean_convergence.step_at_threshold, alone.mean_convergence.step_at_threshold)


@dataclass(frozen=True)
class Gaps(Reconstruction):
    """Samples whose score has an odd first decimal have the score `stands`."""

    invalid_score: float | None = None
    stands: float = torch.nan

    def score(self, x):
        y = super().score(x)
        return torch.where((10 * y).floor() % 2 == 1, self.stands, y)


def gaps(searcher, **settings):
    spec = replace(SPEC, region="box:3", budget=30, max_steps=30, thresholds=())
    return search(spec, Gaps("glyphs", 6, 0, TASK.targets(), **settings), searcher)


@pytest.mark.parametrize("searcher", [Sobol(), CMAES()])
def test_score_of_nan_counts_as_the_invalid_score_and_the_search_goes_on(searcher):
    result, by_itself = gaps(searcher, invalid_score=-1e4), gaps(searcher, stands=-1e4)
    assert torch.equal(result.loss, by_itself.loss) and torch.equal(result.z, by_itself.z)
    assert 0 < result.invalid < int(result.evaluations.sum()) and set(result.stop_reason) == {"budget"}
    assert set(gaps(searcher).stop_reason) == {"diverged"}


def test_problem_whose_gradient_is_followed_ends_at_a_score_of_nan():
    with_score, without = gaps(Adam(), invalid_score=-1e4), gaps(Adam())
    assert with_score.stop_reason == without.stop_reason and "diverged" in without.stop_reason
    assert torch.equal(with_score.steps, without.steps) and with_score.invalid == 0


class Steep(Reconstruction):
    """The third instance's score has no gradient that is a number."""

    def score(self, x):
        y, extra = super().score(x), torch.zeros(x.shape[:2])
        for i in (self.targets() == TASK.targets()[2]).flatten(1).all(dim=1).nonzero()[:, 0].tolist():
            extra[i] = (0 * x[i]).flatten(1).sum(1).sqrt()  # 0, and its slope infinite
        return y + extra


def test_member_whose_gradient_is_nan_has_diverged_and_not_converged():
    result, clean = search(task=Steep("glyphs", 6, 0, TASK.targets())), search()
    assert [result.stop_reason[i] for i in (2, 8)] == ["diverged"] * 2 and result.loss[[2, 8]].isnan().all()
    assert (result.thresholds.step_at_threshold[[2, 8]] == -1).all()
    rest = [i for i in range(12) if i not in (2, 8)]
    torch.testing.assert_close(result.loss[rest], clean.loss[rest], rtol=1e-4, atol=1e-4)


def test_joint_keeps_every_problem_until_the_mean_has_converged():
    result = search(replace(SPEC, joint=True, max_steps=400, thresholds=(5.0,)))
    for start in range(2):
        steps = result.steps[6 * start : 6 * start + 6]
        assert (steps >= result.mean_convergence.step_at_threshold[start, 0]).all()


def test_without_joint_the_mean_is_followed_only_while_all_are_there():
    result = search(replace(SPEC, max_steps=400, thresholds=(5.0, 0.5)))
    first_to_leave = int(result.steps.min())
    assert (result.mean_convergence.step_at_threshold <= first_to_leave).all()


def test_several_starts_of_a_problem_count_each_and_the_best_is_kept():
    result = search(replace(SPEC, starts=("random:3", "data:3"), thresholds=(-1e9,)))
    assert set(result.evaluations.tolist()) == {3 * 26} and result.gradients == 12 * 3 * 26


@pytest.mark.parametrize(
    ("change", "searcher", "says"),
    [
        ({"decoding": "mean"}, Adam(), "which is autoregressive"),
        ({"decoding": "greedi"}, Adam(), "Did you mean 'greedy'"),
        ({"decoding": "sample"}, Adam(), "needs gradients, and decoding 'sample' gives none"),
        ({}, Sobol(), "wants a bounded region"),
        ({"region": "box:3", "budget": 9}, CMAES(population=20), "begins with 20"),
        ({"starts": ("random:3",), "budget": 2}, Adam(), "begins with 3"),
        ({"starts": ("nowhere",)}, Adam(), "No start"),
    ],
)
def test_specs_that_do_not_fit_are_refused(change, searcher, says):
    with pytest.raises(UsageError, match=says):
        check_fit(replace(SPEC, **change), TASK, searcher)


@pytest.mark.parametrize("decoding", ["sample", "greedy"])
def test_free_running_decodings_give_black_and_white_images_the_same_each_time(decoding):
    space = Space(random_vae(TINY), decoding, seed=3)
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    x = space.decode(z)
    assert x.shape == (2, 3, 1, 28, 28) and set(x.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(x, space.decode(z)) and space.decodes == 12
    assert torch.equal(x[:, 1:2], space.decode(z[:, 1:2]))  # whatever else is in the batch


def test_chance_of_a_sample_belongs_to_the_search_seed():
    z = torch.zeros(1, 1, 4)
    a, b = (Space(random_vae(TINY), "sample", seed=s).decode(z) for s in (0, 1))
    assert not torch.equal(a, b)


def test_decoding_in_chunks_changes_nothing(monkeypatch):
    space = Space(random_vae(TINY), "teacher", TASK.targets())
    z = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = space.decode(z)
        monkeypatch.setattr("lso_bench.search.space.CHUNK", 7)
        torch.testing.assert_close(space.decode(z), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("searcher", [Adam(), CMAES()])
@pytest.mark.parametrize("compile", [False, True])
def test_captured_search_goes_the_way_of_the_plain_one_while_problems_leave(searcher, compile):
    spec = replace(SPEC, thresholds=(0.5,), region="box:3")
    plain = search(spec, searcher=searcher, place=Placement(device="cuda"))
    captured = search(spec, searcher=searcher, place=Placement(device="cuda", compile=compile, capture=True))
    assert not searcher.descends or 0 < (plain.steps < SPEC.max_steps).sum() < 12
    torch.testing.assert_close(captured.loss, plain.loss, rtol=1e-3, atol=1e-2)
    assert captured.evaluations.tolist() == plain.evaluations.tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_score_that_reads_a_value_on_the_host_says_that_it_cannot_be_captured():
    @dataclass(frozen=True)
    class Reads(Reconstruction):
        def score(self, x):
            return super().score(x) * float(x.sum() > 0)

    task = Reads(data="glyphs", instances=6).bind(squares(30).cuda())
    with pytest.raises(UnusableError, match="leave --capture out"):
        search(task=task, place=Placement(device="cuda", capture=True))
