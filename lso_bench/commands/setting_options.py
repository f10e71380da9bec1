"""Options of a command for the settings of its runs."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_origin

import typer

from lso_bench.commands.options import thresholds
from lso_bench.errors import UsageError
from lso_bench.run_settings import RUN_SETTINGS, Setting


def with_setting_options(before: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the `**settings` of a command by an option for each setting, before another parameter."""

    def replaced(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        index = [p.name for p in parameters].index(before)
        parameters[index:index] = settings = [_parameter(s) for s in RUN_SETTINGS.values()]
        command.__annotations__ |= {p.name: p.annotation for p in settings}
        command.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return command

    return replaced


def setting_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the options of a command give.

    Raises:
        UsageError: a number is infinite or has another form.
    """
    return {name: _value(s, options[name]) for name, s in RUN_SETTINGS.items()}


def _parameter(setting: Setting) -> inspect.Parameter:
    """Return the parameter of a command, as typer reads it."""
    is_list, is_flag = get_origin(setting.kind) is tuple, setting.kind is bool
    names = [setting.option + f"/--no-{setting.option[2:]}" * setting.default] if is_flag else []
    least, most = (None if abs(n) == math.inf else n for n in setting.bounds)
    option = typer.Option(*names, help=setting.help, min=least, max=most)
    kind, default = (list[str], None) if is_list else (setting.kind, setting.default)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=default,
        annotation=Annotated[kind if default is not None else kind | None, option],
    )


def _value(setting: Setting, value: Any) -> Any:
    if get_origin(setting.kind) is tuple:
        return thresholds(setting.option, value) if value else setting.default
    if isinstance(value, float) and not math.isfinite(value):
        hint = "; without it there is no limit" * (setting.default is None)
        raise UsageError(f"{setting.option} wants a finite number{hint}.")
    return value + 0.0 if isinstance(value, float) else value  # no minus zero
