"""Compare models over their trainings: each training counts once, and the interval is over trainings.

    python benchmarks/contrasts.py results/collapse results/encoder --models beta_vae_0.5,vae,beta_vae_2,beta_vae_4

The tables of `compare` test over images, within the trainings at hand. Here the unit is the training. A contrast is a
model less the one before it in --models. Its value in one training seed is the median over instances of the paired
difference, after the mean over the starts of an instance. Both models have that seed in common, and with it the order
of batches. The mean over seeds has the interval and the p of Student's t. Holm's correction is over all contrasts of an
outcome. The outcomes are the final loss, the loss of the encoder's latent (where a run began there), the difference of
the two, the share of the random start's loss that the search removed, and the standard deviation of the final loss over
starts. The last one has the mean over instances, because most of them have equal ends.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

import lso_bench as lb
from lso_bench.analysis.rank_tests import holm
from lso_bench.plugins.notation import name_of

MODEL, TRAINING, SEARCHER, INSTANCE = "spec.model.name", "spec.model.seed", "spec.searcher", "instance"
LOSS, ENCODED, GAIN, REMOVED, SPREAD = "final loss", "encoder's loss", "less the encoder's", "removed", "spread"
STATISTICS = {LOSS: "median", ENCODED: "median", GAIN: "median", REMOVED: "median", SPREAD: "mean"}  # over instances
FEWEST = 3  # trainings that two models need in common
ONE_VALUE = ("spec.task", "spec.searcher", "spec.region", "spec.space", "spec.decoding", "spec.model.arch")
ONE_VALUE += ("spec.model.latent", "spec.max_steps", "spec.budget")  # columns that the runs of a searcher must share
NONE = pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[], []], names=[TRAINING, INSTANCE]))


def outcomes(searches: Any) -> dict[str, Any]:
    """Return each outcome by model, training, searcher and instance, of searches from random starts."""
    keys = [MODEL, TRAINING, SEARCHER, INSTANCE]
    random, encoded = (searches[searches["start"] == start] for start in ("random", "encoder"))
    removed = (1 - random["loss"] / random["first_loss"]).groupby([random[k] for k in keys]).mean()
    first = encoded.groupby([MODEL, TRAINING, INSTANCE])["first_loss"].first()
    loss, spread = random.groupby(keys)["loss"].mean(), random.groupby(keys)["loss"].std().dropna()
    gain = (loss - first).reorder_levels(keys).dropna()
    of_encoder = encoded.assign(**{SEARCHER: "encoder"}).groupby(keys)["first_loss"].first()
    return {LOSS: loss, ENCODED: of_encoder, GAIN: gain, REMOVED: removed, SPREAD: spread}


def contrasts(values: Any, models: list[str], statistic: str = "median") -> pd.DataFrame:
    """Return the contrasts of consecutive models: one row per searcher and pair, with a value for each training.

    Args:
        statistic: median or mean, over instances.
    """
    rows = []
    for searcher in sorted(values.index.unique(SEARCHER)):
        of_searcher = values.xs(searcher, level=SEARCHER)
        for below, above in pairwise(models):
            differences = (of_searcher.get(above, NONE) - of_searcher.get(below, NONE)).dropna()
            of_trainings = differences.groupby(TRAINING).agg(statistic)
            if len(of_trainings) >= FEWEST:
                rows.append({"searcher": searcher, "contrast": f"{above} - {below}", **_summary(of_trainings)})
    table = pd.DataFrame(rows)
    return table.assign(holm=holm(table["p"].to_numpy(float))) if rows else table


def _summary(differences: Any) -> dict[str, Any]:
    """Return the values of the trainings, their mean with its 95 % interval, and p of Student's t."""
    values = differences.to_numpy(float)
    test: Any = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(0.95)
    trainings = ", ".join(f"{v:+.2f}" for v in values)
    return {"trainings": trainings, "mean": values.mean(), "low": low, "high": high, "p": test.pvalue}


def alike(searches: Any) -> Any:
    """Return the searches with the name of each searcher for its text, if the runs of each differ in no setting.

    Raises:
        SystemExit: names the setting.
    """
    for name, of_searcher in searches.groupby("name"):
        for column in (c for c in ONE_VALUE if of_searcher[c].nunique(dropna=False) > 1):
            values = ", ".join(map(str, of_searcher[column].unique()))
            raise SystemExit(f"{name} ran with several values of {column} ({values}); give folders with one of them.")
    return searches.assign(**{SEARCHER: searches["name"]})


def levels(searches: Any, values: dict[str, Any], models: list[str]) -> pd.DataFrame:
    """Return of each searcher and model the outcomes over instances, as means over trainings.

    `norm` is that of the final latents, `at the limit` the share of searches that all steps or evaluations ended.
    """
    random = searches[searches["start"] == "random"]
    keys = [MODEL, TRAINING, SEARCHER]
    limited = (random["steps"] >= random["spec.max_steps"]) | (random["stopped"] == "budget")
    columns = {name: v.groupby(keys).agg(STATISTICS[name]) for name, v in values.items()}
    columns["norm"] = random.groupby(keys)["distance_to_prior"].median()
    columns["at the limit"] = limited.groupby([random[k] for k in keys]).mean()
    table: Any = pd.DataFrame(columns).groupby([SEARCHER, MODEL]).mean()
    order: Any = pd.Index([(s, m) for s in table.index.unique(SEARCHER) for m in models])
    return table.reindex(order[order.isin(table.index)])


def main() -> None:
    """Print a table of levels, and one of contrasts for each outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--models", required=True, help="in the order of the contrasts, with commas")
    parser.add_argument("--task", default="omniglot50")
    parser.add_argument("--where", action="append", default=[], help="only these runs, as in compare: region=ball:5.7")
    args = parser.parse_args()
    models = args.models.split(",")
    searches: Any = lb.load(*args.folders).where(*args.where).searches
    searches = searches[(searches["spec.task"].map(name_of) == args.task) & searches[MODEL].isin(models)]
    searches = alike(searches.assign(name=searches[SEARCHER].map(name_of)))
    values = outcomes(searches)
    print(f"{args.task}, over instances, means over trainings\n")
    print(levels(searches, values, models).to_string(float_format="{:.3g}".format))
    for name, outcome in values.items():
        table = contrasts(outcome, models, STATISTICS[name])
        print(f"\n{name}, {STATISTICS[name]} over instances: contrasts over trainings\n")
        if len(table):
            print(table.to_string(index=False, float_format="{:.3g}".format))
        else:
            print(f"none: no two models have {FEWEST} trainings in common")


if __name__ == "__main__":
    main()
