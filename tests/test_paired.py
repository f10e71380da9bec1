"""Models and searchers on the same instances, whose differences are known."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from made import SPEC, measures, one, searched

from lso_bench.analysis.comparison import COLUMNS, Comparison
from lso_bench.analysis.paired import rows
from lso_bench.analysis.table import GROUP_KEYS, table
from lso_bench.record import Record
from lso_bench.spec import Seeds
from lso_bench.vae.trained_model import Model

N = 12
OTHER = Model("nevae_se", "omniglot")


def run(more=0.0, init=0, model=SPEC.model, **spec):
    """N instances that end `more` above 5, 6, 7 ..."""
    return searched({"random": [[99.0, 5.0 + i + more] for i in range(N)]}, init=init, model=model, **spec)


def compared(*runs):
    failed = [r for r in runs if not r.members]
    found = rows(table([r for r in runs if r.members]), failed)
    return Comparison(pd.DataFrame(found, columns=[*GROUP_KEYS, *COLUMNS]), [])


def pair(*runs, what="loss", factor="model"):
    """By name, what is said of the one pair."""
    found = compared(*runs)
    return {m: one(found, f"{factor} {m}:{what}", "random") for m in ("difference", "wins", "effect", "nemenyi")}


def test_difference_is_of_the_same_instances():
    found = pair(run(1.0), run(model=OTHER))
    assert (found["difference"].model, found["difference"].against) == ("vae", "nevae_se")
    assert (found["difference"].estimate, found["wins"].estimate, found["effect"].estimate) == (1.0, 0.0, -1.0)
    assert found["difference"].p < 0.01 and 0 < found["wins"].high < 0.4


def test_equal_losses_are_half_a_win():
    found = pair(run(), run(1e-6, model=OTHER))  # beyond what float32 knows of a sum of this size
    assert (found["wins"].estimate, found["difference"].estimate, found["difference"].p) == (0.5, 0.0, 1.0)


def test_seeds_of_an_instance_are_one_block():
    found = compared(*(run(m, i, model) for i in range(3) for m, model in ((1.0, SPEC.model), (0.0, OTHER))))
    assert one(found, "model wins:loss", "random").n == N


def test_only_seeds_that_all_ran_are_compared():
    found = pair(run(), run(-4.0, init=1), run(1.0, model=OTHER))
    assert found["difference"].estimate == 1.0


def test_nothing_is_compared_where_no_seed_is_shared():
    assert not compared(run(), run(init=1, model=OTHER)).measures.measure.str.startswith("model ").any()


def test_searchers_of_other_budgets_are_not_compared():
    found = compared(run(), run(searcher="turbo", budget=9)).measures.measure
    assert not found.str.startswith("searcher ").any()


def test_searchers_are_compared_in_the_same_model():
    found = pair(run(2.0), run(searcher="turbo"), factor="searcher")
    assert (found["wins"].searcher, found["wins"].against, found["wins"].model) == ("adam", "turbo", "vae")


def test_diverged_search_is_last_and_counted():
    bad = run(-1.0)
    bad = replace(bad, members=[replace(bad.members[0], loss=math.nan), *bad.members[1:]])
    found = compared(bad, run(model=OTHER))
    ranked = one(of(found, "vae"), "model rank:loss", "random")
    assert ranked.estimate == pytest.approx((2 + (N - 1)) / N) and ranked.censored == 1


def test_failed_run_is_last_on_every_instance():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER, seeds=Seeds(1, 1)), "failed", error="killed")
    found = compared(run(1.0), run(1.0, init=1), run(model=OTHER), failed)
    ranked = one(of(found, "nevae_se"), "model rank:loss", "random")
    assert (ranked.censored, ranked.n) == (N, N)
    assert ranked.estimate == 2.0  # the median of one that is there and one that is lost is lost


def test_comparison_holds_the_ranks_and_names_the_failed_run():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER), "failed", error="killed")
    found = measures(run(), failed)
    assert one(of(found, "nevae_se"), "model rank:loss", "random").estimate == 2.0
    assert "last where ranks are compared (killed)" in found.notes[0]


def test_a_model_all_of_whose_runs_failed_is_ranked():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER), "failed", error="killed")
    assert pair(run(), failed)["wins"].estimate == 0.0


def test_failed_run_of_another_task_is_none_of_this_one_s():
    failed = Record(replace(SPEC, starts=("random",), task="mnist50"), "failed", error="killed")
    assert pair(run(1.0), run(model=OTHER), failed)["difference"].estimate == 1.0


def test_three_models_have_friedman_s_p():
    found = compared(run(), run(1.0, model=OTHER), run(2.0, model=Model("beta_vae_0.9", "omniglot"))).measures
    assert (found[found.measure == "model rank:loss"].p < 0.001).all()
    assert found[found.measure == "model nemenyi:loss"].p.notna().all()


def of(found, model):
    return replace(found, measures=found.measures[found.measures.model == model])
