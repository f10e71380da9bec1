"""A promise of a plugin, and what was seen of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lso_bench.errors import UsageError
from lso_bench.vae.containment import reason
from lso_bench.vae.errors import UnusableError


class UnmetRequirementError(Exception):
    """Says what was wanted, what came and what to do."""


class Requirement(NamedTuple):
    name: str
    says: str
    check: Callable[[Any], str | None]  # of the case under test; says what was seen instead of `says`, where it can
    # be told more exactly; raises BrokenPromiseError
    applies: Callable[[Any], bool] = lambda _: True  # whether this plugin makes it
    first: bool = False  # whether the later ones cannot be looked at without it


@dataclass(frozen=True)
class Finding:
    """What was seen of one promise."""

    promise: str
    says: str  # what is promised
    state: Literal["ok", "missing", "not made"]
    missing: str = ""  # what was wanted, what came and what to do

    def __str__(self) -> str:
        return f"{self.state:8}  {self.promise}: {self.missing or self.says}"


def run_checks(promises: Sequence[Requirement], case: Any) -> Iterator[Finding]:
    """What is seen of each, in turn; ends at one without which the others cannot be looked at."""
    for promise in promises:
        finding = _finding(promise, case)
        yield finding
        if finding.missing and promise.first:
            return


def check(findings: Iterator[Finding], what: object) -> None:
    """Nothing, if none is missing.

    Raises:
        AssertionError: says of every broken promise what is missing.
    """
    broken = [f"{f.promise}: {f.missing}" for f in findings if f.state == "missing"]
    if broken:
        raise AssertionError("\n- ".join([f"{len(broken)} broken promises of {what!r}:", *broken]))


def _finding(promise: Requirement, case: Any) -> Finding:
    name, says = promise.name, promise.says
    if not promise.applies(case.plugin):
        return Finding(name, says, "not made")
    try:
        seen = promise.check(case)
    except (UnmetRequirementError, UsageError) as error:
        return Finding(name, says, "missing", " ".join(str(error).split()))
    except UnusableError:
        raise
    except Exception as error:  # whatever a plugin raises
        what = " ".join(reason(error).split())
        return Finding(name, says, "missing", f"wanted no error, got {what}; look at its code for it")
    return Finding(name, seen or says, "ok")


def describe(case: Any, remedy: str) -> None:
    """A class has a docstring of its own."""
    cls = type(case.plugin)
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):  # what dataclass writes
        raise UnmetRequirementError(
            f"wanted a docstring of the class that says {remedy}, got none; `lso-bench list` shows it"
        )
