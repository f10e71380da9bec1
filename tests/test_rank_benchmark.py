"""benchmarks/ranks.py: its blocks, intervals and shares, by hand."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd

RANKS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "ranks.py"))


def searches(*rows):
    return pd.DataFrame(rows, columns=["spec.task", "spec.model.name", "spec.searcher", "best"])


def test_a_block_has_medians_of_searchers_that_ran_in_all_blocks(capsys):
    everywhere = [(t, "vae", s, x) for t in "ab" for s, x in (("cmaes", 1.0), ("cmaes", 3.0), ("sobol", 4.0))]
    medians = RANKS["blocks"](searches(*everywhere, ("a", "vae", "bo", 0.0)))
    assert medians.to_dict("list") == {"cmaes": [2.0, 2.0], "sobol": [4.0, 4.0]}
    assert capsys.readouterr().out == "left out: bo, which ran in 1 of 2 blocks\n"


def test_the_interval_draws_whole_tasks():
    low, high = RANKS["interval"](np.array([[1.0, 2.0], [2.0, 1.0]]))  # of two tasks both may be the first
    assert low.tolist() == [1.0, 1.0] and high.tolist() == [2.0, 2.0]


def test_runs_of_images_have_no_shares_of_texts():
    runs = pd.DataFrame({"spec.searcher": ["bo", "bo"], "counts.evaluations": [10, 10], "seconds.total": [1.0, 3.0]})
    (row,) = RANKS["shares"](runs).to_dict("records")
    assert row["seconds"] == 2 and np.isnan(row["valid"]) and np.isnan(row["distinct"])
    texts = runs.assign(**{"counts.invalid_texts": [1, 3], "counts.distinct_texts": [5, 5]})
    (row,) = RANKS["shares"](texts).to_dict("records")
    assert row["valid"] == 0.8 and row["distinct"] == 0.5
