"""Figures of a section, by kind: the one place that chooses them, for pages, files and the Python API."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lso_bench.analysis.paired import COMPARED
from lso_bench.files.sanitize import one_line
from lso_bench.plotting.style import CaptionedFigure, Size
from lso_bench.report.contests import contests, from_first_start, not_compared
from lso_bench.report.figures import FIGURES, TITLES
from lso_bench.report.figures.convergence import curves
from lso_bench.report.figures.forest import forest
from lso_bench.report.sections import Section
from lso_bench.report.table import LINE

SECTION_KINDS = ("forest", *FIGURES)


def section_figures(section: Section, size: Size, kinds: Sequence[str] = SECTION_KINDS) -> Iterator[CaptionedFigure]:
    """Yield the figures of a section, within `style_context`; a forest plot of models and one of searchers.

    Args:
        kinds: which ones, of SECTION_KINDS; others are ignored.
    """
    for kind in (k for k in SECTION_KINDS if k in kinds):
        for factor in COMPARED if kind == "forest" else COMPARED[:1]:
            if captioned := section_figure(section, kind, size, factor):
                yield captioned


def section_figure(
    section: Section, kind: str, size: Size, factor: str = "model", color: str = ""
) -> CaptionedFigure | None:
    """Draw a figure of a section, with the settings at the end of its caption; None if it has no such measures.

    Args:
        kind: of SECTION_KINDS.
        factor: what a forest plot compares: "model" or "searcher".
        color: what has a line of its own in curves; see `curves`.
    """
    rows, title = section.measures, TITLES[f"forest-{factor}s" if kind == "forest" else kind]
    titled = f"{title}: {section.short_title}"
    if kind == "forest":
        compared = from_first_start(contests(section, factor, "loss"))
        captioned = forest(compared, factor, titled, size, not_compared(section, compared))
    elif kind == "curves":
        captioned = curves(rows, titled, size, color, int(section.runs.instances.max()) == 1)
    else:
        captioned = FIGURES[kind](rows, titled, size)
    searchers = "; ".join(dict.fromkeys(section.searcher_descriptions.values()))
    return captioned and replace(
        captioned, caption=f"{captioned.caption} {one_line(section.title, LINE)}.", searchers=searchers
    )
