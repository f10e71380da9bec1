"""Settings of a run, each declared once: options, study files, keys, commands, tables and caveats read them here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from lso_bench.bounds import WHOLE

TO_ZERO = (0.05, 0.02, 0.01, 0.005, 0.001, 0.0)  # thresholds of the paper
BOUNDS = {int: (1, WHOLE), float: (0.0, math.inf)}  # smallest and largest value, by type
UNCHANGED: Any = object()
PRIOR = "prior"  # coordinates of a search that are z itself


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Facts about a setting, the same for all runs."""

    name: str
    kind: Any  # type of its values except None: int, float, bool or str; not in tables also tuple[float, ...]
    default: Any  # None: no limit, or the plan decides
    omitted: Any  # value of a run that keys and descriptions leave out; by default `default`
    bounds: tuple[int | float, int | float]  # smallest and largest number; by default BOUNDS of its type
    help: str  # of its option
    text: str  # format of a value in tables; by default name and value
    in_tables: bool = True  # whether runs that differ in it have rows of their own
    caveat: str  # words for what runs with different values differ in; by default the name
    descent: bool = False  # whether it has no effect on searchers that do not descend
    neutral: Any = UNCHANGED  # value that runs of those searchers get
    since: int | None = None  # first schema whose keys hash it; None: a key hashes it only if it is not `omitted`

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def label(self, value: Any) -> str:
        """Return the short text of a value in tables; empty for None, NaN and false."""
        if value is None or value != value or (self.kind is bool and not value):
            return ""
        return self.text.format(value)


def setting(default: Any, **facts: Any) -> Any:
    """Declare a field of `RunSettings`; `facts` are those of `Setting`."""
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class RunSettings:
    """Settings that a study gives to its runs."""

    max_steps: int | None = setting(
        None,
        help="Steps down the gradient [default: --budget, else the protocol's].",
        text="{} steps",
        caveat="budgets",
        descent=True,
        since=1,
    )
    budget: int | None = setting(
        None,
        help="Evaluations a problem [default: 300 without gradients].",
        text="{:g} ev.",
        caveat="budgets",
        since=1,
    )
    seconds: float | None = setting(
        None, help="Of a run's search; then it ends.", text="{:g} s", caveat="time limits", since=2
    )
    patience: int | None = setting(
        None,
        help="Steps without a better score; then a problem ends.",
        text="patience {:g}",
        caveat="when they stop",
        since=2,
    )
    check_every: int = setting(
        100,
        help="Steps between two looks at that change.",
        text="checks every {}",
        caveat="when they stop",
        descent=True,
        since=1,
    )
    thresholds: tuple[float, ...] | None = setting(
        None,
        help="Changes of the loss at which a search has converged [default: the protocol's].",
        in_tables=False,  # each has columns of its own
        descent=True,
        neutral=(),  # problems do not stop by it
        since=1,
    )
    joint: bool = setting(
        False,
        help="All problems stay until their mean has converged.",
        caveat="when they stop",
        descent=True,
        neutral=False,
        since=2,
    )
    precision: str = setting(
        "fp32",
        help="Of searches: fp32, or fp64 where threshold 0 shall not be the resolution of fp32.",
        text="{}",
    )
    space: str | None = setting(
        None,
        help="Coordinates: prior (z itself), standard, pca:8, examples:9 [default: prior; from outside: standard].",
        omitted=PRIOR,
        caveat="coordinates",
    )


def _setting(name: str, hint: Any, default: Any, facts: Mapping[str, Any]) -> Setting:
    """Return a setting with its facts, and with defaults for those that are not declared."""
    kind = next(k for k in get_args(hint) if k is not NoneType) if isinstance(hint, UnionType) else hint
    words = name.replace("_", " ")
    usual = {
        "omitted": default,
        "bounds": BOUNDS.get(kind, (-math.inf, math.inf)),
        "caveat": words,
        "text": words + {bool: "", float: " {:g}"}.get(kind, " {}"),
    }
    return Setting(name=name, kind=kind, default=default, **{**usual, **facts})


_HINTS = get_type_hints(RunSettings)
RUN_SETTINGS = {f.name: _setting(f.name, _HINTS[f.name], f.default, f.metadata) for f in fields(RunSettings)}
IN_TABLES = [s.name for s in RUN_SETTINGS.values() if s.in_tables]
NEUTRAL = {s.name: s.neutral for s in RUN_SETTINGS.values() if s.neutral is not UNCHANGED}


def region_text(region: str) -> str:
    """Return a region as users read it."""
    return "no region" if region == "none" else region
