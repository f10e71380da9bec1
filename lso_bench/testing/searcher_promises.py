"""What every searcher promises, each promise a function that says what is missing."""

from collections.abc import Callable
from dataclasses import fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.testing.promise import Requirement, UnmetRequirementError, describe
from lso_bench.testing.random_draws import Draws
from lso_bench.testing.searcher_case import BOX, SearcherCase, Trajectory, begin, place, test_functions
from lso_bench.testing.settings import alternatives, kept

REGIONS = ("box:0.3", "ball:0.3", "quantiles:0.1")
OTHERS = {0: [1, 2], 1: [0, 2], 2: [0, 1]}  # than one of the three problems
SPOILT = 1  # the problem that leaves
SEEDS = range(12)  # of searches, before one is said not to look for higher scores
SURE, DOUBTFUL = 3.0, 2.0  # t statistics: enough after any seed, and after the last
OTHER = "had other scores"
GRADIENT = "z.grad is the gradient of the loss, so step against it"
SCORES = "scores are to be maximised, so a minimiser is told minus the score; those of a turn are of its own points"
MOST = 200  # evaluations that may not depend on scores


def _points(case: SearcherCase) -> None:
    if not case.trajectory:
        raise UnmetRequirementError("wanted points, got none; `search` is a generator that yields them")


def _starts(case: SearcherCase) -> None:
    for starts in (1, 3):
        wanted = begin(BOX, starts)
        (z, _), *_ = case.search(steps=1, starts=starts)
        if z.shape != wanted.shape or not torch.equal(z, wanted):
            raise UnmetRequirementError(
                f"wanted the {starts} start{'s' * (starts > 1)} of each problem for the first points, got others; "
                "yield problem.starts before all else"
            )


def _goes_on(case: SearcherCase) -> None:
    """Neither a count of steps, nor a problem that left ends it for all; nor, without gradients, equal scores."""
    steps = {len(trajectory) for trajectory in (case.trajectory, case.flat, case.turned())}
    if steps != {case.steps} and len(steps) == 1:
        raise UnmetRequirementError(
            f"wanted points for ever, got an end after {steps.pop()} steps whatever the scores were; the budget ends a "
            "search, so yield in a `while True`"
        )
    if not case.plugin.needs_gradient and _whole(case.trajectory) == case.steps > (last := _whole(case.flat)):
        raise UnmetRequirementError(
            f"wanted points for ever, got none after {last} steps where all scores are the same; a spread of scores "
            "may be 0, so do not divide by it"
        )
    if _go_on(case, case.trajectory) and not _go_on(case, case.search(spoilt=SPOILT)):
        raise UnmetRequirementError(
            "wanted points for the problems that are left, got none after one had NaN for scores; "
            "look at the scores of each problem alone"
        )


def _go_on(case: SearcherCase, trajectory: Trajectory) -> bool:
    """Whether the problems that never leave are searched after the step in which one may leave."""
    return any(z[OTHERS[SPOILT]].isfinite().all() for z, _ in trajectory[case.leaves + 1 :])


def _whole(trajectory: Trajectory) -> int:
    """How many steps asked for points of every problem."""
    return sum(bool(z.isfinite().all()) for z, _ in trajectory)


def _better(case: SearcherCase) -> None:
    best = torch.cat([y for _, y in case.trajectory], 1).nan_to_num(-torch.inf).amax(1)
    gain = best - case.trajectory[0][1].amax(1)
    if not (gain > 0.1).all():
        raise UnmetRequirementError(
            f"wanted a better score than the start's for every problem within {case.steps} steps, got one that rose "
            f"by {gain.min():.2g}; {_remedy(case)} (or say how many steps it takes)"
        )


