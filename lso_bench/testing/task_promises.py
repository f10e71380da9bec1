"""What every task promises, each promise a function that says what is missing."""

import gc
import math
import pickle
from dataclasses import fields

import torch
from jaxtyping import Float
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from lso_bench.study.grid import check_data
from lso_bench.task import Task
from lso_bench.testing.promise import Requirement, UnmetRequirementError, describe
from lso_bench.testing.settings import check_settings
from lso_bench.testing.task_case import TaskCase, near, worst_mismatch
from lso_bench.testing.worker import LostWorkerError, scores_elsewhere

CALLS = 60  # in a row, to find a task that fails only later
KEPT = 8  # calls, of which a task that keeps a sample or two at hand does not keep all
STEPS = 20  # up the gradient, to find what beats a stated optimum


def _data(case: TaskCase) -> None:
    data: object = case.plugin.data
    if not isinstance(data, str) or not data:
        raise UnmetRequirementError(f'wanted the name of a data set, got {data!r}; say data = "glyphs"')
    check_data(data)


def _binding(case: TaskCase) -> None:
    count = case.task.instances
    if not isinstance(count, int) or count < 1:
        raise UnmetRequirementError(f"wanted a whole number of `instances` from 1 on, got {count!r}")
    case.at(case.instances)


def _shape(case: TaskCase) -> None:
    for n in (3, 1):
        case.score(case.task_for_problems, case.x[:, :n])
    case.score(case.at(case.instances[:1]), case.x[:1, :2])
    case.score(case.at(torch.arange(case.task.instances)), case.one_each())


def _many_calls(case: TaskCase) -> None:
    before = {n: case.score(case.task_for_problems, case.x[:, :n]) for n in (1, 2, 3)}
    for call in range(CALLS):
        n = 1 + call % 3
        y = case.score(case.task_for_problems, case.x[:, :n])
        if not near(before[n], y).all():
            raise UnmetRequirementError(
                f"wanted the same scores however often asked, got {worst_mismatch(before[n], y)} on call {case.calls}; "
                "keep nothing from one call to the next"
            )


def _finite(case: TaskCase) -> None:
    bad = ~case.y.isfinite()
    if bad.any():
        raise UnmetRequirementError(
            f"wanted a finite score of any sample, got {case.y[bad][0]:g} for {case.kind(bad)}; "
            "guard what divides, takes a root or a logarithm"
        )


def _differences(case: TaskCase) -> None:
    if ((y := case.y) == y[:, :1]).all():
        raise UnmetRequirementError(
            f"wanted scores that differ between samples, got {y[0, 0]:g} for all {y.shape[1]}; pixels are in [0, 1]"
        )


def _batch_independence(case: TaskCase) -> None:
    """A score does not depend on what stands beside it, along either dimension."""
    mirrored = case.score(case.task_for_problems, case.x.flip(1)[:, :-1]).flip(1)
    _same(case.y[:, 1:], mirrored, "in another order")
    turned = case.score(case.at(case.instances.flip(0)), case.x.flip(0)).flip(0)
    _same(case.y, turned, "with the problems in another order")
    for i in range(len(case.instances)):
        alone = case.at(case.instances[i : i + 1])
        for j in range(0, case.x.shape[1], 4):
            _same(case.y[i : i + 1, j : j + 1], case.score(alone, case.x[i : i + 1, j : j + 1]), "alone")


def _same(y: Float[Tensor, "k n"], other: Float[Tensor, "k n"], how: str) -> None:
    if not near(y, other).all():
        raise UnmetRequirementError(
            f"wanted each sample scored on its own, got {worst_mismatch(y, other)} for one {how}; "
            "let nothing be averaged, ranked or normalised over the first two dimensions"
        )


