"""Rules for some runs of a grid: leave them out, or change their protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lso_bench.errors import UsageError
from lso_bench.study.spelling import means

NAMED = ("model", "task", "searcher", "region")  # text fields that a rule may select by
NUMBERED = ("seed", "search_seed", "train_seed")  # numbers that a rule may select by


@dataclass(frozen=True)
class Rule:
    """Runs that satisfy all conditions in `where`; `overrides` are settings of their protocol, None leaves them out.

    A name matches with any settings ("adam" matches "adam:lr=0.03"). A name with settings matches all runs that have
    them. A seed matches one of those in its condition.
    """

    where: Mapping[str, str | tuple[int, ...]]
    overrides: Mapping[str, Any] | None = None

    def matches(self, run: Mapping[str, str | int | None]) -> bool:
        """Return whether a run satisfies all conditions."""
        return all(_matches(k, run[k], value) for k, value in self.where.items())

    def __str__(self) -> str:
        conditions = {k: v if isinstance(v, str) else ",".join(map(str, v)) for k, v in self.where.items()}
        settings = " ".join(f"{k}={v}" for k, v in (*conditions.items(), *(self.overrides or {}).items()))
        return f"{'exclude' if self.overrides is None else 'override'} {settings}"


@dataclass
class Rules:
    """Rules in order, and the indices of those that matched a run so far."""

    rules: Sequence[Rule]
    used: set[int] = field(default_factory=set)

    def settings(self, run: Mapping[str, str | int | None]) -> dict[str, Any] | None:
        """Return the settings that the rules change for a run; later rules win. None: the run is left out."""
        overrides: dict[str, Any] = {}
        matching = [(i, rule) for i, rule in enumerate(self.rules) if rule.matches(run)]
        self.used |= {i for i, _ in matching}
        for _, rule in matching:
            if rule.overrides is None:
                return None
            overrides |= rule.overrides
        return overrides

    def check(self) -> None:
        """Refuse rules that matched nothing, and two rules that give the same runs different values of a setting.

        Raises:
            UsageError: the message names the first one.
        """
        for i, rule in enumerate(self.rules):
            for earlier in self.rules[:i]:
                if rule.where == earlier.where and (key := _conflicting_setting(rule, earlier)):
                    raise UsageError(f"`{earlier}` and `{rule}` give the same runs two values of {key}; leave one out.")
        for i, rule in enumerate(self.rules):
            if i not in self.used:
                raise UsageError(f"No run is meant by `{rule}`; wanted names and seeds of this study.")


def _conflicting_setting(rule: Rule, earlier: Rule) -> str | None:
    """Return a setting to which both rules give different values; None if there is none."""
    settings, earlier_settings = rule.overrides or {}, earlier.overrides or {}
    return next(
        (key for key in settings.keys() & earlier_settings.keys() if settings[key] != earlier_settings[key]), None
    )


def _matches(kind: str, value: str | int | None, condition: str | tuple[int, ...]) -> bool:
    if isinstance(condition, str):
        return isinstance(value, str) and means(kind, condition, value)
    return value in condition
