"""Cells of tables: how words, numbers, shares, intervals and p-values are written, and sorted."""

import math
from collections.abc import Callable
from typing import Any

from lso_bench.plotting.numbers import significant
from lso_bench.report.table import Cell, Number

Form = Callable[[Any], str]

NO_TEXT = "†"  # mark of the median loss of searches most of which saw no valid text
NO_TEXT_SAYS = f"{NO_TEXT}: most of its searches saw no valid text, and have the loss of an invalid one"
MISSING = "-"  # in a place of a table of medians without one
NO_RESULT = f"{MISSING}: no result from these starts: not run, or all runs failed"
EMPTY = Cell("", math.nan)


def word(text: object) -> Cell:
    """Return a cell that is sorted by its text."""
    return Cell(str(text), str(text))


def model(name: object) -> Cell:
    """Return the name of a model, with its colour."""
    return Cell(str(name), str(name), model=str(name))


def rounded(value: Number) -> str:
    """Format with four significant digits, three below 10; infinity as ∞, what is no number as a dash."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return significant(value) if math.isfinite(value) else "-"


def number(value: Number | None, form: Form = rounded, undefined: str = "-") -> Cell:
    """Format a number."""
    if value is None or math.isnan(value):
        return Cell(undefined, math.nan)
    return Cell(form(value), value)


def loss(median: Number, lacks_text: bool = False, form: Form = rounded, undefined: str = "-") -> Cell:
    """Format a median loss; it is marked if most of its searches saw no valid text."""
    cell = number(median, form, undefined)
    return cell._replace(text=f"{cell.text}{NO_TEXT * lacks_text}")


def share(value: Number) -> Cell:
    """Format a share in percent."""
    return number(value, "{:.0%}".format)


def p_value(p: Number) -> Cell:
    """Format a p-value; empty if it is undefined."""
    return number(p, lambda p: "< 0.0001" if p < 0.0001 else f"{p:.2g}", undefined="")


def interval_text(low: Number, high: Number, form: Form = significant) -> str:
    """Format an interval, which may be open; empty if it is undefined."""
    ends = (("more" if end > 0 else "less") if math.isinf(end) else form(end) for end in (low, high))
    return "" if math.isnan(low) else " .. ".join(ends)


def interval(low: Number, high: Number) -> Cell:
    """Format an interval, sorted by its middle; empty if it is undefined."""
    return EMPTY if math.isnan(low) else Cell(interval_text(low, high), (low + high) / 2, bounds=(low, high))


def within(low: Number, high: Number, form: Form, dots: str = " .. ") -> str:
    """Format an interval in brackets, to stand behind its estimate; empty if it is undefined."""
    return "" if math.isnan(low) else f" ({form(low)}{dots}{form(high)})"


def estimate(value: Number, low: Number, high: Number, form: Form, end: Form | None = None, dots: str = " .. ") -> Cell:
    """Format an estimate with its interval in brackets, sorted by the estimate.

    Args:
        end: format of the interval's ends, if it is another than `form`.
    """
    cell = number(value, form)
    return cell._replace(text=cell.text + within(low, high, end or form, dots), bounds=(low, high))
