"""Search loop: propose, decode, score, record, stop."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.plugins.random_numbers import Stream
from lso_bench.runner import scores as task_scores
from lso_bench.runner.ask_tell import Turns
from lso_bench.runner.cuda_graph import CapturedScores, Score
from lso_bench.runner.divergence import WITHOUT_GRADIENT
from lso_bench.runner.penalised import Cost
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.stopping import Thresholds
from lso_bench.runner.text_counts import TextCounts
from lso_bench.search import Problem, Searcher
from lso_bench.search.clock import Clock
from lso_bench.search.space import Space
from lso_bench.spec import Spec
from lso_bench.task import Task

DENSE = 30  # first steps, all in the trace; later ones are 5 percent apart


@dataclass(frozen=True)
class Progress:
    """Progress of a run, reported every few steps."""

    step: int
    steps: int  # maximum
    left: int  # problems that are over: converged, finished or diverged
    members: int
    mean_loss: float


@dataclass
class Search:
    """State and result of k searches side by side, with their costs. Losses are minus the score."""

    thresholds: Thresholds
    mean_convergence: Thresholds  # of the mean loss over the problems of each start
    z: Float[Tensor, "k d"]  # last point of each, in the coordinates of the space
    loss: Float[Tensor, " k"]  # at that point
    best: Float[Tensor, " k"]  # lowest loss
    best_step: Int[Tensor, " k"]  # step of the lowest loss
    steps: Int[Tensor, " k"]  # steps of each
    evaluations: Int[Tensor, " k"]  # evaluations of each
    stop_reason: list[str]  # reason why each ended; empty: not over
    loss_at_last_check: Float[Tensor, " k"]  # loss at the last convergence check
    gradients: int = 0
    trace: list[tuple[int, Float[Tensor, " k"]]] = field(default_factory=list)
    costs: list[tuple[int, int, float]] = field(default_factory=list)  # a row a step in the trace: step,
    # evaluations of each active problem, and seconds of all problems, up to the step
    texts: TextCounts = field(default_factory=TextCounts)
    invalid_score: float = math.nan  # of the task; NaN: it states none
    invalid: int = 0  # evaluations that gave it


def drive(
    spec: Spec,
    space: Space,
    task: Task,
    instances: Int[Tensor, " k"],
    searcher: Searcher,
    problem: Problem,
    report: Callable[[Progress], None] = lambda _: None,
) -> Search:
    """Search until every problem is over, or steps, evaluations or seconds are spent.

    Problems that are over cost nothing.
    """
    search = _initial_search(spec, problem.starts, task.invalid_score)
    clock, active = problem.clock, _ActiveProblems(spec.model.name, task, instances, problem.seed, search.texts)
    turns, cost, y, spent = Turns(searcher, problem), Cost(searcher, space, problem), None, 0
    for step in range(spec.max_steps + 1):
        with clock("propose"):
            z = turns.ask(y, active.problems)
        n = _affordable(spec, z.shape[1], spent)
        _end_finished(search, active, z, step)
        y = torch.full(z.shape[:2], torch.nan, device=z.device, dtype=z.dtype)
        if len(active.problems):
            scores, lowered = evaluate(space, active, z, n, searcher.needs_gradient, clock, cost)
            if searcher.needs_gradient and z.grad is not None:  # a gradient that is not finite allows no step
                scores = scores.masked_fill(~z.grad[active.problems, :n].isfinite().all(-1), torch.nan)
            y[active.problems, :n] = scores - lowered
            spent += n
            _record_scores(
                search, step, z.detach()[active.problems, :n].cpu(), scores.cpu(), active.problems.cpu(), searcher
            )
            _check_convergence(spec, search, step, active.problems.cpu())
        remaining, reason = (
            _still_active(spec, search, active.problems.cpu(), step),
            _stop_reason(spec, step, spent, clock.total),
        )
        _stop(search, remaining, reason)
        last = bool(reason) or not len(remaining)
        if last or _in_trace(step):
            search.trace.append((step, search.loss.clone()))
            search.costs.append((step, spent, clock.total))
        if last or step % 10 == 0:
            ended = len(search.loss) - len(remaining)
            report(Progress(step, spec.max_steps, ended, len(search.loss), search.loss.nanmean().item()))
        if last:
            break
        active.retain(remaining)
    turns.close()
    return search


class _ActiveProblems:
    """Problems that are not over, and the task restricted to them."""

    def __init__(self, model: str, task: Task, instances: Int[Tensor, " k"], seed: int, texts: TextCounts):
        self._full_task, self._instances, self.texts = task, instances, texts
        self.model = model  # its name, for messages
        self.draws = Stream(seed)  # random numbers of the task
        self.problems: Int[Tensor, " a"] = torch.arange(len(instances), device=instances.device)
        self.task = self._restrict(instances)
        self._last_shape: tuple[int, ...] = ()
        self._graph: CapturedScores | None = None

    def retain(self, problems: Int[Tensor, " b"]) -> None:
        if len(problems) < len(self.problems):
            self.problems = problems.to(self._instances.device)
            self.task = self._restrict(self._instances[self.problems])
            self._last_shape, self._graph = (), None

    def _restrict(self, instances: Int[Tensor, " b"]) -> Task:
        with plugin_errors("task", self._full_task):
            return self._full_task.at(instances)

    def graph(self, score: Score, z: Float[Tensor, "k m d"], n: int, gradient: bool) -> CapturedScores | None:
        """Return the graph of `score`, from the second step in a row with as many points of the same problems."""
        shape = (*z.shape, n)
        if shape != self._last_shape:
            self._last_shape, self._graph = shape, None
        elif self._graph is None:
            with plugin_errors("task", self.task):
                self._graph = CapturedScores(score, z, gradient)
        return self._graph


def _affordable(spec: Spec, asked: int, spent: int) -> int:
    """Return the number of points of each problem that the budget allows."""
    if spec.budget is None:
        return asked
    return min(asked, spec.budget - spent)


def _end_finished(search: Search, active: _ActiveProblems, z: Float[Tensor, "k n d"], step: int) -> None:
    """End the problems for which the searcher has no further points."""
    done = z[active.problems].isnan().flatten(1).any(1)
    if done.any():
        _stop(search, active.problems[done].cpu(), "finished")
        search.thresholds.mark_finished(active.problems[done].cpu(), step, search.z)
        active.retain(active.problems[~done])


def evaluate(
    space: Space, active: _ActiveProblems, z: Float[Tensor, "k m d"], n: int, gradient: bool, clock: Clock, cost: Cost
) -> tuple[Float[Tensor, "a n"], Float[Tensor, "a n"] | float]:
    """Score each problem's first `n` points; return the scores, and what the searcher's penalty lowers them by.

    If `gradient`, the gradient of minus the lowered score is written to `z.grad`.
    """
    z.grad = None
    if space.capture and not cost:
        decoded = space.decodes + len(active.problems) * n
        with clock("decode"):
            if graph := active.graph(lambda z: _scores(space, active, z, n, gradient), z, n, gradient):
                space.decodes = decoded  # decodes of the capture do not count
                return graph(z), 0.0
    with torch.set_grad_enabled(gradient):
        with clock("decode"):
            x = _decoded(space, active, z, n, gradient)
        with clock("score"), plugin_errors("task", active.task, active.draws):
            y = _with_gradient(_task_scores(active.task, x, gradient), x, gradient)
            active.texts.add(active.task, active.problems, x, y)
        if gradient:
            with clock("decode"):
                (-y.sum()).backward()
    return y.detach(), cost(z, x, active.problems) if cost else 0.0


def _scores(
    space: Space, active: _ActiveProblems, z: Float[Tensor, "k m d"], n: int, gradient: bool
) -> Float[Tensor, "a n"]:
    return _task_scores(active.task, space.decode(z[active.problems, :n], active.problems), gradient)


def _decoded(
    space: Space, active: _ActiveProblems, z: Float[Tensor, "k m d"], n: int, gradient: bool
) -> Float[Tensor, "a n *shape"]:
    """Return the samples of each problem's first `n` points.

    Raises:
        PluginError: the gradient is wanted, and the decoder gives none.
    """
    x = space.decode(z[active.problems, :n], active.problems)
    if gradient and not x.requires_grad:
        raise PluginError(
            f"model {active.model}: its decoder gives no gradient, which this searcher follows; say `differentiable = "
            f"False` in the model, and choose a searcher that needs none ({WITHOUT_GRADIENT})"
        )
    return x


def _task_scores(task: Task, x: Float[Tensor, "a n *shape"], gradient: bool) -> Float[Tensor, "a n"]:
    """Return the scores of samples; without a gradient, which NaN does not have, NaN counts as `invalid_score`."""
    return task_scores.scores(task.score(x), x, None if gradient else task.invalid_score)


def _with_gradient(y: Float[Tensor, "a n"], x: Float[Tensor, "a n *shape"], gradient: bool) -> Float[Tensor, "a n"]:
    if gradient and x.requires_grad and not y.requires_grad:
        raise ValueError("the score carries no gradient; say `differentiable = False`, or score by operations on x")
    return y


def _initial_search(spec: Spec, starts: Float[Tensor, "k m d"], invalid_score: int | float | None) -> Search:
    k, _, d = starts.shape
    worst = torch.full((k,), torch.inf, dtype=starts.dtype)
    return Search(
        thresholds=Thresholds(spec.thresholds, spec.check_every, k, d, starts.dtype),
        mean_convergence=Thresholds(spec.thresholds, spec.check_every, len(spec.starts), 0, starts.dtype),
        z=torch.full((k, d), torch.nan, dtype=starts.dtype),
        loss=worst.clone(),
        best=worst.clone(),
        best_step=torch.zeros(k, dtype=torch.long),
        steps=torch.zeros(k, dtype=torch.long),
        evaluations=torch.zeros(k, dtype=torch.long),
        stop_reason=[""] * k,
        loss_at_last_check=worst,
        invalid_score=math.nan if invalid_score is None else invalid_score,
    )


def _record_scores(
    search: Search,
    step: int,
    z: Float[Tensor, "a n d"],
    y: Float[Tensor, "a n"],
    active: Int[Tensor, " a"],
    searcher: Searcher,
) -> None:
    """Update the state by the scores of a step. A score that is not finite makes the loss of its problem NaN."""
    loss, index = (-y).masked_fill(~y.isfinite(), torch.nan).min(1)  # NaN if one is not finite, and its index
    latent = z.gather(1, index[:, None, None].expand(-1, 1, z.shape[2])).squeeze(1)
    better = ~(loss >= search.best[active])  # NaN counts as better, for it ends the problem
    search.best[active] = torch.where(better, loss, search.best[active])
    search.best_step[active[better]] = step
    moves = torch.ones_like(better) if searcher.descends else better
    search.loss[active[moves]], search.z[active[moves]] = loss[moves], latent[moves]
    search.steps[active] = step
    search.evaluations[active] += y.shape[1]
    search.invalid += int((y == search.invalid_score).sum())
    if searcher.needs_gradient:
        search.gradients += y.numel()


def _check_convergence(spec: Spec, search: Search, step: int, active: Int[Tensor, " a"]) -> None:
    """Compare the losses of each active problem, and the mean losses, with the check before."""
    moving = torch.full_like(search.loss, torch.nan)
    moving[active] = search.loss[active]
    search.thresholds.update(step, moving, search.z)
    if spec.joint or not any(search.stop_reason):  # a mean over problems of which some are over is another curve
        # without problems that diverged since the check before
        before = search.loss_at_last_check.masked_fill(search.loss.isnan(), torch.nan)
        mean, last = (x.unflatten(0, (len(spec.starts), -1)).nanmean(1) for x in (search.loss, before))
        search.mean_convergence.update(step, mean, mean.new_empty(len(mean), 0), last)
    if step % spec.check_every == 0:
        search.loss_at_last_check = search.loss.clone()


def _in_trace(step: int) -> bool:
    """Return whether a step is in the trace: one of the first, or the first beyond a power of 1.05."""
    return step <= DENSE or math.floor(math.log(step, 1.05)) > math.floor(math.log(step - 1, 1.05))


def _still_active(spec: Spec, search: Search, active: Int[Tensor, " a"], step: int) -> Int[Tensor, " b"]:
    """End problems that diverged, converged or lost patience; return the others."""
    ends = {
        "diverged": search.loss.isnan(),
        "converged": search.thresholds.converged,
        "patience": step - search.best_step >= (spec.patience or sys.maxsize),
    }
    if spec.joint:
        ends["converged"] &= search.mean_convergence.converged.repeat_interleave(len(search.loss) // len(spec.starts))
    for reason, ended in ends.items():
        _stop(search, active[ended[active]], reason)
    return active[torch.stack([~ended[active] for ended in ends.values()]).all(0)]


def _stop(search: Search, problems: Int[Tensor, " b"], reason: str) -> None:
    """Set the reason why problems ended, unless they have one."""
    for i in problems.tolist():
        search.stop_reason[i] = search.stop_reason[i] or reason


def _stop_reason(spec: Spec, step: int, spent: int, seconds: float) -> str:
    """Return the reason why all problems end after this step; empty if they do not."""
    if spec.budget is not None and spent >= spec.budget:
        return "budget"
    if spec.seconds is not None and seconds >= spec.seconds:
        return "time"
    return "steps" if step == spec.max_steps else ""
