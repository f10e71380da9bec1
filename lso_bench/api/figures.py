"""Figures of a comparison, one at a time."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lso_bench.analysis.curves import with_curves
from lso_bench.errors import UsageError, unknown
from lso_bench.plotting.style import SIZES, CaptionedFigure, Size, style_context
from lso_bench.report.contests import contests, from_first_start
from lso_bench.report.figures import FIGURES
from lso_bench.report.figures.convergence import curves
from lso_bench.report.figures.forest import forest
from lso_bench.report.sections import Section, sections

if TYPE_CHECKING:
    from lso_bench.api.comparison import ResultComparison

FACTORS = ("model", "searcher")
KINDS = ("forest", "curves", *(name for name in FIGURES if name != "curves"))


def draw(compared: "ResultComparison", kind: str, color: str, factor: str, size: str) -> Figure:
    """Return a figure of the only section of a comparison; see `ResultComparison.plot`.

    Raises:
        UsageError: there is no such figure, or there are several sections.
    """
    for name, value, known in (
        ("figure", kind, KINDS),
        ("color", color, FACTORS),
        ("of", factor, FACTORS),
        ("size", size, SIZES),
    ):
        if value not in known:
            raise unknown(name, value, [*known])
    parts = [*sections(compared.comparison)]
    if len(parts) != 1:
        raise UsageError(f"A figure is of one task and latent space, and these are {len(parts)}; select one by where.")
    with style_context(SIZES[size]):
        captioned = _captioned(compared, parts[0], kind, color, factor, SIZES[size])
    if captioned is None:
        raise UsageError(f"These results have nothing for the figure {kind!r}.")
    return captioned.figure


def _captioned(
    compared: "ResultComparison", part: Section, kind: str, color: str, factor: str, size: Size
) -> CaptionedFigure | None:
    if kind == "forest":
        return forest(from_first_start([*contests(part, factor, "loss")]), factor, part.title, size)
    (with_lines,) = sections(with_curves(compared.comparison, compared.records, compared.files))
    if kind == "curves":
        return curves(with_lines.measures, part.title, size, color)
    return FIGURES[kind](with_lines.measures, part.title, size)
