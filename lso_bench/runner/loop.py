"""The one search loop: propose, decode, score, take note, stop."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.calls import plugin_errors
from lso_bench.runner import scores as answers
from lso_bench.runner.ask_tell import Turns
from lso_bench.runner.cuda_graph import CapturedScores, Score
from lso_bench.runner.stopping import Thresholds
from lso_bench.search import Problem, Searcher
from lso_bench.search.clock import Clock
from lso_bench.search.space import Space
from lso_bench.spec import Spec
from lso_bench.task import Task
from lso_bench.vae.random_numbers import Stream

DENSE = 30  # steps that are all in the trace; after them 5 percent lie between one and the next


@dataclass(frozen=True)
class Progress:
    """How far a run is, told every few steps."""

    step: int
    steps: int  # at most
    left: int  # problems that have left: converged, finished or diverged
    members: int
    mean_loss: float


@dataclass
class Search:
    """What `drive` gives: k searches side by side, and what they cost. Losses are minus the score."""

    thresholds: Thresholds
    mean_convergence: Thresholds  # on the mean over the problems of each start
    z: Float[Tensor, "k d"]  # where each ended
    loss: Float[Tensor, " k"]  # there
    best: Float[Tensor, " k"]  # the lowest of all
    best_step: Int[Tensor, " k"]  # and when it was found
    steps: Int[Tensor, " k"]  # taken by each
    evaluations: Int[Tensor, " k"]  # of each
    stop_reason: list[str]  # why each ended
    loss_at_last_check: Float[Tensor, " k"]  # the losses at the last look at their change
    gradients: int = 0
    trace: list[tuple[int, Float[Tensor, " k"]]] = field(default_factory=list)
    costs: list[tuple[int, int, float]] = field(default_factory=list)  # a row a step in the trace: the evaluations
    # of each problem that has not left, and the seconds of all together, up to then


def drive(
    spec: Spec,
    space: Space,
    task: Task,
    instances: Int[Tensor, " k"],
    searcher: Searcher,
    problem: Problem,
    report: Callable[[Progress], None] = lambda _: None,
) -> Search:
    """Search until every problem has left, or steps, evaluations or seconds are spent. Those that left cost nothing."""
    clock, there = problem.clock, _There(task, instances, problem.seed)
    found = _nothing_yet(spec, problem.starts)
    turns, y, spent = Turns(searcher, problem), None, 0
    for step in range(spec.max_steps + 1):
        with clock("propose"):
            z = turns.ask(y, there.problems)
        n = _affordable(spec, z.shape[1], spent)
        _leave_finished(found, there, z, step)
        y = torch.full(z.shape[:2], torch.nan, device=z.device)
        if len(there.problems):
            scores = evaluate(space, there, z, n, searcher.needs_gradient, clock)
            if searcher.needs_gradient and z.grad is not None:  # no step can be made where it is not finite
                scores = scores.masked_fill(~z.grad[there.problems, :n].isfinite().all(-1), torch.nan)
            y[there.problems, :n] = scores
            spent += n
            _note(found, step, z.detach()[there.problems, :n].cpu(), scores.cpu(), there.problems.cpu(), searcher)
            _see(spec, found, step, there.problems.cpu())
        stay, why = _stay(spec, found, there.problems.cpu(), step), _over(spec, step, spent, clock.total)
        _end(found, stay, why)
        last = bool(why) or not len(stay)
        if last or _in_trace(step):
            found.trace.append((step, found.loss.clone()))
            found.costs.append((step, spent, clock.total))
        if last or step % 10 == 0:
            gone = len(found.loss) - len(stay)
            report(Progress(step, spec.max_steps, gone, len(found.loss), found.loss.nanmean().item()))
        if last:
            break
        there.keep(stay)
    turns.close()
    return found


class _There:
    """The problems that have not left, and the task as it is for them."""

    def __init__(self, task: Task, instances: Int[Tensor, " k"], seed: int):
        self._whole, self._instances = task, instances
        self.draws = Stream(seed)  # of the task
        self.problems: Int[Tensor, " a"] = torch.arange(len(instances), device=instances.device)
        self.task = self._at(instances)
        self._asked: tuple[int, ...] = ()
        self._graph: CapturedScores | None = None

    def keep(self, problems: Int[Tensor, " b"]) -> None:
        if len(problems) < len(self.problems):
            self.problems = problems.to(self._instances.device)
            self.task = self._at(self._instances[self.problems])
            self._asked, self._graph = (), None

    def _at(self, instances: Int[Tensor, " b"]) -> Task:
        with plugin_errors("task", self._whole):
            return self._whole.at(instances)

    def graph(self, score: Score, z: Float[Tensor, "k m d"], n: int, gradient: bool) -> CapturedScores | None:
        """Of `score`, from the second step in a row on that asks for as many points of the same problems."""
        asked = (*z.shape, n)
        if asked != self._asked:
            self._asked, self._graph = asked, None
        elif self._graph is None:
            with plugin_errors("task", self.task):
                self._graph = CapturedScores(score, z, gradient)
        return self._graph


def _affordable(spec: Spec, asked: int, spent: int) -> int:
    """How many of the points that the searcher asks for each problem its budget allows."""
    if spec.budget is None:
        return asked
    return min(asked, spec.budget - spent)


def _leave_finished(found: Search, there: _There, z: Float[Tensor, "k n d"], step: int) -> None:
    """Those for which the searcher has no more to ask."""
    done = z[there.problems].isnan().flatten(1).any(1)
    if done.any():
        _end(found, there.problems[done].cpu(), "finished")
        found.thresholds.mark_finished(there.problems[done].cpu(), step, found.z)
        there.keep(there.problems[~done])


def evaluate(
    space: Space, there: _There, z: Float[Tensor, "k m d"], n: int, gradient: bool, clock: Clock
) -> Float[Tensor, "a n"]:
    """The scores of each problem's first `n` points; where `gradient`, that of minus the score goes into `z.grad`."""
    z.grad = None
    if space.capture:
        decoded = space.decodes + len(there.problems) * n
        with clock("decode"):
            if graph := there.graph(lambda z: _scores(space, there, z, n), z, n, gradient):
                space.decodes = decoded  # whatever it took to capture
                return graph(z)
    with torch.set_grad_enabled(gradient):
        with clock("decode"):
            x = space.decode(z[there.problems, :n], there.problems)
        with clock("score"), plugin_errors("task", there.task, there.draws):
            y = _with_gradient(answers.scores(there.task.score(x), x), x, gradient)
        if gradient:
            with clock("decode"):
                (-y.sum()).backward()
    return y.detach()


