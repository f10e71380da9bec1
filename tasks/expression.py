"""An expression in x that is near a target: the task of Kusner et al. 2017 (arXiv 1703.01925)."""

import math
from dataclasses import dataclass

from lso_bench import TextTask, expression_scores


@dataclass(frozen=True)
class Expression(TextTask):
    """-log(1 + min(mean squared error, 1000)) from `target`, on 1,000 points from -10 to 10; 0 is best.

    A text that is no expression scores 1 less than the worst expression, -log(1001). Source: Kusner et al. 2017,
    section 5; the limit is that of later work, whose invalid texts score as the worst expression.
    """

    target: str = "1/3+x+sin(x*x)"  # an expression of the same grammar
    data: str = "expressions"
    optimum = 0.0
    invalid_score = -math.log(1001) - 1

    def __post_init__(self):
        expression_scores([], self.target)  # refuses a target that is no expression

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return expression_scores(texts, self.target)
