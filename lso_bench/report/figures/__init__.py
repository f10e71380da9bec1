"""Figures of a comparison, each from the long table of measures of one section."""

from collections.abc import Callable

import pandas as pd

from lso_bench.plotting.style import CaptionedFigure, Size
from lso_bench.report.figures.convergence import curves, ecdf
from lso_bench.report.figures.rank_tests import critical_difference
from lso_bench.report.figures.start_sensitivity import basin, distance, spread
from lso_bench.report.figures.variance import variance

DrawFigure = Callable[[pd.DataFrame, str, Size], CaptionedFigure | None]

FIGURES: dict[str, DrawFigure] = {  # each returns None if the table has no such measure
    "curves": curves,
    "ecdf": ecdf,
    "distance": distance,
    "spread": spread,
    "basin": basin,
    "variance": variance,
    "ranks": critical_difference,
}
