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
from lso_bench.testing.promise import BrokenPromiseError, Promise, describe
from lso_bench.testing.settings import check_settings
from lso_bench.testing.task_case import Case, near, pair
from lso_bench.testing.worker import LostWorkerError, scores_elsewhere

CALLS = 60  # in a row, to find a task that fails only later
KEPT = 8  # calls, of which a task that keeps a sample or two at hand does not keep all
STEPS = 20  # up the gradient, to find what beats a stated optimum


def _data(case: Case) -> None:
    data: object = case.bare.data
    if not isinstance(data, str) or not data:
        raise BrokenPromiseError(f'wanted the name of a data set, got {data!r}; say data = "glyphs"')
    check_data(data)


def _binding(case: Case) -> None:
    count = case.task.instances
    if not isinstance(count, int) or count < 1:
        raise BrokenPromiseError(f"wanted a whole number of `instances` from 1 on, got {count!r}")
    case.at(case.rows)


def _shape(case: Case) -> None:
    for n in (3, 1):
        case.score(case.few, case.x[:, :n])
    case.score(case.at(case.rows[:1]), case.x[:1, :2])
    case.score(case.at(torch.arange(case.task.instances)), case.one_each())


def _many_calls(case: Case) -> None:
    before = {n: case.score(case.few, case.x[:, :n]) for n in (1, 2, 3)}
    for call in range(CALLS):
        n = 1 + call % 3
        y = case.score(case.few, case.x[:, :n])
        if not near(before[n], y).all():
            raise BrokenPromiseError(
                f"wanted the same scores however often asked, got {pair(before[n], y)} on call {case.calls}; "
                "keep nothing from one call to the next"
            )


def _finite(case: Case) -> None:
    bad = ~case.y.isfinite()
    if bad.any():
        raise BrokenPromiseError(
            f"wanted a finite score of any sample, got {case.y[bad][0]:g} for {case.kind(bad)}; "
            "guard what divides, takes a root or a logarithm"
        )


def _differences(case: Case) -> None:
    if ((y := case.y) == y[:, :1]).all():
        raise BrokenPromiseError(
            f"wanted scores that differ between samples, got {y[0, 0]:g} for all {y.shape[1]}; pixels are in [0, 1]"
        )


def _batch_independence(case: Case) -> None:
    """A score does not depend on what stands beside it, along either dimension."""
    mirrored = case.score(case.few, case.x.flip(1)[:, :-1]).flip(1)
    _same(case.y[:, 1:], mirrored, "in another order")
    turned = case.score(case.at(case.rows.flip(0)), case.x.flip(0)).flip(0)
    _same(case.y, turned, "with the problems in another order")
    for i in range(len(case.rows)):
        alone = case.at(case.rows[i : i + 1])
        for j in range(0, case.x.shape[1], 4):
            _same(case.y[i : i + 1, j : j + 1], case.score(alone, case.x[i : i + 1, j : j + 1]), "alone")


def _same(y: Float[Tensor, "k n"], other: Float[Tensor, "k n"], how: str) -> None:
    if not near(y, other).all():
        raise BrokenPromiseError(
            f"wanted each sample scored on its own, got {pair(y, other)} for one {how}; "
            "let nothing be averaged, ranked or normalised over the first two dimensions"
        )


