"""Rank the searchers of a results folder over its tasks and models.

    python benchmarks/ranks.py results/searchers

A block is a task and a model in which all searchers of the table ran; its values are medians of the lowest loss over
seeds and instances. Blocks of one task share it, so they are no independent draws: the interval of a mean rank is by a
bootstrap that draws whole tasks. Nemenyi's critical difference counts tasks, too; below 10 tasks it is a rough guide.
Searchers that did not run in every block are left out and named; the two genetic algorithms of samples count as one.
Shares of valid and of distinct texts, and seconds, are medians of runs.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

import lso_bench as lb
from lso_bench.analysis.rank_tests import critical_difference
from lso_bench.errors import LsoBenchError
from lso_bench.plugins.notation import name_of
from lso_bench.plugins.settings import differing
from lso_bench.search import SEARCHERS
from lso_bench.search.controls import control

RESAMPLES = 10_000
SAMPLE_GA = {"string_ga": "string_ga or image_ga", "image_ga": "string_ga or image_ga"}
TEXT_COUNTS = ("counts.invalid_texts", "counts.distinct_texts")
TASK, MODEL, SEARCHER = "spec.task", "spec.model.name", "spec.searcher"


def blocks(searches: pd.DataFrame) -> Any:
    """Return the median lowest loss of each block (rows: task, model) and searcher (columns) that ran in all."""
    medians: Any = searches.groupby([TASK, MODEL, SEARCHER])["best"].median().unstack()
    for name in medians.columns[medians.isna().any()]:
        print(f"left out: {name}, which ran in {medians[name].notna().sum()} of {len(medians)} blocks")
    return medians.dropna(axis=1)


def interval(ranks: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "2 k"]:
    """Return the 95 % interval of mean ranks over tasks by a bootstrap of the tasks."""
    drawn = np.random.default_rng(0).integers(len(ranks), size=(RESAMPLES, len(ranks)))
    return np.percentile(ranks[drawn].mean(1), [2.5, 97.5], axis=0)


def shares(runs: pd.DataFrame) -> Any:
    """Return medians of runs by searcher: shares of valid and distinct texts, and seconds."""
    runs = runs.reindex(columns=[*dict.fromkeys([*runs.columns, *TEXT_COUNTS])])  # those of images have none
    counts = runs.assign(
        valid=1 - runs["counts.invalid_texts"] / runs["counts.evaluations"],
        distinct=runs["counts.distinct_texts"] / runs["counts.evaluations"],
        seconds=runs["seconds.total"],
    )
    return counts.groupby(SEARCHER)[["valid", "distinct", "seconds"]].median()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    results = lb.load(parser.parse_args().folder)
    runs, searches = (rows.assign(**{SEARCHER: rows[SEARCHER].map(title)}) for rows in (results.runs, results.searches))
    medians = blocks(searches)
    names = list(medians.columns)
    ranks = pd.DataFrame(scipy.stats.rankdata(medians, axis=1), medians.index, names)
    by_task: Any = ranks.groupby(level=TASK).mean()
    low, high = interval(by_task.to_numpy())
    described = shares(runs).reindex(names)
    table = pd.DataFrame({"rank": by_task.mean(), "low": low, "high": high}).join(by_task.T.rename(columns=name_of))
    table = table.join(described).sort_values("rank")
    tasks, k = len(by_task), len(names)
    print(f"{len(medians)} blocks of {tasks} tasks; mean rank of {k} searchers, 1 is best")
    print(table.to_string(float_format="{:.2f}".format, na_rep=""))
    print(f"Nemenyi's critical difference of {k} searchers on {tasks} tasks: {critical_difference(k, tasks):.1f} ranks")


def title(searcher: str) -> str:
    """Return the name of a searcher with the settings that differ from its defaults, and whether it is a control.

    A searcher whose file is gone keeps its whole name.
    """
    try:
        plugin = SEARCHERS.build(searcher)
    except LsoBenchError:
        return searcher
    settings = ",".join(f"{k}={v}" for k, v in differing(plugin, type(plugin)()).items())
    name = SAMPLE_GA.get(name_of(searcher), name_of(searcher))
    return name + f":{settings}" * bool(settings) + " (control)" * bool(control(searcher))


if __name__ == "__main__":
    main()
