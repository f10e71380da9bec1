"""Figures of a comparison, one at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from matplotlib.figure import Figure

from lso_bench.analysis.curves import with_curves
from lso_bench.analysis.paired import COMPARED as FACTORS
from lso_bench.errors import UsageError, unknown
from lso_bench.plotting.layout import enlarge
from lso_bench.plotting.style import SIZES, CaptionedFigure, NotebookFigure, displayed, style_context
from lso_bench.report.figures.collapse import scatter, settings
from lso_bench.report.section_figures import SECTION_KINDS, section_figure
from lso_bench.report.sections import by_known_name, sections

if TYPE_CHECKING:
    from lso_bench.api.comparison import ResultComparison

KINDS = (*SECTION_KINDS, "collapse")


def draw(
    compared: "ResultComparison", kind: str, color: str, factor: str, size: str, labels: Mapping[str, str]
) -> Figure:
    """Return a figure of the only section of a comparison; see `ResultComparison.plot`.

    Raises:
        UsageError: there is no such figure or name, or there are several sections.
    """
    for name, value, known in (
        ("figure", kind, KINDS),
        ("color", color, FACTORS),
        ("of", factor, FACTORS),
        ("size", size, SIZES),
    ):
        if value not in known:
            raise unknown(name, value, [*known])
    with displayed(by_known_name(labels, compared.comparison)), style_context(SIZES[size]):
        captioned = _captioned(compared, kind, color, factor, size)
        if captioned is None:
            why = f": no two {factor}s are compared; say which are by `of`" if kind == "forest" else ""
            raise UsageError(f"These results have nothing for the figure {kind!r}{why}.")
        enlarge(captioned.figure)
    figure = cast(NotebookFigure, captioned.figure)
    figure.caption = f"{captioned.title}. {captioned.caption}"
    return figure


def _captioned(compared: "ResultComparison", kind: str, color: str, factor: str, size: str) -> CaptionedFigure | None:
    """Return the figure of the only section; None if there is nothing to draw.

    Raises:
        UsageError: there are several sections.
    """
    comparison = compared.comparison
    if kind == "curves":
        comparison = with_curves(comparison, compared.records, compared.files)
    parts = [*sections(comparison)]
    if len(parts) != 1:
        raise UsageError(f"A figure is of one task and latent space, and these are {len(parts)}; select one by where.")
    if kind != "collapse":
        return section_figure(parts[0], kind, SIZES[size], factor, color)
    titled = next(settings(comparison.collapse.checkpoint_table), None)
    return titled and scatter(titled[1], titled[0], SIZES[size])
