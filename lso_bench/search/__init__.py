"""Interface of search methods; the searchers themselves are in `lso_bench/searchers`, one a file.

To add one, save a file there with one subclass of `Searcher`, a frozen dataclass whose fields are its settings
(`--searcher name:field=value`). The file's name is the searcher's name, and the tests check it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.plugins.registry import Registry
from lso_bench.plugins.settings import added
from lso_bench.search.clock import Clock
from lso_bench.search.penalties import PENALTIES
from lso_bench.search.region import Region
from lso_bench.search.space import Space
from lso_bench.search.training_samples import TrainingSamples


@dataclass(frozen=True)
class Problem:
    """Input of a searcher: k problems of d dimensions, m starting latents of each, and the region of the search."""

    starts: Float[Tensor, "k m d"]
    region: Region = field(default_factory=Region)
    seed: int = 0
    clock: Clock = field(default_factory=Clock)  # `with problem.clock("fit"):` counts the time of its body as "fit"
    counts: dict[str, int] = field(default_factory=dict)  # counts by name, which the searcher adds to the record
    samples: TrainingSamples | None = None  # for searchers whose points are samples, in place of latents
    space: Space | None = None  # the frozen model, which decodes the points; None where a score needs no model
    data: str = ""  # name of the data set whose samples the model decodes; empty: it has none
    budget: int | None = None  # evaluations of a problem, its starts among them; None: no limit


def check_points(z: object, starts: Float[Tensor, "k m d"]) -> Float[Tensor, "k n d"]:
    """Return `z`, if it is a tensor of points of each problem, with the dimensions and dtype of the starts.

    Raises:
        ValueError: says what was expected and what came.
    """
    k, _, d = starts.shape
    expected = f"wanted points of shape ({k}, n, {d}) and {starts.dtype}"
    if not isinstance(z, Tensor):
        raise ValueError(f"{expected}, got {_described(z)}")
    if z.ndim != 3 or (z.shape[0], z.shape[2]) != (k, d) or not z.shape[1] or z.dtype != starts.dtype:
        mend = "; end it in .to(problem.starts)" * (z.dtype != starts.dtype)
        raise ValueError(f"{expected}, got {tuple(z.shape)} and {z.dtype}{mend}")
    return z


def _described(value: object) -> str:
    """Return what came in place of a tensor: of an array its shape, of anything else its value."""
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{type(value).__module__}.{type(value).__name__} of shape {shape}"


def check_finite(points: Float[Tensor, "a n d"]) -> None:
    """Refuse points that are neither finite nor NaN alone, the sign that a problem has no further points.

    Raises:
        ValueError: says what was expected and what came.
    """
    bad = points[~(points.isfinite().all(-1) | points.isnan().all(-1))]
    if len(bad):
        raise ValueError(
            f"wanted finite points, got one with {bad[~bad.isfinite()][0]:g} in it; mend how the points are proposed "
            "(NaN alone says that a problem has no further points)"
        )


def check_leaf(z: Tensor) -> None:
    """Refuse points that cannot receive a gradient.

    Raises:
        ValueError: says what was expected and what to do.
    """
    if not (z.is_leaf and z.requires_grad):
        raise ValueError(
            "wanted points that are leaves and require a gradient, got others; yield a tensor that "
            "`requires_grad_()`, or say needs_gradient = False"
        )


Asks = Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], tuple[Float[Tensor, "k m d"], Float[Tensor, "k m"]]]


def begin(problem: Problem, engine: SobolEngine, initial: int) -> Asks:
    """Evaluate the starts, then points of a Sobol sequence up to `initial` in all; return points and scores."""
    z = problem.starts
    y = yield z
    if (missing := initial - z.shape[1]) > 0:
        sobol_points = problem.region.throughout(engine.draw(missing).to(z)).expand(len(z), -1, -1)
        z, y = torch.cat([z, sobol_points], 1), torch.cat([y, (yield sobol_points)], 1)
    return z, y


PENALTY = ("penalty", "penalty_weight")  # settings of every searcher


@dataclass(frozen=True)
class Searcher(ABC):
    """Search method; a frozen dataclass whose fields are its settings.

    `search` yields n points for each of k problems, inside the region, and receives their scores, without end. The
    first points are the starts. A problem is over when it converged or a score was not finite: from then on its
    scores are NaN, and the points yielded for it are ignored. A searcher yields NaN for a problem for which it has
    no further points, and returns when it has none for any problem.

    With `space = "samples"` the points are samples, as a task scores them, each laid out in a row of d numbers. Nothing
    is decoded, the region of a run is of no effect, and `problem.samples` holds the training samples.

    If `needs_gradient`, the points are leaves that require a gradient. With the scores, `.grad` holds the gradient
    of **minus** the score, which a torch optimizer descends. With `descends` as well, the steps and thresholds of a run
    are its limits, as they are those of Adam; without it, the evaluations are.

    A `penalty` is taken from the scores before the searcher gets them, and the gradient of it is in `.grad`. What is
    recorded are scores without it. A class with a setting `penalty` or `penalty_weight` of its own has no penalty.
    """

    needs_gradient: ClassVar[bool] = False
    bounded: ClassVar[bool] = True  # whether it needs a bounded region
    space: ClassVar[Literal["latents", "samples"]] = "latents"  # kind of its points
    takes: ClassVar[Literal["", "sequences", "images"]] = ""  # kind of samples that it takes; empty: any
    descends: ClassVar[bool] = False  # whether its result is its last point; if not, its best point
    # hashes of earlier versions of its file, each with the kind of region in which results have changed since, or none
    earlier: ClassVar[Mapping[str, str]] = {}

    penalty: Literal["none", "prior", "likelihood", "les", "consistency"] = added("none", shared=True)
    penalty_weight: float = added(1.0, shared=True)  # score that one unit of the penalty costs

    def design(self, d: int) -> int:
        """Return the number of evaluations of a problem before the first that depends on a score."""
        return 1

    def check_data(self, data: str) -> None:
        """Refuse, before a run, a data set whose samples the searcher cannot use (default: takes all).

        Raises:
            UsageError, PluginError: says what to do.
        """
        return None

    @abstractmethod
    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        """Yield the points to score next."""


def has_penalty(cls: type[Searcher]) -> bool:
    """Return whether `penalty` and its weight are those of every searcher, and no settings of the user's."""
    return all(cls.__dataclass_fields__[name] is Searcher.__dataclass_fields__[name] for name in PENALTY)


