"""The command line of every command: what stands twice, and numbers, are read in one way."""

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from lso_bench.errors import UsageError
from lso_bench.vae.notation import DIGITS, REAL

NUMBERS = {int: (DIGITS, "a whole number"), float: (REAL, "a number")}


class Command(TyperCommand):
    """A command whose options stand once, but for those that take a list, and whose numbers are in plain digits."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            UsageError: an option that stands twice, or a number in another spelling.
        """
        texts, _, order = self.make_parser(ctx).parse_args([*args])
        for option, count in Counter[Any](p for p in order if getattr(p, "param_type_name", "") == "option").items():
            if count > 1 and not (option.multiple or option.is_flag):
                raise UsageError(f"{option.opts[0]} stands {count} times; give it once.")
        rest = super().parse_args(ctx, args)
        for option in self.params:
            _check_number(option, texts.get(str(option.name)), ctx.params.get(str(option.name)))
        return rest


def _check_number(option: Any, text: object, value: object) -> None:
    """Refuse what Python takes for a number and others do not: `1_0`, or the digits of another script."""
    pattern, kind = NUMBERS.get(type(value), (None, ""))
    if pattern and isinstance(text, str) and not pattern.fullmatch(text):
        raise UsageError(f"{option.opts[0]} wants {kind} in plain digits, not {text!r}.")
