"""Requirements of every task; each check raises an error that says what is missing."""

import gc
import math
import pickle
from copy import copy
from dataclasses import fields

import torch
from jaxtyping import Float
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from lso_bench.runner.scores import scores as checked
from lso_bench.task import Task, stated_invalid_score
from lso_bench.testing.promise import Requirement, UnmetRequirementError, describe
from lso_bench.testing.settings import check_settings
from lso_bench.testing.task_case import TaskCase, near, worst_mismatch
from lso_bench.testing.worker import LostWorkerError, answer_elsewhere
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS

CALLS = 60  # consecutive calls, to find a task that fails only later
REPEATS = 8  # calls; a task may keep the samples of some of them, but not of all
SEEDED = (  # remedy of noise
    "draw what is random from a generator whose seed is made of a setting and of the sample (docs/bring-your-own.md, A "
    "score with noise)"
)
STEPS = 20  # gradient ascent steps, to find samples that beat a stated optimum


def _check_data(case: TaskCase) -> None:
    data: object = case.plugin.data
    if not isinstance(data, str) or not data:
        raise UnmetRequirementError(f'wanted the name of a data set, got {data!r}; say data = "glyphs"')
    DATASETS.build(data_of(case.plugin))


def _check_binding(case: TaskCase) -> None:
    count = case.task.instances
    if not isinstance(count, int) or count < 1:
        raise UnmetRequirementError(f"wanted a whole number of `instances` from 1 on, got {count!r}")
    try:
        stated_invalid_score(case.plugin)
    except ValueError as error:
        raise UnmetRequirementError(str(error)) from error
    case.at(case.instances)


def _check_shape(case: TaskCase) -> None:
    for n in (3, 1):
        case.score(case.task_for_problems, case.x[:, :n])
    case.score(case.at(case.instances[:1]), case.x[:1, :2])
    case.score(case.at(torch.arange(case.task.instances)), case.sample_per_instance())


def _check_many_calls(case: TaskCase) -> None:
    before = {n: case.score(case.task_for_problems, case.x[:, :n]) for n in (1, 2, 3)}
    for call in range(CALLS):
        n = 1 + call % 3
        y = case.score(case.task_for_problems, case.x[:, :n])
        if not near(before[n], y).all():
            raise UnmetRequirementError(
                f"wanted the same scores however often asked, got {worst_mismatch(before[n], y)} on call {case.calls}; "
                "keep nothing from one call to the next"
            )


def _check_finite(case: TaskCase) -> None:
    bad = ~case.y.isfinite()
    if bad.any():
        raise UnmetRequirementError(
            f"wanted a finite score of any sample, got {case.y[bad][0]:g} for {case.kind(bad)}; "
            f"guard what divides, takes a root or a logarithm, or {_remedy_of_nan(case)}"
        )
    invalid = case.plugin.invalid_score
    if invalid is not None and (below := case.y < invalid).any():
        raise UnmetRequirementError(
            f"wanted no score below `invalid_score`, {invalid:g}, got {case.y[below][0]:g} for {case.kind(below)}; "
            "state a lower one"
        )


def _remedy_of_nan(case: TaskCase) -> str:
    if case.plugin.invalid_score is None:
        return "give NaN where a sample has no score, and state what it counts as: `invalid_score`"
    return "give NaN, which counts as `invalid_score`"


def _check_differences(case: TaskCase) -> None:
    if ((y := case.y) == y[:, :1]).all():
        raise UnmetRequirementError(
            f"wanted scores that differ between samples, got {y[0, 0]:g} for all {y.shape[1]}; pixels are in [0, 1]"
        )


def _check_batch_independence(case: TaskCase) -> None:
    """Check that a score does not depend on other samples or problems of the batch."""
    mirrored = case.score(case.task_for_problems, case.x.flip(1)[:, :-1]).flip(1)
    _check_equal(case.y[:, 1:], mirrored, "in another order")
    reordered = case.score(case.at(case.instances.flip(0)), case.x.flip(0)).flip(0)
    _check_equal(case.y, reordered, "with the problems in another order")
    for i in range(len(case.instances)):
        alone = case.at(case.instances[i : i + 1])
        for j in range(0, case.x.shape[1], 4):
            _check_equal(case.y[i : i + 1, j : j + 1], case.score(alone, case.x[i : i + 1, j : j + 1]), "alone")


def _check_equal(y: Float[Tensor, "k n"], second: Float[Tensor, "k n"], condition: str) -> None:
    if not near(y, second).all():
        raise UnmetRequirementError(
            f"wanted each sample scored on its own, got {worst_mismatch(y, second)} for one {condition}; "
            "let nothing be averaged, ranked or normalised over the first two dimensions"
        )


