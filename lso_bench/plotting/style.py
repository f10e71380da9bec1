"""Style of figures: sizes, fonts, colours and captions."""

import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator

from lso_bench.errors import UsageError
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import one_line
from lso_bench.plotting.layout import FittedMargins, lay_out

INK = "#111111"  # text, axes and grid
FORMATS = ("png", "svg", "pdf")
LONGEST = 48  # characters of a name in a figure
TICK = 0.4  # inches that a tick and its text take
SMALLEST_DECIMAL = -2  # exponent of the smallest tick that is no power of ten
MOST = 24  # values in an alternative text
_displayed: ContextVar[Mapping[str, str]] = ContextVar("displayed names", default=MappingProxyType({}))


@dataclass(frozen=True)
class Size:
    """Size of a figure and its text."""

    width: float  # inches
    font: float  # points
    columns: int  # panels in a row, at most
    height_factor: float  # factor on the height of a panel


SIZES = {
    "screen": Size(8.2, 8.5, 3, 1.0),
    "column": Size(3.3, 7.0, 2, 0.7),  # one column of a two-column paper
    "page": Size(6.9, 7.5, 3, 0.8),  # both columns
}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with title, caption and alternative text."""

    name: str
    figure: Figure
    title: str
    caption: str  # content, and the number of values
    alt_text: str = ""  # main values in words
    searchers: str = ""  # with settings, region and limits


@contextmanager
def plain(settings: Any = None) -> Iterator[None]:
    """Draw and save with matplotlib's defaults and these settings, whatever the user's matplotlibrc says."""
    defaults: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)  # of defaults
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name in another script
        with matplotlib.rc_context(defaults | (settings or {})):
            yield


class NotebookFigure(Figure):
    """Figure that a notebook shows, whatever backend it has."""

    caption = ""  # what it shows, and of how many values

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        with plain():
            self.savefig(picture, format="png", dpi=100)
        return picture.getvalue()


def blank(width: float, height: float) -> NotebookFigure:
    """Create an empty figure of so many inches, whose panels will leave room for its text."""
    return NotebookFigure(figsize=(width, height), layout=FittedMargins())


@contextmanager
def style_context(size: Size) -> Iterator[None]:
    """Set fonts and lines for a size; figures are drawn and saved within this context."""
    font = size.font
    settings: Any = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": font,
        "axes.titlesize": font,
        "axes.labelsize": font,
        "legend.fontsize": font - 0.5,
        "xtick.labelsize": font - 0.5,
        "ytick.labelsize": font - 0.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "grid.alpha": 0.25,
        "grid.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "ytick.minor.width": 0.4,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "legend.frameon": False,
        "legend.handlelength": 2.2,
        "text.parse_math": True,  # for ticks of logarithmic axes; names are escaped by `label`
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "pdf.fonttype": 42,
        "svg.hashsalt": "lso-bench",
    }
    with plain(settings):
        yield


def panels(size: Size, count: int, height: float = 2.2, sharex: bool = False) -> tuple[Figure, list[Any]]:
    """Create a figure of `count` panels that share their y axis, each `height` inches high on a screen."""
    columns = min(count, size.columns)
    rows = -(-count // columns)
    figure = blank(size.width, height * size.height_factor * rows + 0.55)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=True)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for i, axis in enumerate(axes.flat):
        axis.tick_params(labelbottom=True, labelleft=i % columns == 0)
    return figure, [*axes.flat][:count]


def heading(size: Size, count: int, *names: object) -> str:
    """Return the heading of one of `count` panels: one name per line, wrapped at the panel's width."""
    line_length = int(size.width / min(count, size.columns) * 72 / (0.6 * size.font)) - 6  # letters
    return "\n".join(textwrap.fill(label(name), max(line_length, 8)) for name in names)


def logarithmic(axis: Any) -> None:
    """Make the x axis of a finished plot logarithmic, with few and plain ticks."""
    axis.set(xscale="log")
    low, high = axis.get_xlim()
    room = min(max(int(axis.get_window_extent().width / axis.figure.dpi / TICK), 3), 7)
    subs = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    few = [x for x in MaxNLocator(room - 1).tick_values(low, high) if x > 0]
    axis.xaxis.set_major_locator(LogLocator(subs=subs, numticks=room) if high > 10 * low else FixedLocator(few))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))
    axis.minorticks_off()  # each takes as long as a major one


