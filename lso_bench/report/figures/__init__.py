"""Figures of a comparison, each from the long table of measures of one section."""

from collections.abc import Callable

import pandas as pd

from lso_bench.plotting.style import CaptionedFigure, Size
from lso_bench.report.figures.convergence import curves, ecdf
from lso_bench.report.figures.rank_tests import critical_difference
from lso_bench.report.figures.start_sensitivity import basin, distance, spread
from lso_bench.report.figures.variance import variance

TITLES = {  # what is seen
    "forest-models": "Final loss less that of the best model, on the same instances",
    "forest-searchers": "Final loss less that of the best searcher, on the same instances",
    "curves": "Lowest loss so far, by evaluations",
    "ecdf": "Share of target losses reached, by evaluations",
    "distance": "Distance between the latents that two starts lead to, by threshold",
    "spread": "Spread of the final loss over the starts of an instance",
    "basin": "Pairs of starts that end in the same basin",
    "variance": "Where the variance of the final loss comes from",
    "ranks": "Mean ranks on the same instances",
}

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