def _check_instances(case: TaskCase) -> None:
    """Check that `at` selects the instances in the requested order."""
    x, last = case.sample_per_instance(), case.task.instances - 1
    all_scores = case.score(case.at(torch.arange(len(x))), x)
    chosen = torch.tensor([last, 0, last // 2, last])
    chosen_scores = case.score(case.at(chosen), x[chosen])
    if not near(all_scores[chosen], chosen_scores).all():
        mismatch = worst_mismatch(all_scores[chosen], chosen_scores)
        raise UnmetRequirementError(
            f"wanted the same score for the same instance, got {mismatch} where `at` gave it another place; "
            "index by `instances` what differs between them"
        )


def _check_determinism(case: TaskCase) -> None:
    """Check that a score has no noise. A task that changes by what it keeps is left to `_check_many_calls`."""
    repeated = case.score(case.task_for_problems, case.x)
    if not torch.equal(case.y.nan_to_num(), repeated.nan_to_num()):
        if not (is_noise := case.draws_noise()) and not near(case.y, repeated).all():
            return
        raise UnmetRequirementError(
            f"wanted the same score each time, got {worst_mismatch(case.y, repeated)} when asked again"
            f"{', which is noise' * is_noise}; {SEEDED}"
        )
    _check_second_binding(case)


def _check_second_binding(case: TaskCase) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        fresh = copy(case.plugin)  # without the scores that a task of texts keeps
        rebound = case.score(case.at(case.instances, case.bound(fresh, case.test.clone())), case.x)
    if not torch.equal(case.y.nan_to_num(), rebound.nan_to_num()):
        raise UnmetRequirementError(
            f"wanted the same score each time, got {worst_mismatch(case.y, rebound)} when bound again; {SEEDED}"
        )


def _check_input_unchanged(case: TaskCase) -> None:
    x, auxiliary_input = case.x.clone(), case.x.clone()
    with torch.no_grad(), case.watch.during("score"):
        case.task_for_problems.score(x)
    with torch.no_grad(), case.watch.during("beside"):
        case.task_for_problems.beside(auxiliary_input)
    unchanged = {"score": torch.equal(x, case.x), "beside": torch.equal(auxiliary_input, case.x)}
    unchanged["bind"] = torch.equal(case.bound_samples, case.test)  # building `task_for_problems` has called `bind`
    if changing := [method for method, is_unchanged in unchanged.items() if not is_unchanged]:
        raise UnmetRequirementError(
            f"wanted the samples left as they are, got others after `{changing[0]}`; work on a copy, not in place"
        )


def _check_memory(case: TaskCase) -> None:
    """Check that no scored sample stays in memory after many calls."""
    storages = []
    for _ in range(REPEATS):
        x = case.x[:, :2].clone().requires_grad_(case.plugin.differentiable)
        case.score(case.task_for_problems, x, gradient=True)
        storages.append(StorageWeakRef(x.untyped_storage()))
        del x
    gc.collect()
    if not any(storage.expired() for storage in storages):
        raise UnmetRequirementError(
            f"wanted what was scored forgotten, got the samples of {REPEATS} calls in memory still; keep neither them "
            "nor scores with their graph, or detach these"
        )


def _check_optimum(case: TaskCase) -> None:
    """Check that no sample beats the stated optimum, neither a test sample nor one found by gradient ascent."""
    best = case.plugin.optimum
    if not isinstance(best, int | float) or not math.isfinite(best):
        raise UnmetRequirementError(f"wanted a number, got {best!r}; leave `optimum` out where it is not known")
    size = case.y.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    slack = 1e-5 * max(abs(best), min(1.0, size))  # relative to the unit of the scores
    above = case.y > best + slack
    if above.any():
        raise UnmetRequirementError(_beaten_message(best, case.y[above], case.kind(above)))
    if case.plugin.has_targets:
        y = case.score(case.task, _targets(case).unsqueeze(1))
        if (y > best + slack).any():
            raise UnmetRequirementError(_beaten_message(best, y, "a target"))
    if case.plugin.differentiable and (y := _scores_after_ascent(case)).max() > best + slack:
        raise UnmetRequirementError(_beaten_message(best, y, "an image that its gradient leads to"))


def _beaten_message(best: float, y: Tensor, source: str) -> str:
    return f"wanted no score above the stated {best:g}, got {y.max():g} for {source}; state the true one, or none"


def _scores_after_ascent(case: TaskCase) -> Float[Tensor, "k n"]:
    """Return scores after ascent along the sign of the gradient, within [0, 1]."""
    x = case.x[:, ::3]
    for step in range(STEPS):
        gradient = _gradient(case, x)
        if gradient is None:
            break
        x = (x + 0.2 * 0.8**step * gradient.sign().nan_to_num()).clamp(0, 1)
    return case.score(case.task_for_problems, x).nan_to_num(-math.inf)


def _gradient(case: TaskCase, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n *shape"] | None:
    """Return the gradient of each sample's score; None if it does not reach the samples."""
    x = x.clone().requires_grad_()
    y = case.score(case.task_for_problems, x, gradient=True)
    return torch.autograd.grad(y.sum(), x, allow_unused=True)[0] if y.requires_grad else None


def _check_gradients(case: TaskCase) -> None:
    remedy = "score by torch operations on x, or say differentiable = False"
    gradient = _gradient(case, case.x)
    if gradient is None:
        raise UnmetRequirementError(f"wanted a gradient that reaches the samples, got none; {remedy}")
    bad = ~gradient.flatten(2).isfinite().all(-1)
    if (invalid := case.plugin.invalid_score) is not None:
        bad &= case.y != invalid  # a score of NaN has none
    if bad.any():
        raise UnmetRequirementError(f"wanted a finite gradient, got one that is not for {case.kind(bad)}; {remedy}")
    if not gradient.any():
        raise UnmetRequirementError(f"wanted a gradient, got 0 for every sample; {remedy}")


def _check_targets(case: TaskCase) -> None:
    targets, shape = _targets(case), (case.task.instances, *case.test.shape[1:])
    if tuple(targets.shape) != shape:
        raise UnmetRequirementError(
            f"wanted targets of shape {shape}, one sample an instance, got {tuple(targets.shape)}"
        )
    if not bool(((targets >= 0) & (targets <= 1)).all()):
        raise UnmetRequirementError("wanted targets in [0, 1], as the samples of the data set, got others")
    if not torch.equal(_targets(case, case.task_for_problems), targets[case.instances]):
        raise UnmetRequirementError(
            "wanted `at` to choose the targets as the instances, got others; index them by `instances`"
        )


def _targets(case: TaskCase, task: Task | None = None) -> Tensor:
    targets = case.targets(task or case.task)
    assert targets is not None, "a task with has_targets"
    return targets


def _score(task: Task, x: Tensor) -> Tensor:
    return checked(task.score(x), x, task.invalid_score)


def _check_worker(case: TaskCase) -> None:
    x = case.x[:, :4]
    try:
        pickled = pickle.dumps((case.task_for_problems, x))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UnmetRequirementError(
            f"wanted a task that can be sent to a worker process, got {type(error).__name__}: {error}; "
            "define its class at the top of a module, and keep functions and open files out of its fields"
        ) from error
    scores = case.score(case.task_for_problems, x)
    try:
        worker_scores = answer_elsewhere(_score, pickled, type(case.task_for_problems).__module__)
    except LostWorkerError as error:
        raise UnmetRequirementError(
            'wanted scores from a worker process, got its end; a script asks under `if __name__ == "__main__":`'
        ) from error
    if not near(scores, worker_scores).all():
        raise UnmetRequirementError(
            f"wanted the same scores in a worker process, got {worst_mismatch(scores, worker_scores)}; "
            "keep in the task's fields all that its scores depend on"
        )


def _check_auxiliary(case: TaskCase) -> None:
    """Check that each auxiliary value depends on its sample alone."""
    first_task, x = case.at(case.instances[:1]), case.x[:1]
    for name, values in case.beside(case.task_for_problems, case.x.clone()).items():
        alone = torch.cat([case.beside(first_task, x[:, j : j + 1].clone())[name] for j in range(0, x.shape[1], 8)], 1)
        if not near(batched := values[:1, ::8], alone).all():
            raise UnmetRequirementError(
                f"wanted {name!r} of each sample on its own, got {worst_mismatch(batched, alone)} for one alone; "
                "let nothing be averaged, ranked or normalised over the first two dimensions"
            )


REQUIREMENTS = (
    Requirement("data", "the name of the data set whose samples it scores", _check_data, blocking=True),
    Requirement("binding", "`bind` and `at` give the task, for one instance or more", _check_binding, blocking=True),
    Requirement("shape", "one floating-point score for each sample", _check_shape, blocking=True),
    Requirement("determinism", "the same score each time", _check_determinism, blocking=True),
    Requirement("many calls", "the same scores however often asked", _check_many_calls, blocking=True),
    Requirement("finite", "a finite score of any sample in [0, 1]", _check_finite),
    Requirement("differences", "not all samples score the same", _check_differences),
    Requirement("batch independence", "each sample scored on its own", _check_batch_independence),
    Requirement("instances", "`at` chooses instances, wherever they stand", _check_instances),
    Requirement("input unchanged", "the samples left as they are", _check_input_unchanged),
    Requirement("memory", "nothing kept of what was scored", _check_memory),
    Requirement(
        "optimum", "no score above the stated one", _check_optimum, applies=lambda task: task.optimum is not None
    ),
    Requirement(
        "gradients", "finite ones reach the samples", _check_gradients, applies=lambda task: task.differentiable
    ),
    Requirement("targets", "one sample for each instance", _check_targets, applies=lambda task: task.has_targets),
    Requirement("settings", "every one changes something", check_settings, applies=lambda task: bool(fields(task))),
    Requirement(
        "beside",
        "one number of each sample alone",
        _check_auxiliary,
        applies=lambda task: type(task).beside is not Task.beside,
    ),
    Requirement("worker", "goes to another process and scores the same there", _check_worker),
    Requirement("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Requirement("description", "a docstring that says what is good", lambda case: describe(case, "what is good")),
)
