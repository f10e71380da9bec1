"""Some runs of a grid, by what they are: left out, or done in another way than the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lso_bench.errors import UsageError
from lso_bench.study.spelling import means

NAMED = ("model", "task", "searcher", "region")  # what a rule may go by
NUMBERED = ("seed", "search_seed", "train_seed")


@dataclass(frozen=True)
class Rule:
    """The runs that are all of `where`; `instead` are settings of their protocol, and None leaves them out.

    A name stands for itself with whatever settings ("adam" for "adam:lr=0.03"); with settings, for all that have them.
    """

    where: Mapping[str, str | int]
    overrides: Mapping[str, Any] | None = None

    def matches(self, run: Mapping[str, str | int | None]) -> bool:
        return all(_is(k, run[k], wanted) for k, wanted in self.where.items())

    def __str__(self) -> str:
        what = " ".join(f"{k}={v}" for k, v in (*self.where.items(), *(self.overrides or {}).items()))
        return f"{'exclude' if self.overrides is None else 'override'} {what}"


@dataclass
class Rules:
    """Rules in their order, and which of them covered a run so far."""

    rules: Sequence[Rule]
    used: set[int] = field(default_factory=set)

    def settings(self, run: Mapping[str, str | int | None]) -> dict[str, Any] | None:
        """What they change of the run's protocol; later rules win. None: it is left out."""
        changed: dict[str, Any] = {}
        there = [(i, rule) for i, rule in enumerate(self.rules) if rule.matches(run)]
        self.used |= {i for i, _ in there}
        for _, rule in there:
            if rule.overrides is None:
                return None
            changed |= rule.overrides
        return changed

    def check(self) -> None:
        """Refuse rules that covered nothing, and two that give the same runs two values of one setting.

        Raises:
            UsageError: names the first.
        """
        for i, rule in enumerate(self.rules):
            for other in self.rules[:i]:
                if rule.where == other.where and (key := _contradicted(rule, other)):
                    raise UsageError(f"`{other}` and `{rule}` give the same runs two values of {key}; leave one out.")
        for i, rule in enumerate(self.rules):
            if i not in self.used:
                raise UsageError(f"No run is meant by `{rule}`; wanted names and seeds of this study.")


def _contradicted(rule: Rule, other: Rule) -> str | None:
    """Return a setting that both give, each another value; None where there is none."""
    one, two = rule.overrides or {}, other.overrides or {}
    return next((key for key in one.keys() & two.keys() if one[key] != two[key]), None)


def _is(kind: str, value: str | int | None, wanted: str | int) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return means(kind, wanted, value)
    return value == wanted