def _scores(space: Space, there: _There, z: Float[Tensor, "k m d"], n: int) -> Float[Tensor, "a n"]:
    x = space.decode(z[there.problems, :n], there.problems)
    return answers.scores(there.task.score(x), x)


def _with_gradient(y: Float[Tensor, "a n"], x: Float[Tensor, "a n *shape"], gradient: bool) -> Float[Tensor, "a n"]:
    if gradient and x.requires_grad and not y.requires_grad:
        raise ValueError("the score carries no gradient; say `differentiable = False`, or score by operations on x")
    return y


def _nothing_yet(spec: Spec, starts: Float[Tensor, "k m d"]) -> Search:
    k, _, d = starts.shape
    return Search(
        thresholds=Thresholds(spec.thresholds, spec.check_every, k, d),
        mean_convergence=Thresholds(spec.thresholds, spec.check_every, len(spec.starts), 0),
        z=torch.full((k, d), torch.nan),
        loss=torch.full((k,), torch.inf),
        best=torch.full((k,), torch.inf),
        best_step=torch.zeros(k, dtype=torch.long),
        steps=torch.zeros(k, dtype=torch.long),
        evaluations=torch.zeros(k, dtype=torch.long),
        stop_reason=[""] * k,
        loss_at_last_check=torch.full((k,), torch.inf),
    )


def _note(
    found: Search,
    step: int,
    z: Float[Tensor, "a n d"],
    y: Float[Tensor, "a n"],
    there: Int[Tensor, " a"],
    searcher: Searcher,
) -> None:
    """Take the step's scores into the state. One that is not finite makes the loss of its problem NaN."""
    loss, at = (-y).masked_fill(~y.isfinite(), torch.nan).min(1)  # NaN where one is not finite, and its place
    code = z.gather(1, at[:, None, None].expand(-1, 1, z.shape[2])).squeeze(1)
    better = ~(loss >= found.best[there])  # NaN counts, for it ends the problem
    found.best[there] = torch.where(better, loss, found.best[there])
    found.best_step[there[better]] = step
    moves = torch.ones_like(better) if searcher.descends else better
    found.loss[there[moves]], found.z[there[moves]] = loss[moves], code[moves]
    found.steps[there] = step
    found.evaluations[there] += y.shape[1]
    if searcher.needs_gradient:
        found.gradients += y.numel()


def _see(spec: Spec, found: Search, step: int, there: Int[Tensor, " a"]) -> None:
    """Look at the change of the losses: of each problem that has not left, and of the means."""
    moving = torch.full_like(found.loss, torch.nan)
    moving[there] = found.loss[there]
    found.thresholds.update(step, moving, found.z)
    if spec.joint or not any(found.stop_reason):  # a mean in which some stand still is another curve
        before = found.loss_at_last_check.masked_fill(
            found.loss.isnan(), torch.nan
        )  # of those that have not diverged since
        mean, last = (x.unflatten(0, (len(spec.starts), -1)).nanmean(1) for x in (found.loss, before))
        found.mean_convergence.update(step, mean, mean.new_empty(len(mean), 0), last)
    if step % spec.check_every == 0:
        found.loss_at_last_check = found.loss.clone()


def _in_trace(step: int) -> bool:
    """Every one of the first steps, then those that first pass a power of 1.05."""
    return step <= DENSE or math.floor(math.log(step, 1.05)) > math.floor(math.log(step - 1, 1.05))


def _stay(spec: Spec, found: Search, there: Int[Tensor, " a"], step: int) -> Int[Tensor, " b"]:
    """Which of these problems do not leave after this step."""
    ends = {
        "diverged": found.loss.isnan(),
        "converged": found.thresholds.converged,
        "patience": step - found.best_step >= (spec.patience or sys.maxsize),
    }
    if spec.joint:
        ends["converged"] &= found.mean_convergence.converged.repeat_interleave(len(found.loss) // len(spec.starts))
    for why, which in ends.items():
        _end(found, there[which[there]], why)
    return there[torch.stack([~which[there] for which in ends.values()]).all(0)]


def _end(found: Search, problems: Int[Tensor, " b"], why: str) -> None:
    """These problems have left."""
    for i in problems.tolist():
        found.stop_reason[i] = found.stop_reason[i] or why


def _over(spec: Spec, step: int, spent: int, seconds: float) -> str:
    """Why all problems end after this step; empty if they do not."""
    if spec.budget is not None and spent >= spec.budget:
        return "budget"
    if spec.seconds is not None and seconds >= spec.seconds:
        return "time"
    return "steps" if step == spec.max_steps else ""