def penalty_of(searcher: Searcher) -> str:
    """Return the penalty of a searcher's scores, one of `PENALTIES`."""
    return searcher.penalty if has_penalty(type(searcher)) else "none"


def check_penalty(searcher: Searcher) -> None:
    """Refuse a penalty that does not exist or is of no effect.

    Raises:
        ValueError: says which, and what to do.
    """
    kind, weight = searcher.penalty, searcher.penalty_weight
    if not has_penalty(type(searcher)):
        return
    if not isinstance(kind, str) or kind not in PENALTIES:
        raise ValueError(f"penalty is one of {', '.join(PENALTIES)}, not {kind!r}")
    if kind == "none" and weight != 1:
        raise ValueError(f"penalty_weight={weight} is of no effect without a penalty; say penalty=prior, or leave it")
    if kind != "none" and not (isinstance(weight, int | float) and 0 < weight < math.inf):
        raise ValueError(f"penalty_weight: wanted a finite number above 0, got {weight!r}")
    if kind != "none" and (why := _without_effect(type(searcher))):
        raise ValueError(f"penalty={kind} is of no effect on a searcher that {why}; leave it, or choose cmaes")


def _without_effect(cls: type[Searcher]) -> str:
    """Return why a penalty changes nothing for a class; empty if it may."""
    from lso_bench.search.controls import UNGUIDED  # which imports this module

    if cls.space == "samples":
        return "searches samples"
    return "does not look at scores" if SEARCHERS.file_of(cls) in UNGUIDED else ""


SEARCHERS = Registry(
    "searcher",
    Searcher,
    "lso_bench.searchers",
    "lso_bench.searchers",
    pinned=True,
    check=check_penalty,
    unlisted=lambda cls: PENALTY if _without_effect(cls) else (),
    advice="of a function that makes an optimizer of a problem lso_bench.AskTell(function) makes one",
)