def _instances(case: Case) -> None:
    """`at` gives the instances that it is told, wherever they stand."""
    x, last = case.one_each(), case.task.instances - 1
    whole = case.score(case.at(torch.arange(len(x))), x)
    chosen = torch.tensor([last, 0, last // 2, last])
    some = case.score(case.at(chosen), x[chosen])
    if not near(whole[chosen], some).all():
        raise BrokenPromiseError(
            f"wanted the same score for the same instance, got {pair(whole[chosen], some)} where `at` gave it another "
            "place; index by `instances` what differs between them"
        )


def _determinism(case: Case) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        again = case.score(case.few, case.x)
        torch.manual_seed(2)
        anew = case.score(case.at(case.rows, case.bound(case.bare, case.test.clone())), case.x)
    for other, how in ((again, "asked again"), (anew, "bound again")):
        if not torch.equal(case.y.nan_to_num(), other.nan_to_num()):
            raise BrokenPromiseError(
                f"wanted the same score each time, got {pair(case.y, other)} when {how}; "
                "draw what is random from a torch.Generator whose seed is a setting"
            )


def _input_unchanged(case: Case) -> None:
    x, seen = case.x.clone(), case.x.clone()
    with torch.no_grad(), case.watch.during("score"):
        case.few.score(x)
    with torch.no_grad(), case.watch.during("beside"):
        case.few.beside(seen)
    left = {"score": torch.equal(x, case.x), "beside": torch.equal(seen, case.x)}
    left["bind"] = torch.equal(case.shown, case.test)  # `case.few` is of the task that was bound to it
    if changing := [method for method, same in left.items() if not same]:
        raise BrokenPromiseError(
            f"wanted the samples left as they are, got others after `{changing[0]}`; work on a copy, not in place"
        )


def _memory(case: Case) -> None:
    """Nothing of what was scored stays in memory, call after call."""
    storages = []
    for _ in range(KEPT):
        x = case.x[:, :2].clone().requires_grad_(case.bare.differentiable)
        case.score(case.few, x, gradient=True)
        storages.append(StorageWeakRef(x.untyped_storage()))
        del x
    gc.collect()
    if not any(storage.expired() for storage in storages):
        raise BrokenPromiseError(
            f"wanted what was scored forgotten, got the samples of {KEPT} calls in memory still; keep neither them "
            "nor scores with their graph, or detach these"
        )


def _optimum(case: Case) -> None:
    """Not beaten by any sample at hand, nor by those that the gradient leads to."""
    best = case.bare.optimum
    if not isinstance(best, int | float) or not math.isfinite(best):
        raise BrokenPromiseError(f"wanted a number, got {best!r}; leave `optimum` out where it is not known")
    size = case.y.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    slack = 1e-5 * max(abs(best), min(1.0, size))  # of the unit that the scores are in
    above = case.y > best + slack
    if above.any():
        raise BrokenPromiseError(_beaten(best, case.y[above], case.kind(above)))
    if case.bare.has_targets:
        y = case.score(case.task, _targets(case).unsqueeze(1))
        if (y > best + slack).any():
            raise BrokenPromiseError(_beaten(best, y, "a target"))
    if case.bare.differentiable and (y := _climbed(case)).max() > best + slack:
        raise BrokenPromiseError(_beaten(best, y, "an image that its gradient leads to"))


def _beaten(best: float, y: Tensor, what: str) -> str:
    return f"wanted no score above the stated {best:g}, got {y.max():g} for {what}; state the true one, or none"


def _climbed(case: Case) -> Float[Tensor, "k n"]:
    """Scores after steps up the gradient's sign, within [0, 1]."""
    x = case.x[:, ::3]
    for step in range(STEPS):
        gradient = _gradient(case, x)
        if gradient is None:
            break
        x = (x + 0.2 * 0.8**step * gradient.sign().nan_to_num()).clamp(0, 1)
    return case.score(case.few, x).nan_to_num(-math.inf)


def _gradient(case: Case, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n *shape"] | None:
    """That of each sample's score; None where it does not reach the samples."""
    x = x.clone().requires_grad_()
    y = case.score(case.few, x, gradient=True)
    return torch.autograd.grad(y.sum(), x, allow_unused=True)[0] if y.requires_grad else None


def _gradients(case: Case) -> None:
    remedy = "score by torch operations on x, or say differentiable = False"
    gradient = _gradient(case, case.x)
    if gradient is None:
        raise BrokenPromiseError(f"wanted a gradient that reaches the samples, got none; {remedy}")
    bad = ~gradient.flatten(2).isfinite().all(-1)
    if bad.any():
        raise BrokenPromiseError(f"wanted a finite gradient, got one that is not for {case.kind(bad)}; {remedy}")
    if not gradient.any():
        raise BrokenPromiseError(f"wanted a gradient, got 0 for every sample; {remedy}")


def _targets_fit(case: Case) -> None:
    targets, shape = _targets(case), (case.task.instances, *case.test.shape[1:])
    if tuple(targets.shape) != shape:
        raise BrokenPromiseError(f"wanted targets of shape {shape}, one sample an instance, got {tuple(targets.shape)}")
    if not bool(((targets >= 0) & (targets <= 1)).all()):
        raise BrokenPromiseError("wanted targets in [0, 1], as the samples of the data set, got others")
    if not torch.equal(_targets(case, case.few), targets[case.rows]):
        raise BrokenPromiseError(
            "wanted `at` to choose the targets as the instances, got others; index them by `instances`"
        )


def _targets(case: Case, task: Task | None = None) -> Tensor:
    targets = case.targets(task or case.task)
    assert targets is not None, "a task with has_targets"
    return targets


def _worker(case: Case) -> None:
    x = case.x[:, :4]
    try:
        sent = pickle.dumps((case.few, x))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BrokenPromiseError(
            f"wanted a task that can be sent to a worker process, got {type(error).__name__}: {error}; "
            "define its class at the top of a module, and keep functions and open files out of its fields"
        ) from error
    here = case.score(case.few, x)
    try:
        there = scores_elsewhere(sent, type(case.few).__module__)
    except LostWorkerError as error:
        raise BrokenPromiseError(
            'wanted scores from a worker process, got its end; a script asks under `if __name__ == "__main__":`'
        ) from error
    if not near(here, there).all():
        raise BrokenPromiseError(
            f"wanted the same scores in a worker process, got {pair(here, there)}; "
            "keep in the task's fields all that its scores depend on"
        )


def _beside(case: Case) -> None:
    """What is reported beside the score is a number of each sample alone."""
    one, x = case.at(case.rows[:1]), case.x[:1]
    for name, values in case.beside(case.few, case.x.clone()).items():
        alone = torch.cat([case.beside(one, x[:, j : j + 1].clone())[name] for j in range(0, x.shape[1], 8)], 1)
        if not near(some := values[:1, ::8], alone).all():
            raise BrokenPromiseError(
                f"wanted {name!r} of each sample on its own, got {pair(some, alone)} for one alone; "
                "let nothing be averaged, ranked or normalised over the first two dimensions"
            )


PROMISES = (
    Promise("data", "the name of the data set whose samples it scores", _data, first=True),
    Promise("binding", "`bind` and `at` give the task, for one instance or more", _binding, first=True),
    Promise("shape", "one floating-point score for each sample", _shape, first=True),
    Promise("many calls", "the same scores however often asked", _many_calls, first=True),
    Promise("finite", "a finite score of any sample in [0, 1]", _finite),
    Promise("differences", "not all samples score the same", _differences),
    Promise("batch independence", "each sample scored on its own", _batch_independence),
    Promise("instances", "`at` chooses instances, wherever they stand", _instances),
    Promise("determinism", "the same score each time", _determinism),
    Promise("input unchanged", "the samples left as they are", _input_unchanged),
    Promise("memory", "nothing kept of what was scored", _memory),
    Promise("optimum", "no score above the stated one", _optimum, made=lambda task: task.optimum is not None),
    Promise("gradients", "finite ones reach the samples", _gradients, made=lambda task: task.differentiable),
    Promise("targets", "one sample for each instance", _targets_fit, made=lambda task: task.has_targets),
    Promise("settings", "every one changes something", check_settings, made=lambda task: bool(fields(task))),
    Promise(
        "beside", "one number of each sample alone", _beside, made=lambda task: type(task).beside is not Task.beside
    ),
    Promise("worker", "goes to another process and scores the same there", _worker),
    Promise("side effects", "the rest of the program left as it is", lambda case: case.watch.check()),
    Promise("description", "a docstring that says what is good", lambda case: describe(case, "what is good")),
)
