"""Requirements of a plugin, and findings about them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lso_bench.errors import UnusableError, UsageError
from lso_bench.plugins.containment import reason


class UnmetRequirementError(Exception):
    """A requirement is not met; the message says what was expected, what came, and what to do."""


class Requirement(NamedTuple):
    """A requirement of a plugin, and its check."""

    name: str
    says: str
    check: Callable[[Any], str | None]  # returns None or a more exact text than `says`; raises UnmetRequirementError
    applies: Callable[[Any], bool] = lambda _: True  # whether the requirement applies to this plugin
    blocking: bool = False  # whether later checks depend on it


@dataclass(frozen=True)
class Finding:
    """Result of the check of one requirement."""

    promise: str
    says: str  # the requirement
    state: Literal["ok", "missing", "not made"]
    missing: str = ""  # expected, got, and remedy

    def __str__(self) -> str:
        return f"{self.state:8}  {self.promise}: {self.missing or self.says}"


def run_checks(requirements: Sequence[Requirement], case: Any) -> Iterator[Finding]:
    """Yield a finding for each requirement, in turn; end at an unmet one that later checks depend on."""
    for requirement in requirements:
        finding = _finding(requirement, case)
        yield finding
        if finding.missing and requirement.blocking:
            return


def check(findings: Iterator[Finding], plugin: object) -> None:
    """Check that no requirement is unmet.

    Raises:
        AssertionError: names every unmet requirement.
    """
    broken = [f"{f.promise}: {f.missing}" for f in findings if f.state == "missing"]
    if broken:
        raise AssertionError("\n- ".join([f"{len(broken)} broken promises of {plugin!r}:", *broken]))


def _finding(requirement: Requirement, case: Any) -> Finding:
    name, says = requirement.name, requirement.says
    if not requirement.applies(case.plugin):
        return Finding(name, says, "not made")
    try:
        seen = requirement.check(case)
    except (UnmetRequirementError, UsageError) as error:
        return Finding(name, says, "missing", " ".join(str(error).split()))
    except UnusableError:
        raise
    except Exception as error:  # a plugin may raise anything
        error_text = " ".join(reason(error).split())
        return Finding(name, says, "missing", f"wanted no error, got {error_text}; look at its code for it")
    return Finding(name, seen or says, "ok")


def describe(case: Any, remedy: str) -> None:
    """Check that the class has a docstring."""
    cls = type(case.plugin)
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):  # the default of dataclass
        raise UnmetRequirementError(
            f"wanted a docstring of the class that says {remedy}, got none; `lso-bench list` shows it"
        )
