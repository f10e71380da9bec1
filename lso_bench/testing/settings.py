"""Check that the settings of a plugin matter, and can be recorded."""

from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from lso_bench.errors import UnusableError, UsageError
from lso_bench.plugins.settings import settings_of
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.task_case import TaskCase


def check_settings(case: TaskCase) -> None:
    """Check that every field of a task is a setting that a record can hold, and that changes something."""
    for name in storable_settings(case.plugin):
        if name == "invalid_score" and (case.y != case.plugin.invalid_score).all():
            continue  # no sample here scores NaN
        if not any(_matters(case, name, value) for value in alternatives(case.plugin, name)):
            raise UnmetRequirementError(
                f"wanted a setting that changes something, got {name}; use it in `score`, or leave it out"
            )


def storable_settings(plugin: Any) -> dict[str, Any]:
    """Return the settings of a plugin by name.

    Raises:
        UnmetRequirementError: a record cannot hold a setting, or the plugin is mutable.
    """
    frozen = type(plugin).__dataclass_params__.frozen
    if not frozen:
        raise UnmetRequirementError(
            "wanted a frozen dataclass, got another; write @dataclass(frozen=True) above the class"
        )
    values = settings_of(plugin)
    for name in (f.name for f in fields(plugin) if f.name not in values):
        if (value := getattr(plugin, name)) is not None:
            raise UnmetRequirementError(
                f"wanted settings that are text, numbers, true or false, got {name} = {value!r}; "
                "make it one, or a ClassVar, or fill it in `bind` and let None be its default"
            )
    if with_comma := [name for name, value in values.items() if "," in str(value)]:
        raise UnmetRequirementError(
            f"wanted settings that can be written after the name, got a comma in {with_comma[0]}"
        )
    return values


def _matters(case: TaskCase, name: str, value: object) -> bool:
    """Return whether a value changes a score, the data set, the instances or the targets, or is refused."""
    try:
        changed = replace(case.plugin, **{name: value})  # pyright: ignore[reportArgumentType]
        if (changed.data, changed.instances) != (case.plugin.data, case.plugin.instances):
            return True
        changed = case.at(case.instances, case.bound(changed, case.test.clone()))
    except (ValueError, UsageError, UnusableError):
        return True
    a, b = case.raw_targets(case.task_for_problems), case.raw_targets(changed)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and not torch.equal(a, b):
        return True
    try:
        return not torch.equal(case.score(changed, case.x).nan_to_num(), case.y.nan_to_num())
    except UnmetRequirementError as error:
        raise UnmetRequirementError(f"with {name} = {value!r}: {error}") from error


def alternatives(plugin: object, setting: str) -> list[Any]:
    """Return other possible values of a setting of a dataclass, the nearest first."""
    value, hint = getattr(plugin, setting), get_type_hints(type(plugin))[setting]
    if get_origin(hint) is Literal:
        values = list(get_args(hint))
    elif isinstance(value, bool):
        values = [not value]
    elif isinstance(value, int):
        values = [value + 1, value - 1, value + 3, 2 * value + 10, 1]
    elif isinstance(value, float):
        values = [value + 0.25, value / 2, 2 * value + 1.0, -value]
    else:
        values = ["another", "1"]
    return [candidate for candidate in values if candidate != value]
