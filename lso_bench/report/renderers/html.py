"""Tables as HTML: columns are sorted by the values of their cells, and models have their colours."""

import math
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lso_bench.files.sanitize import one_line
from lso_bench.plotting.colours import colour_of
from lso_bench.report.table import LONGEST, Cell, Column, Table

LONG = 26  # characters of a name that is wrapped
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*(?: [\w.,:=-]*\w)?")  # an option of a command, with its value
LONGEST_OPTION = 40  # characters; a longer one may be broken, so that it fits a phone


@cache
def environment() -> Environment:
    """Return the environment of all templates, which escape what they show."""
    loader = PackageLoader("lso_bench.report", "template")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"one_line": one_line, "unbroken": _unbroken}
    templates.globals |= {"colour": lambda model: f"--c{colour_of(model)[1:].lower()}", "longest": LONGEST}
    templates.globals |= {"table": table, "attributes": _attributes, "content": _content}
    return templates


def table(table: Table) -> Markup:
    """Return a table whose columns can be sorted by the script of the page, above its caption."""
    return Markup(environment().get_template("table.html").render(t=table))


def _unbroken(text: str) -> Markup:
    """Return a text whose options of commands, such as "--seed 0-9", stand on one line each."""

    def option(match: re.Match[str]) -> str:
        return f'<span class="unbroken">{match[0]}</span>' if len(match[0]) <= LONGEST_OPTION else match[0]

    return Markup(OPTION.sub(option, str(escape(text))))


def _attributes(cell: Cell, column: Column) -> Markup:
    """Return the class of a cell and the number to sort it by; cells without are sorted by their texts."""
    wrapped = "long" if len(cell.text) > LONG else None
    order = None if isinstance(cell.value, str) else math.nan if cell.value is None else cell.value
    attributes = {"class": wrapped if column.is_text else "n", "data-order": order}
    return Markup().join(Markup(' {}="{}"').format(k, v) for k, v in attributes.items() if v is not None)


def _content(cell: Cell) -> str:
    """Return the text of a cell: bold if it is the best, below its picture, and numbers with a true minus sign."""
    text = one_line(cell.text, cell.longest)
    if not isinstance(cell.value, str):
        text = re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)
    if cell.picture:
        return Markup('<img class="drawing" src="{}" alt="">{}').format(cell.picture, text)
    return Markup("<b>{}</b>").format(text) if cell.best else text
