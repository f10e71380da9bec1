"""Requirements of every searcher; each check raises an error that says what is missing."""

from collections.abc import Callable
from copy import copy
from dataclasses import fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.search import Searcher, has_penalty
from lso_bench.testing import sample_problems
from lso_bench.testing.promise import Requirement, UnmetRequirementError, describe
from lso_bench.testing.random_draws import Draws, GlobalDraws
from lso_bench.testing.searcher_case import SearcherCase, Trajectory, region_of
from lso_bench.testing.settings import alternatives, storable_settings

REGIONS = ("box:0.3", "ball:0.3", "quantiles:0.1")
REST = {0: [1, 2], 1: [0, 2], 2: [0, 1]}  # the other two problems, by problem
LEAVING = 1  # index of the problem that leaves
SEEDS = range(12)  # search seeds that are tried before a searcher fails the check of direction
T_ENOUGH_EARLY, T_ENOUGH_LAST = 3.0, 2.0  # least t statistic after any seed, and after the last one
CHANGED_SCORES = "had other scores"
GRADIENT = "z.grad is the gradient of the loss, so step against it"
SCORES = "scores are to be maximised, so a minimiser is told minus the score; those of a turn are of its own points"
WEIGHTS = (1.0, 20.0)  # of the penalties that are tried
MOST = 200  # largest number of evaluations that do not depend on scores


def _check_points(case: SearcherCase) -> None:
    if not case.trajectory:
        raise UnmetRequirementError("wanted points, got none; `search` is a generator that yields them")


def _check_starts(case: SearcherCase) -> None:
    for starts in (1, 3):
        expected = case.problem(starts=starts).starts
        (z, _), *_ = case.search(steps=1, starts=starts)
        if z.shape != expected.shape or not torch.equal(z, expected):
            raise UnmetRequirementError(
                f"wanted the {starts} start{'s' * (starts > 1)} of each problem for the first points, got others; "
                "yield problem.starts before all else"
            )


def _check_endless(case: SearcherCase) -> None:
    """Check that a search never ends by itself.

    It may end neither after a count of steps, nor after a problem left. Without gradients, equal scores may not end it
    either.
    """
    steps = {len(trajectory) for trajectory in (case.trajectory, case.flat_trajectory, case.negated_trajectory())}
    if steps != {case.steps} and len(steps) == 1:
        raise UnmetRequirementError(
            f"wanted points for ever, got an end after {steps.pop()} steps whatever the scores were; the budget ends a "
            "search, so yield in a `while True`"
        )
    reached = _complete_steps(case.trajectory)
    if not case.plugin.needs_gradient and reached == case.steps > (last := _complete_steps(case.flat_trajectory)):
        raise UnmetRequirementError(
            f"wanted points for ever, got none after {last} steps where all scores are the same; a spread of scores "
            "may be 0, so do not divide by it"
        )
    if _rest_is_searched(case, case.trajectory) and not _rest_is_searched(case, case.search(changed_problem=LEAVING)):
        raise UnmetRequirementError(
            "wanted points for the problems that are left, got none after one had NaN for scores; "
            "look at the scores of each problem alone"
        )


def _rest_is_searched(case: SearcherCase, trajectory: Trajectory) -> bool:
    """Return whether the remaining problems are searched after the step in which one may leave."""
    return any(z[REST[LEAVING]].isfinite().all() for z, _ in trajectory[case.leaving_step + 1 :])


def _complete_steps(trajectory: Trajectory) -> int:
    """Count the steps that asked for points of every problem."""
    return sum(bool(z.isfinite().all()) for z, _ in trajectory)


def _check_improvement(case: SearcherCase) -> None:
    best = torch.cat([y for _, y in case.trajectory], 1).nan_to_num(-torch.inf).amax(1)
    gain = best - case.trajectory[0][1].amax(1)
    if not (gain > 0.1).all():
        raise UnmetRequirementError(
            f"wanted a better score than the start's for every problem within {case.steps} steps, got one that rose "
            f"by {gain.min():.2g}; {_remedy(case)} (or say how many steps it takes)"
        )


def _check_direction(case: SearcherCase) -> str:
    """Check that negated scores lead to worse points, on average over problems and seeds.

    A searcher that ignores scores asks for the same points.
    """
    gains: list[Float[Tensor, " k"]] = []
    t_statistic = 0.0
    for seed in SEEDS:
        trajectory = case.search(seed=seed) if seed else case.trajectory
        gain = _gain(case, trajectory, case.negated_trajectory(seed))
        if gain is None:
            case.is_guided = False
            return "asks for points without regard to scores"
        if seed == 0 and _ignores_scores(case):
            raise UnmetRequirementError(
                "wanted points that depend on the scores, got the same as where all scores are 0; compare scores with "
                "each other and not with a number, from the first ones or -inf on"
            )
        gains.append(gain)
        if (t_statistic := _t_statistic(torch.cat(gains))) > T_ENOUGH_EARLY:
            break
    if t_statistic < T_ENOUGH_LAST:
        raise UnmetRequirementError(
            f"wanted points of higher scores than where all scores are negated, got no better ones from {len(SEEDS)} "
            f"seeds (t = {t_statistic:.1f}, wanted {T_ENOUGH_LAST:g}); {_remedy(case)}"
        )
    case.is_guided = True
    return "asks for points of higher scores"