def _direction(case: SearcherCase) -> str:
    """Scores turned round lead to worse points, on average over problems and seeds; what ignores scores asks for the
    same ones.
    """
    gains: list[Float[Tensor, " k"]] = []
    t = 0.0
    for seed in SEEDS:
        trajectory = case.search(seed=seed) if seed else case.trajectory
        gain = _gain(trajectory, case.turned(seed))
        if gain is None:
            return "asks for points without regard to scores"
        if seed == 0 and _as_without_scores(case):
            raise UnmetRequirementError(
                "wanted points that depend on the scores, got the same as where all scores are 0; compare scores with "
                "each other and not with a number, from the first ones or -inf on"
            )
        gains.append(gain)
        if (t := _t(torch.cat(gains))) > SURE:
            break
    if t < DOUBTFUL:
        raise UnmetRequirementError(
            f"wanted points of higher scores than where all scores are negated, got no better ones from {len(SEEDS)} "
            f"seeds (t = {t:.1f}, wanted {DOUBTFUL:g}); {_remedy(case)}"
        )
    return "asks for points of higher scores"


def _as_without_scores(case: SearcherCase) -> bool:
    """Return whether it asks for the points that it asks for where all scores are 0."""
    try:
        return not case.plugin.needs_gradient and _gain(case.trajectory, case.flat) is None
    except UnmetRequirementError:
        return False  # which another promise is about


def _remedy(case: SearcherCase) -> str:
    return GRADIENT if case.plugin.needs_gradient else SCORES


def _t(gains: Float[Tensor, " g"]) -> float:
    """Return the t statistic of gains, those of a problem and seed each."""
    return (gains.mean() / (gains.std() / len(gains) ** 0.5).clamp(min=1e-12)).item()


def _gain(trajectory: Trajectory, turned: Trajectory) -> Float[Tensor, " k"] | None:
    """Return how much better, for each problem, the points of one search are than those of the other, from the step
    on in which they first differ, as a share of their losses in -1 to 1; None where they do not differ.
    """
    pairs = zip(trajectory, turned, strict=False)
    first = next((i for i, ((a, _), (b, _)) in enumerate(pairs) if not _same_points(a, b)), None)
    if first is None:
        return None
    mine, others = (
        torch.cat([test_functions(z) for z, _ in some[first:]], 1).nanmean(1) for some in (trajectory, turned)
    )
    return ((others - mine) / (others + mine)).nan_to_num()


