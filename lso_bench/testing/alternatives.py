"""Other values of a setting, to see whether it matters."""

from typing import Any, Literal, get_args, get_origin, get_type_hints


def alternatives(made: object, setting: str) -> list[Any]:
    """Some values that the setting of a dataclass could have as well, the nearest first."""
    value, hint = getattr(made, setting), get_type_hints(type(made))[setting]
    if get_origin(hint) is Literal:
        others = list(get_args(hint))
    elif isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1, value + 3, 2 * value + 10]
    elif isinstance(value, float):
        others = [value + 0.25, value / 2, 2 * value + 1.0, -value]
    else:
        others = ["another", "1"]
    return [other for other in others if other != value]
