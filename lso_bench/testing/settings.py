"""Whether the settings of a plugin matter, and can be told."""

from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from lso_bench.errors import UsageError
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.task_case import TaskCase
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.settings import settings_of


def check_settings(case: TaskCase) -> None:
    """Every field of a task is a setting that a record can hold, and changes something."""
    for name in kept(case.plugin):
        if not any(_matters(case, name, value) for value in alternatives(case.plugin, name)):
            raise UnmetRequirementError(
                f"wanted a setting that changes something, got {name}; use it in `score`, or leave it out"
            )


def kept(made: Any) -> dict[str, Any]:
    """The settings of a plugin by name, if a record can hold them all.

    Raises:
        BrokenPromiseError: it cannot, or the plugin can be changed.
    """
    frozen = type(made).__dataclass_params__.frozen
    if not frozen:
        raise UnmetRequirementError(
            "wanted a frozen dataclass, got another; write @dataclass(frozen=True) above the class"
        )
    values = settings_of(made)
    for name in (f.name for f in fields(made) if f.name not in values):
        if (value := getattr(made, name)) is not None:
            raise UnmetRequirementError(
                f"wanted settings that are text, numbers, true or false, got {name} = {value!r}; "
                "make it one, or a ClassVar, or fill it in `bind` and let None be its default"
            )
    if comma := [name for name, value in values.items() if "," in str(value)]:
        raise UnmetRequirementError(f"wanted settings that can be written after the name, got a comma in {comma[0]}")
    return values


def _matters(case: TaskCase, name: str, value: object) -> bool:
    """Whether that value changes a score, the data set, the instances or the targets, or is refused."""
    try:
        other = replace(case.plugin, **{name: value})  # pyright: ignore[reportArgumentType]
        if (other.data, other.instances) != (case.plugin.data, case.plugin.instances):
            return True
        other = case.at(case.instances, case.bound(other, case.test.clone()))
    except (ValueError, UsageError, UnusableError):
        return True
    a, b = case.answered(case.task_for_problems), case.answered(other)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and not torch.equal(a, b):
        return True
    try:
        return not torch.equal(case.score(other, case.x).nan_to_num(), case.y.nan_to_num())
    except UnmetRequirementError as error:
        raise UnmetRequirementError(f"with {name} = {value!r}: {error}") from error


def alternatives(made: object, setting: str) -> list[Any]:
    """Some values that the setting of a dataclass could have as well, the nearest first."""
    value, hint = getattr(made, setting), get_type_hints(type(made))[setting]
    if get_origin(hint) is Literal:
        others = list(get_args(hint))
    elif isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1, value + 3, 2 * value + 10, 1]
    elif isinstance(value, float):
        others = [value + 0.25, value / 2, 2 * value + 1.0, -value]
    else:
        others = ["another", "1"]
    return [other for other in others if other != value]