def _same_points(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def _dimensions(case: SearcherCase) -> None:
    z = torch.cat([z for z, _ in case.trajectory], 1)  # (k, n, d)
    low, high = (z.nan_to_num(nan=limit) for limit in (torch.inf, -torch.inf))
    still = (low.amin(1) >= high.amax(1)).any(0)  # (d,)
    if len(case.trajectory) > z.shape[-1] and still.any():
        raise UnmetRequirementError(
            f"wanted points that differ in every dimension, got one value in dimension {int(still.nonzero()[0])} of "
            f"{z.shape[-1]} within {len(case.trajectory)} steps; look along all of them"
        )


def _region(case: SearcherCase) -> None:
    for region in (*REGIONS, *([] if case.plugin.bounded else ["none"])):
        where = place(region)
        for z, _ in case.search(region=region):
            away = (where.clip(z) - z).abs().nan_to_num().max()
            if away > 1e-6:
                raise UnmetRequirementError(
                    f"wanted points inside the region {region}, got one {away:.2g} outside; "
                    "yield problem.region.clip(z)"
                )


def _seed(case: SearcherCase) -> None:
    again = case.search()
    if not _alike(case.trajectory, again, torch.equal):
        raise UnmetRequirementError(
            "wanted the same points from the same seed, got others; draw from a torch.Generator of problem.seed"
        )
    if _alike(case.trajectory, case.search(seed=1), torch.equal):
        case.search(seed=1, notice=(draws := Draws()))
        if draws.drawn:
            raise UnmetRequirementError(
                "wanted other points from another seed, got the same ones though it draws random numbers; draw from a "
                "torch.Generator of problem.seed, and set no seed"
            )


def _apart(case: SearcherCase) -> None:
    """A problem that left, or whose scores are others, does not change the others."""
    steps = _few(case)
    whole = case.search(steps=steps)
    for spoilt, by, change in ((SPOILT, torch.nan, "had NaN for scores"), (0, -1.0, OTHER), (2, -1.0, OTHER)):
        trajectory, others = case.search(steps=steps, spoilt=spoilt, by=by), OTHERS[spoilt]
        if not _alike(whole, trajectory, lambda a, b, o=others: torch.allclose(a[o], b[o], rtol=1e-3, atol=1e-3)):
            raise UnmetRequirementError(
                f"wanted the same points for a problem whatever becomes of another, got others after one {change}; "
                "let nothing be averaged, ranked, chosen or normalised over problems"
            )


def _alike(trajectory: Trajectory, other: Trajectory, same: Callable[[Tensor, Tensor], bool]) -> bool:
    """Whether both took as many steps and asked for the same points in each."""
    points = [(a.nan_to_num(), b.nan_to_num()) for (a, _), (b, _) in zip(trajectory, other, strict=False)]
    return len(trajectory) == len(other) and all(a.shape == b.shape and same(a, b) for a, b in points)


def _few(case: SearcherCase) -> int:
    return min(case.steps, 7)


def _design(case: SearcherCase) -> None:
    with case.watch.during("design"):
        few, many = case.plugin.design(4), case.plugin.design(64)
    if not (isinstance(few, int) and isinstance(many, int) and 1 <= few <= many <= MOST):
        raise UnmetRequirementError(
            f"wanted from `design` how many evaluations of a problem do not depend on scores, from 1 to {MOST} and no "
            f"fewer in more dimensions, got {few} in 4 and {many} in 64"
        )


def _settings(case: SearcherCase) -> None:
    for name in kept(case.plugin):
        fault = ""
        for value in alternatives(case.plugin, name):
            if (found := _changes(case, name, value)) is True:
                break
            fault = fault or (f" ({found})" if found else "")
        else:
            raise UnmetRequirementError(
                f"wanted a setting that changes something within {case.steps} steps, got {name}{fault}; "
                "use it in `search`, or leave it out"
            )


def _changes(case: SearcherCase, name: str, value: object) -> bool | str:
    """Whether that value changes where it looks; what is said where it is refused."""
    try:
        other = replace(case.plugin, **{name: value})  # pyright: ignore[reportArgumentType]
        changed = _flat(case.search(other))
    except (ValueError, UsageError, UnmetRequirementError) as error:
        return f"{value!r}: {error}"
    plain = _flat(case.trajectory)
    return plain.shape != changed.shape or not torch.equal(plain, changed)


def _flat(trajectory: Trajectory) -> Float[Tensor, " p"]:
    return torch.cat([z.flatten() for z, _ in trajectory]).nan_to_num()


REQUIREMENTS = (
    Requirement("points", "codes of every problem, of shape (k, n, d), whenever asked", _points, first=True),
    Requirement("starts", "the first points are the starts", _starts),
    Requirement("better", "finds better scores than the start's", _better),
    Requirement("direction", "asks for points of higher scores, or asks without regard to them", _direction),
    Requirement("dimensions", "looks along every one", _dimensions),
    Requirement("region", "looks only inside the region", _region),
    Requirement("seed", "the same points from the same seed, others from another", _seed),
    Requirement(
        "going on",
        "for ever, also where a problem has left, and without gradients where scores are all the same",
        _goes_on,
    ),
    Requirement("problems apart", "what becomes of one changes no other", _apart),
    Requirement("design", "how many evaluations do not depend on scores", _design),
    Requirement("settings", "every one changes something", _settings, applies=lambda searcher: bool(fields(searcher))),
    Requirement("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Requirement("description", "a docstring that says what it does", lambda case: describe(case, "what it does")),
)
