"""What figures are drawn on: sizes, fonts and ink; and a figure with what is said of it."""

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lso_bench.text import one_line
from lso_bench.vae.durable import write_atomic

INK = "#111111"  # of text, axes and grid
FORMATS = ("png", "svg", "pdf")
LONGEST = 48  # letters of a name in a figure


@dataclass(frozen=True)
class Size:
    """Of a figure."""

    width: float  # inches
    font: float  # points
    columns: int  # panels in a row, at most
    high: float  # how high a panel is, of what it asks for


SIZES = {
    "screen": Size(8.2, 8.5, 3, 1.0),
    "column": Size(3.3, 7.0, 2, 0.7),  # of a paper of two columns
    "page": Size(6.9, 7.5, 3, 0.8),  # both of them
}


@dataclass(frozen=True)
class Drawn:
    """A figure, and in words what it shows."""

    name: str
    figure: Figure
    title: str
    caption: str  # what is seen, of how many
    seen: str = ""  # the main figures in words, for who cannot see it


@contextmanager
def plain(settings: Any = None) -> Iterator[None]:
    """Draw and save with these settings of matplotlib and its defaults, whatever a matplotlibrc of the user says."""
    usual: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)  # of defaults
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name in another script
        with matplotlib.rc_context(usual | (settings or {})):
            yield


@contextmanager
def drawing(size: Size) -> Iterator[None]:
    """Fonts and lines as they are wanted at that size; figures are drawn and saved within."""
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
        "text.parse_math": True,  # of the ticks of logarithmic axes; names come through `label`
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "pdf.fonttype": 42,
        "svg.hashsalt": "lso-bench",
        "figure.constrained_layout.use": True,
    }
    with plain(settings):
        yield


def panels(size: Size, count: int, height: float = 2.2, sharex: bool = False) -> tuple[Figure, list[Any]]:
    """A figure of `count` panels that share their y axis, each `height` inches on a screen."""
    columns = min(count, size.columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(size.width, height * size.high * rows + 0.55))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=True)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for i, axis in enumerate(axes.flat):
        axis.tick_params(labelbottom=True, labelleft=i % columns == 0)
    return figure, [*axes.flat][:count]


def heading(size: Size, count: int, *names: object) -> str:
    """Of one of `count` panels: a name a line, broken where the panel ends."""
    wide = int(size.width / min(count, size.columns) * 72 / (0.6 * size.font)) - 6  # letters
    return "\n".join(textwrap.fill(label(name), max(wide, 8)) for name in names)


def logarithmic(axis: Any, label: str) -> None:
    """The x axis of what is drawn already; ticks are plain numbers, few enough not to meet."""
    axis.set(xscale="log", xlabel=label)
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0), numticks=7))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, axes: list[Any], size: Size, more: dict[str, Any] | None = None) -> None:
    """Under the panels, once, what stands in any of them; `more`: handles by label."""
    named = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    named |= more or {}
    if not named:
        return
    letters = max(map(len, named)) + 6
    columns = max(1, min(len(named), int(size.width * 72 / (0.6 * size.font) / letters)))
    figure.legend([*named.values()], [*named], loc="outside lower left", ncols=columns, borderaxespad=0.2)


def label(name: object) -> str:
    """A name as it may stand in a figure: short, in one line, and never a formula."""
    return one_line(str(name), LONGEST).replace("$", r"\$")


def save(drawn: Drawn, path: Path, headed: bool = False) -> Path:
    """As the ending of `path` says, the same bytes every time; within `drawing`.

    Args:
        headed: title and caption stand in the picture, over the panels.

    Raises:
        vae.errors.UnusableError: it cannot be written.
    """
    if headed:
        _head(drawn)
    picture, dates = io.BytesIO(), {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    form, metadata = path.suffix.removeprefix("."), dates.get(path.suffix)
    drawn.figure.savefig(picture, format=form, dpi=160 if headed else 300, metadata=metadata)
    write_atomic(path, picture.getvalue())
    return path


def _head(drawn: Drawn) -> None:
    """Title and caption over the panels, for which the figure grows."""
    (width, height), font = drawn.figure.get_size_inches(), matplotlib.rcParams["font.size"]
    texts = [
        textwrap.fill(one_line(text), int(width * 72 / (0.56 * font))) for text in (drawn.title, drawn.caption) if text
    ]
    head = "\n".join(texts).replace("$", r"\$")
    drawn.figure.set_size_inches(width, height + (head.count("\n") + 1) * 1.3 * font / 72)
    drawn.figure.suptitle(head, x=0.01, ha="left", fontsize=font)