def _instances(case: TaskCase) -> None:
    """`at` gives the instances that it is told, wherever they stand."""
    x, last = case.one_each(), case.task.instances - 1
    whole = case.score(case.at(torch.arange(len(x))), x)
    chosen = torch.tensor([last, 0, last // 2, last])
    some = case.score(case.at(chosen), x[chosen])
    if not near(whole[chosen], some).all():
        raise UnmetRequirementError(
            f"wanted the same score for the same instance, got {worst_mismatch(whole[chosen], some)} where `at` "
            "gave it another place; index by `instances` what differs between them"
        )


def _determinism(case: TaskCase) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        again = case.score(case.task_for_problems, case.x)
        torch.manual_seed(2)
        anew = case.score(case.at(case.instances, case.bound(case.plugin, case.test.clone())), case.x)
    for other, how in ((again, "asked again"), (anew, "bound again")):
        if not torch.equal(case.y.nan_to_num(), other.nan_to_num()):
            raise UnmetRequirementError(
                f"wanted the same score each time, got {worst_mismatch(case.y, other)} when {how}; "
                "draw what is random from a torch.Generator whose seed is a setting"
            )


def _input_unchanged(case: TaskCase) -> None:
    x, seen = case.x.clone(), case.x.clone()
    with torch.no_grad(), case.watch.during("score"):
        case.task_for_problems.score(x)
    with torch.no_grad(), case.watch.during("beside"):
        case.task_for_problems.beside(seen)
    left = {"score": torch.equal(x, case.x), "beside": torch.equal(seen, case.x)}
    left["bind"] = torch.equal(case.shown, case.test)  # `case.few` is of the task that was bound to it
    if changing := [method for method, same in left.items() if not same]:
        raise UnmetRequirementError(
            f"wanted the samples left as they are, got others after `{changing[0]}`; work on a copy, not in place"
        )


def _memory(case: TaskCase) -> None:
    """Nothing of what was scored stays in memory, call after call."""
    storages = []
    for _ in range(KEPT):
        x = case.x[:, :2].clone().requires_grad_(case.plugin.differentiable)
        case.score(case.task_for_problems, x, gradient=True)
        storages.append(StorageWeakRef(x.untyped_storage()))
        del x
    gc.collect()
    if not any(storage.expired() for storage in storages):
        raise UnmetRequirementError(
            f"wanted what was scored forgotten, got the samples of {KEPT} calls in memory still; keep neither them "
            "nor scores with their graph, or detach these"
        )


def _optimum(case: TaskCase) -> None:
    """Not beaten by any sample at hand, nor by those that the gradient leads to."""
    best = case.plugin.optimum
    if not isinstance(best, int | float) or not math.isfinite(best):
        raise UnmetRequirementError(f"wanted a number, got {best!r}; leave `optimum` out where it is not known")
    size = case.y.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    slack = 1e-5 * max(abs(best), min(1.0, size))  # of the unit that the scores are in
    above = case.y > best + slack
    if above.any():
        raise UnmetRequirementError(_beaten(best, case.y[above], case.kind(above)))
    if case.plugin.has_targets:
        y = case.score(case.task, _targets(case).unsqueeze(1))
        if (y > best + slack).any():
            raise UnmetRequirementError(_beaten(best, y, "a target"))
    if case.plugin.differentiable and (y := _climbed(case)).max() > best + slack:
        raise UnmetRequirementError(_beaten(best, y, "an image that its gradient leads to"))


def _beaten(best: float, y: Tensor, what: str) -> str:
    return f"wanted no score above the stated {best:g}, got {y.max():g} for {what}; state the true one, or none"


def _climbed(case: TaskCase) -> Float[Tensor, "k n"]:
    """Scores after steps up the gradient's sign, within [0, 1]."""
    x = case.x[:, ::3]
    for step in range(STEPS):
        gradient = _gradient(case, x)
        if gradient is None:
            break
        x = (x + 0.2 * 0.8**step * gradient.sign().nan_to_num()).clamp(0, 1)
    return case.score(case.task_for_problems, x).nan_to_num(-math.inf)


def _gradient(case: TaskCase, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n *shape"] | None:
    """That of each sample's score; None where it does not reach the samples."""
    x = x.clone().requires_grad_()
    y = case.score(case.task_for_problems, x, gradient=True)
    return torch.autograd.grad(y.sum(), x, allow_unused=True)[0] if y.requires_grad else None


def _gradients(case: TaskCase) -> None:
    remedy = "score by torch operations on x, or say differentiable = False"
    gradient = _gradient(case, case.x)
    if gradient is None:
        raise UnmetRequirementError(f"wanted a gradient that reaches the samples, got none; {remedy}")
    bad = ~gradient.flatten(2).isfinite().all(-1)
    if bad.any():
        raise UnmetRequirementError(f"wanted a finite gradient, got one that is not for {case.kind(bad)}; {remedy}")
    if not gradient.any():
        raise UnmetRequirementError(f"wanted a gradient, got 0 for every sample; {remedy}")


def _targets_fit(case: TaskCase) -> None:
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


def _worker(case: TaskCase) -> None:
    x = case.x[:, :4]
    try:
        sent = pickle.dumps((case.task_for_problems, x))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UnmetRequirementError(
            f"wanted a task that can be sent to a worker process, got {type(error).__name__}: {error}; "
            "define its class at the top of a module, and keep functions and open files out of its fields"
        ) from error
    here = case.score(case.task_for_problems, x)
    try:
        there = scores_elsewhere(sent, type(case.task_for_problems).__module__)
    except LostWorkerError as error:
        raise UnmetRequirementError(
            'wanted scores from a worker process, got its end; a script asks under `if __name__ == "__main__":`'
        ) from error
    if not near(here, there).all():
        raise UnmetRequirementError(
            f"wanted the same scores in a worker process, got {worst_mismatch(here, there)}; "
            "keep in the task's fields all that its scores depend on"
        )


def _beside(case: TaskCase) -> None:
    """What is reported beside the score is a number of each sample alone."""
    one, x = case.at(case.instances[:1]), case.x[:1]
    for name, values in case.beside(case.task_for_problems, case.x.clone()).items():
        alone = torch.cat([case.beside(one, x[:, j : j + 1].clone())[name] for j in range(0, x.shape[1], 8)], 1)
        if not near(some := values[:1, ::8], alone).all():
            raise UnmetRequirementError(
                f"wanted {name!r} of each sample on its own, got {worst_mismatch(some, alone)} for one alone; "
                "let nothing be averaged, ranked or normalised over the first two dimensions"
            )


REQUIREMENTS = (
    Requirement("data", "the name of the data set whose samples it scores", _data, first=True),
    Requirement("binding", "`bind` and `at` give the task, for one instance or more", _binding, first=True),
    Requirement("shape", "one floating-point score for each sample", _shape, first=True),
    Requirement("many calls", "the same scores however often asked", _many_calls, first=True),
    Requirement("finite", "a finite score of any sample in [0, 1]", _finite),
    Requirement("differences", "not all samples score the same", _differences),
    Requirement("batch independence", "each sample scored on its own", _batch_independence),
    Requirement("instances", "`at` chooses instances, wherever they stand", _instances),
    Requirement("determinism", "the same score each time", _determinism),
    Requirement("input unchanged", "the samples left as they are", _input_unchanged),
    Requirement("memory", "nothing kept of what was scored", _memory),
    Requirement("optimum", "no score above the stated one", _optimum, applies=lambda task: task.optimum is not None),
    Requirement("gradients", "finite ones reach the samples", _gradients, applies=lambda task: task.differentiable),
    Requirement("targets", "one sample for each instance", _targets_fit, applies=lambda task: task.has_targets),
    Requirement("settings", "every one changes something", check_settings, applies=lambda task: bool(fields(task))),
    Requirement(
        "beside", "one number of each sample alone", _beside, applies=lambda task: type(task).beside is not Task.beside
    ),
    Requirement("worker", "goes to another process and scores the same there", _worker),
    Requirement("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Requirement("description", "a docstring that says what is good", lambda case: describe(case, "what is good")),
)
