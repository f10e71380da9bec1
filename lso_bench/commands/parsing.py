"""Parse the command line of every command: repeated options and numbers are treated in one way."""

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import DIGITS, REAL

NUMBERS = {int: (DIGITS, "a whole number"), float: (REAL, "a number")}


class Command(TyperCommand):
    """Command whose options appear at most once, except lists, and whose numbers are in plain digits."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: an option appears twice, or a number has another spelling.
        """
        texts, _, parameters = self.make_parser(ctx).parse_args([*args])
        options = (p for p in parameters if getattr(p, "param_type_name", "") == "option")
        for option, count in Counter[Any](options).items():
            if count > 1 and not (option.multiple or option.is_flag):
                raise UsageError(f"{option.opts[0]} stands {count} times; give it once.")
        remaining = super().parse_args(ctx, args)
        for option in self.params:
            _check_number(option, texts.get(str(option.name)), ctx.params.get(str(option.name)))
        return remaining


def _check_number(option: Any, text: object, value: object) -> None:
    """Refuse texts that only Python takes for a number: `1_0`, or the digits of another script."""
    pattern, kind = NUMBERS.get(type(value), (None, ""))
    if pattern and isinstance(text, str) and not pattern.fullmatch(text):
        raise UsageError(f"{option.opts[0]} wants {kind} in plain digits, not {text!r}.")