def _ignores_scores(case: SearcherCase) -> bool:
    """Return whether the searcher asks for the same points if all scores are 0."""
    try:
        return not case.plugin.needs_gradient and _gain(case, case.trajectory, case.flat_trajectory) is None
    except UnmetRequirementError:
        return False  # another requirement covers this


def _remedy(case: SearcherCase) -> str:
    return GRADIENT if case.plugin.needs_gradient else SCORES


def _t_statistic(gains: Float[Tensor, " g"]) -> float:
    """Return the t statistic of gains, one per problem and seed."""
    return (gains.mean() / (gains.std() / len(gains) ** 0.5).clamp(min=1e-12)).item()


def _gain(case: SearcherCase, trajectory: Trajectory, negated: Trajectory) -> Float[Tensor, " k"] | None:
    """Return how much better the points of a trajectory are than those with negated scores, for each problem.

    The gain is the difference of mean losses over their sum, in [-1, 1], from the first differing step on. None if the
    points do not differ.
    """
    pairs = zip(trajectory, negated, strict=False)
    first = next((i for i, ((a, _), (b, _)) in enumerate(pairs) if not _same_points(a, b)), None)
    if first is None:
        return None
    losses, negated_losses = (
        torch.cat([case.losses(z) for z, _ in steps[first:]], 1).nanmean(1) for steps in (trajectory, negated)
    )
    return ((negated_losses - losses) / (negated_losses + losses)).nan_to_num()


