"""Figures of a comparison, each from one section's long table of measures (with `how` for the searcher)."""

from collections.abc import Callable

import pandas as pd

from lso_bench.plotting.style import CaptionedFigure, Size
from lso_bench.report.figures.convergence import curves, ecdf
from lso_bench.report.figures.rank_tests import critical_difference
from lso_bench.report.figures.start_sensitivity import basin, distance, spread
from lso_bench.report.figures.variance import variance

Figure = Callable[[pd.DataFrame, str, Size], CaptionedFigure | None]

FIGURES: dict[str, Figure] = {  # None where there is nothing of the kind in the table
    "curves": curves,
    "ecdf": ecdf,
    "distance": distance,
    "spread": spread,
    "basin": basin,
    "variance": variance,
    "ranks": critical_difference,
}
