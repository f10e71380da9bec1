"""Figures of a comparison, one at a time."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lso_bench.analysis.curves import with_curves
from lso_bench.analysis.paired import COMPARED as FACTORS
from lso_bench.errors import UsageError, unknown
from lso_bench.plotting.layout import enlarge
from lso_bench.plotting.style import SIZES, style_context
from lso_bench.report.section_figures import SECTION_KINDS, section_figure
from lso_bench.report.sections import sections

if TYPE_CHECKING:
    from lso_bench.api.comparison import ResultComparison


def draw(compared: "ResultComparison", kind: str, color: str, factor: str, size: str) -> Figure:
    """Return a figure of the only section of a comparison; see `ResultComparison.plot`.

    Raises:
        UsageError: there is no such figure, or there are several sections.
    """
    for name, value, known in (
        ("figure", kind, SECTION_KINDS),
        ("color", color, FACTORS),
        ("of", factor, FACTORS),
        ("size", size, SIZES),
    ):
        if value not in known:
            raise unknown(name, value, [*known])
    parts = [*sections(compared.comparison)]
    if len(parts) != 1:
        raise UsageError(f"A figure is of one task and latent space, and these are {len(parts)}; select one by where.")
    if kind == "curves":
        parts = [*sections(with_curves(compared.comparison, compared.records, compared.files))]
    with style_context(SIZES[size]):
        captioned = section_figure(parts[0], kind, SIZES[size], factor, color)
    if captioned is None:
        why = f": no two {factor}s are compared; say which are by `of`" if kind == "forest" else ""
        raise UsageError(f"These results have nothing for the figure {kind!r}{why}.")
    with style_context(SIZES[size]):
        enlarge(captioned.figure)
    return captioned.figure