def _same_points(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def _check_dimensions(case: SearcherCase) -> None:
    z = torch.cat([z for z, _ in case.trajectory], 1)  # (k, n, d)
    low, high = (z.nan_to_num(nan=limit) for limit in (torch.inf, -torch.inf))
    is_constant = (low.amin(1) >= high.amax(1)).any(0)  # (d,)
    if len(case.trajectory) > z.shape[-1] and is_constant.any():
        raise UnmetRequirementError(
            f"wanted points that differ in every dimension, got one value in dimension "
            f"{int(is_constant.nonzero()[0])} of {z.shape[-1]} within {len(case.trajectory)} steps; "
            "look along all of them"
        )


def _check_region(case: SearcherCase) -> None:
    for region in (*REGIONS, *([] if case.plugin.bounded else ["none"])):
        bounds = region_of(region)
        for z, _ in case.search(region=region):
            distance = (bounds.clip(z) - z).abs().nan_to_num().max()
            if distance > 1e-6:
                raise UnmetRequirementError(
                    f"wanted points inside the region {region}, got one {distance:.2g} outside; "
                    "yield problem.region.clip(z)"
                )


def _check_samples(case: SearcherCase) -> None:
    for z, _ in case.trajectory:
        if reason := sample_problems.fault(case.kind, z):
            raise UnmetRequirementError(
                f"wanted points that are {case.kind} as a model gets them, got {reason}; lay each sample out in a row"
            )


def _check_seed(case: SearcherCase) -> None:
    repeated = case.search()
    if not _agree(case.trajectory, repeated, torch.equal):
        raise UnmetRequirementError(
            "wanted the same points from the same seed, got others; draw from a torch.Generator of problem.seed"
        )
    if _agree(case.trajectory, case.search(seed=1), torch.equal):
        case.search(seed=1, context=Draws())  # what it imports may seed generators; the next search imports nothing
        case.search(seed=1, context=(draws := Draws()))
        if draws.drawn:
            raise UnmetRequirementError(
                "wanted other points from another seed, got the same ones though it draws random numbers; draw from a "
                "torch.Generator of problem.seed, and set no seed"
            )


def _check_independence(case: SearcherCase) -> None:
    """Check that a problem that leaves, or has changed scores, does not affect the rest."""
    steps = _short_length(case)
    reference = case.search(steps=steps, context=(draws := GlobalDraws()))
    advice = "let nothing be averaged, ranked, chosen or normalised over problems"
    if draws.drawn:
        advice = "it draws from NumPy's global generator, which all problems share: give each a generator of its own"
    changes = (LEAVING, torch.nan, "had NaN for scores"), (0, -1.0, CHANGED_SCORES), (2, -1.0, CHANGED_SCORES)
    for problem, factor, change in changes:
        trajectory, rest = case.search(steps=steps, changed_problem=problem, factor=factor), REST[problem]
        if not _agree(reference, trajectory, lambda a, b, o=rest: torch.allclose(a[o], b[o], rtol=1e-3, atol=1e-3)):
            raise UnmetRequirementError(
                f"wanted the same points for a problem whatever becomes of another, got others after one {change}; "
                f"{advice}"
            )


def _agree(trajectory: Trajectory, second: Trajectory, is_equal: Callable[[Tensor, Tensor], bool]) -> bool:
    """Return whether two trajectories have the same length and the same points in each step."""
    points = [(a.nan_to_num(), b.nan_to_num()) for (a, _), (b, _) in zip(trajectory, second, strict=False)]
    return len(trajectory) == len(second) and all(a.shape == b.shape and is_equal(a, b) for a, b in points)


def _short_length(case: SearcherCase) -> int:
    return min(case.steps, 7)


def _check_design(case: SearcherCase) -> None:
    with case.watch.during("design"):
        few, many = case.plugin.design(4), case.plugin.design(64)
    if not (isinstance(few, int) and isinstance(many, int) and 1 <= few <= many <= MOST):
        raise UnmetRequirementError(
            f"wanted from `design` how many evaluations of a problem do not depend on scores, from 1 to {MOST} and no "
            f"fewer in more dimensions, got {few} in 4 and {many} in 64"
        )


def _check_settings(case: SearcherCase) -> None:
    for name in _settings(case.plugin):
        fault = ""
        for value in alternatives(case.plugin, name):
            if (result := _changes_trajectory(case, name, value)) is True:
                break
            fault = fault or (f" ({result})" if result else "")
        else:
            raise UnmetRequirementError(
                f"wanted a setting that changes something within {case.steps} steps, got {name}{fault}; "
                "use it in `search`, or leave it out"
            )


def _settings(searcher: Searcher) -> list[str]:
    """Return the settings that are a searcher's and not of every searcher, as its penalty is."""
    shared, known = Searcher.__dataclass_fields__, type(searcher).__dataclass_fields__
    return [name for name in storable_settings(searcher) if known[name] is not shared.get(name)]


def _check_penalty(case: SearcherCase) -> str:
    """Check that a penalty and its weight change the points, unless these do not depend on scores."""
    if not case.is_guided:
        return "not looked for: no score guides the points"
    trajectories = [case.trajectory, *(case.search(_penalised(case, weight)) for weight in WEIGHTS)]
    for i, name in enumerate(("penalty", "penalty_weight")):
        points, changed_points = (_flatten(trajectory) for trajectory in trajectories[i : i + 2])
        if points.shape == changed_points.shape and torch.equal(points, changed_points):
            raise UnmetRequirementError(
                f"wanted points that depend on the {name}, which lowers scores and turns gradients, got the same; use "
                "the scores and gradients that `search` gets, and no others"
            )
    return "a penalty of the scores, and its weight, change the points"


def _takes_penalty(searcher: Searcher) -> bool:
    """Return whether a searcher has the penalty of every searcher of latents."""
    return _searches_latents(searcher) and has_penalty(type(searcher))


def _penalised(case: SearcherCase, weight: float) -> Searcher:
    """Return the searcher with a penalty; a copy also holds what is no setting, as the optimizer of `AskTell` is."""
    searcher = copy(case.plugin)
    for name, value in (("penalty", "likelihood"), ("penalty_weight", weight)):
        object.__setattr__(searcher, name, value)
    return searcher


def _changes_trajectory(case: SearcherCase, name: str, value: object) -> bool | str:
    """Return whether a value of a setting changes the points; or a message if it is refused.

    A value that the search itself refuses, for the samples of the model of the tests, changes something.
    """
    try:
        changed_searcher = replace(case.plugin, **{name: value})  # pyright: ignore[reportArgumentType]
    except (ValueError, UsageError) as error:
        return f"{value!r}: {error}"
    try:
        changed_points = _flatten(case.search(changed_searcher))
    except UsageError:
        return True
    except (ValueError, UnmetRequirementError) as error:
        return f"{value!r}: {error}"
    points = _flatten(case.trajectory)
    return points.shape != changed_points.shape or not torch.equal(points, changed_points)


def _flatten(trajectory: Trajectory) -> Float[Tensor, " p"]:
    return torch.cat([z.flatten() for z, _ in trajectory]).nan_to_num()


def _searches_latents(searcher: Searcher) -> bool:
    return searcher.space == "latents"


REQUIREMENTS = (
    Requirement("points", "codes of every problem, of shape (k, n, d), whenever asked", _check_points, blocking=True),
    Requirement("starts", "the first points are the starts", _check_starts),
    Requirement("better", "finds better scores than the start's", _check_improvement),
    Requirement("direction", "asks for points of higher scores, or asks without regard to them", _check_direction),
    Requirement("dimensions", "looks along every one", _check_dimensions, applies=_searches_latents),
    Requirement("region", "looks only inside the region", _check_region, applies=_searches_latents),
    Requirement("samples", "every point is a sample", _check_samples, applies=lambda s: not _searches_latents(s)),
    Requirement("seed", "the same points from the same seed, others from another", _check_seed),
    Requirement(
        "going on",
        "for ever, also where a problem has left, and without gradients where scores are all the same",
        _check_endless,
    ),
    Requirement("problems apart", "what becomes of one changes no other", _check_independence),
    Requirement("design", "how many evaluations do not depend on scores", _check_design),
    Requirement(
        "settings", "every one changes something", _check_settings, applies=lambda searcher: len(fields(searcher)) > 2
    ),
    Requirement("penalty", "a penalty of the scores changes the points", _check_penalty, applies=_takes_penalty),
    Requirement("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Requirement("description", "a docstring that says what it does", lambda case: describe(case, "what it does")),
)