def _tick(x: float) -> str:
    """Return the text of a tick of a logarithmic axis: 1,000, 0.01, or with a power of ten where it is smaller."""
    if x >= 1:
        return f"{x:,.4g}" if x < 10 else f"{x:,.0f}"
    exponent = math.floor(math.log10(x) + 1e-9)
    if exponent >= SMALLEST_DECIMAL:
        return f"{x:.4g}"
    factor = "" if (digits := f"{x / 10**exponent:.3g}") == "1" else rf"{digits}\cdot"
    return rf"${factor}10^{{{exponent}}}$"


def legend(figure: Figure, axes: list[Any], size: Size) -> None:
    """Add one legend below the panels, for the labels of all of them."""
    handles = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not handles:
        return
    letters = max(map(len, handles)) + 6
    columns = max(1, min(len(handles), int(size.width * 72 / (0.6 * size.font) / letters)))
    figure.legend([*handles.values()], [*handles], loc="outside lower left", ncols=columns, borderaxespad=0.2)


def label(name: object) -> str:
    """Return a name for a figure, short and on one line; a formula is only what `displayed` gives."""
    shown, names = one_line(str(name), LONGEST).replace("$", r"\$"), _displayed.get()
    if names:
        whole = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
        shown = re.sub(rf"(?<![\w.:=-])(?:{whole})(?![\w.=-])", lambda m: names[m[0]], shown)
    return shown


@contextmanager
def displayed(names: Mapping[str, str]) -> Iterator[None]:
    """Show some names in figures under others, which may have formulas: `{"beta_vae_4": r"$\\beta$-VAE"}`.

    Raises:
        UsageError: matplotlib cannot read a formula.
    """
    for shown in filter(is_math_text, names.values()):
        try:
            MathTextParser("path").parse(shown)
        except ValueError as error:
            raise UsageError(f"The displayed name {shown!r} is no formula that matplotlib reads: {error}") from error
    written = {k: one_line(v) if is_math_text(v) else one_line(v).replace("$", r"\$") for k, v in names.items()}
    token = _displayed.set(written)
    try:
        yield
    finally:
        _displayed.reset(token)


def values_in_words(title: str, rows: pd.DataFrame, column: str, *columns: str) -> str:
    """List the value of each row, named by searcher and model, as a sentence."""
    row_names = rows[["searcher_label", "model", *columns]].astype(str).map(label).agg(", ".join, axis=1)
    texts = [f"{name} {value:.3g}" for name, value in zip(row_names, rows[column], strict=True)]
    rest = f"; and {len(texts) - MOST} more, in the tables" if len(texts) > MOST else ""
    return f"{title}: {'; '.join(texts[:MOST])}{rest}."


def count_range(n: pd.Series, nouns: str = "") -> str:
    """Format a range of counts, with a noun that is given in the plural: 1 start, 50 starts, or 50 to 200 starts."""
    low, high = int(n.min()), int(n.max())
    numbers = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{numbers} {nouns.removesuffix('s') if high == 1 else nouns}".rstrip()


def save(captioned: CaptionedFigure, path: Path, with_title: bool = False) -> Path:
    """Write the figure in the format of the suffix of `path`, with the same bytes every time; within `style_context`.

    Args:
        with_title: draw title and caption above the panels.

    Raises:
        WriteError: the file cannot be written.
    """
    if with_title:
        _add_heading(captioned)
    picture, dates = io.BytesIO(), {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    form, metadata = path.suffix.removeprefix("."), dates.get(path.suffix)
    lay_out(captioned.figure)
    captioned.figure.savefig(picture, format=form, dpi=160 if with_title else 300, metadata=metadata)
    write_atomic(path, picture.getvalue())
    return path


def _add_heading(captioned: CaptionedFigure) -> None:
    """Add title and caption above the panels, and enlarge the figure for them."""
    (width, height), font = captioned.figure.get_size_inches(), matplotlib.rcParams["font.size"]
    lines = [
        textwrap.fill(one_line(text), int(width * 72 / (0.56 * font)))
        for text in (captioned.title, captioned.caption)
        if text
    ]
    head = "\n".join(lines).replace("$", r"\$")
    captioned.figure.set_size_inches(width, height + (head.count("\n") + 1) * 1.3 * font / 72)
    captioned.figure.suptitle(head, x=0.01, ha="left", fontsize=font)
