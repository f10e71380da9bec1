"""Parse the command line of every command in one way, and show its help: options in groups, with examples."""

import re
from collections import Counter
from typing import Any

from typer.core import TyperCommand

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import DIGITS, REAL
from lso_bench.run_settings import RUN_SETTINGS

KINDS = {  # kinds of values in a help text, by the words of the parser
    "list[str]": "LIST",
    "str": "TEXT",
    "int": "N",
    "int range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
}
UNBOUNDED = re.compile(r"(\d+)<=x<=9007199254740991")  # the largest whole number is no news
GROUPED = 12  # options of a command, from which on its help has them in groups
GROUPS = {  # of options, in the order of the help; settings of a run without a group are Protocol
    "What": "model models task searcher data arch latent seed search_seed train_seed where by exclude shard what kind",
    "How long": "protocol max_steps budget seconds patience epochs timeout",
    "Protocol": "starts region decoding override targets cost no_traces draws no_train nll_images nll_samples codes "
    "dimensions steps reach active",
    "Machine": "device compile capture precision jobs retries isolation memory executor address gpu data_dir results",
    "Output": "json csv markdown latex table show_all wide label rows columns name figures pictures quiet dry_run "
    "strict fail_if output force to format width figure folder tensorboard each",
}
NUMBERS = {int: (DIGITS, "a whole number"), float: (REAL, "a number")}


class Command(TyperCommand):
    """Command whose options appear at most once, except lists, and whose numbers are in plain digits."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options; many of them under the headings of their groups."""
        parameters = self.get_params(ctx)
        parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{group: [] for group in GROUPS}, "Options": []}
        for parameter in parameters:
            is_argument = getattr(parameter, "param_type_name", "") == "argument"
            group = _group(str(parameter.name)) if len(parameters) >= GROUPED else "Options"
            if record := parameter.get_help_record(ctx):
                parts["Arguments" if is_argument else group].append((option_kind(record[0]), option_bounds(record[1])))
        for heading, rows in parts.items():
            if rows:
                with formatter.section("Other" if heading == "Options" and len(parameters) >= GROUPED else heading):
                    formatter.write_dl(rows)

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


def _group(name: str) -> str:
    """Return the group of an option."""
    by_name = {option: group for group, options in GROUPS.items() for option in options.split()}
    return by_name.get(name, "Protocol" if name in RUN_SETTINGS else "Options")


def option_kind(option: str) -> str:
    """Return an option with the kind of its value as one word: `--seed LIST`."""
    return re.sub(r"<([^<>]+)>", lambda match: KINDS.get(match[1], match[1].upper()), option)


def option_bounds(text: str) -> str:
    """Return the text of an option without the largest whole number."""
    return UNBOUNDED.sub(r"x>=\1", text)


def _check_number(option: Any, text: object, value: object) -> None:
    """Refuse texts that only Python takes for a number: `1_0`, or the digits of another script."""
    pattern, kind = NUMBERS.get(type(value), (None, ""))
    if pattern and isinstance(text, str) and not pattern.fullmatch(text):
        raise UsageError(f"{option.opts[0]} wants {kind} in plain digits, not {text!r}.")
