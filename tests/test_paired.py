"""Models and searchers on the same instances, whose differences are known."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from made import SPEC, measures, one, searched

from lso_bench.analysis.comparison import COLUMNS, Comparison
from lso_bench.analysis.overlap import complete_cells
from lso_bench.analysis.paired import rows
from lso_bench.analysis.table import GROUP_KEYS, table
from lso_bench.record import Record
from lso_bench.spec import Seeds
from lso_bench.vae.trained_model import Model

N = 12
OTHER = Model("nevae_se", "omniglot")


def run(offset=0.0, init=0, model=SPEC.model, **spec):
    """N instances that end `offset` above 5, 6, 7 ..."""
    return searched({"random": [[99.0, 5.0 + i + offset] for i in range(N)]}, init=init, model=model, **spec)


def compared(*runs):
    failed = [r for r in runs if not r.members]
    records = rows(table([r for r in runs if r.members]), failed)
    return Comparison(pd.DataFrame(records, columns=[*GROUP_KEYS, *COLUMNS]), [])


def pair(*runs, what="loss", factor="model"):
    """By name, what is said of the one pair."""
    comparison = compared(*runs)
    return {m: one(comparison, f"{factor} {m}:{what}", "random") for m in ("difference", "wins", "effect", "nemenyi")}


def test_difference_is_of_the_same_instances():
    results = pair(run(1.0), run(model=OTHER))
    assert (results["difference"].model, results["difference"].against) == ("vae", "nevae_se")
    assert (results["difference"].estimate, results["wins"].estimate, results["effect"].estimate) == (1.0, 0.0, -1.0)
    assert results["difference"].p < 0.01 and 0 < results["wins"].high < 0.4


def test_equal_losses_are_half_a_win():
    results = pair(run(), run(1e-6, model=OTHER))  # beyond what float32 knows of a sum of this size
    assert (results["wins"].estimate, results["difference"].estimate, results["difference"].p) == (0.5, 0.0, 1.0)


def test_seeds_of_an_instance_are_one_block():
    comparison = compared(*(run(m, i, model) for i in range(3) for m, model in ((1.0, SPEC.model), (0.0, OTHER))))
    assert one(comparison, "model wins:loss", "random").n == N


def test_only_seeds_that_all_ran_are_compared():
    results = pair(run(), run(-4.0, init=1), run(1.0, model=OTHER))
    assert results["difference"].estimate == 1.0


def test_contestant_without_common_seeds_is_left_out_and_the_others_are_compared():
    third = Model("rae", "omniglot")
    comparison = compared(run(), run(1.0, model=OTHER), run(9.0, init=1, model=third))
    ranks = comparison.measures[comparison.measures.measure == "model rank:loss"]
    assert [*ranks.model] == ["vae", "nevae_se"] and (ranks.n == N).all()


def test_all_are_compared_where_all_share_enough_instances():
    third = Model("rae", "omniglot")
    comparison = compared(
        *(run(1.0 * i, s, m) for i, m in enumerate((SPEC.model, OTHER)) for s in (0, 1)), run(9.0, 0, third)
    )
    assert [*comparison.measures[comparison.measures.measure == "model rank:loss"].model] == ["vae", "nevae_se", "rae"]


def test_set_of_contestants_is_the_largest_that_shares_enough_blocks():
    """Letters are contestants, numbers blocks: a and b share 12 blocks, c, d and e another 10."""
    cells = pd.DataFrame(1.0, index=range(22), columns=[*"abcde"])
    cells.loc[:11, [*"cde"]] = math.nan
    cells.loc[12:, [*"ab"]] = math.nan
    assert [*complete_cells(cells, cells.index.to_numpy())] == [*"cde"]
    few = complete_cells(cells.loc[:14], cells.index[:15].to_numpy())
    assert [*few] == [*"ab"] and len(few) == 12
    assert [*complete_cells(cells.loc[8:14], cells.index[8:15].to_numpy())] == [*"cde"]  # untested: the most of them
    assert complete_cells(cells[["a", "c"]], cells.index.to_numpy()).empty


def test_contestant_with_too_few_blocks_for_so_many_is_left_out_only_where_the_others_share_more():
    """Wilcoxon's test of eight contestants needs 11 blocks after Holm's correction, and h has 10."""
    cells = pd.DataFrame(1.0, index=range(20), columns=[*"abcdefgh"])
    cells.loc[10:, "h"] = math.nan
    assert [*complete_cells(cells, cells.index.to_numpy())] == [*"abcdefg"]
    assert [*complete_cells(cells.loc[:9], cells.index[:10].to_numpy())] == [*"abcdefgh"]


def test_nothing_is_compared_where_no_seed_is_shared():
    assert not compared(run(), run(init=1, model=OTHER)).measures.measure.str.startswith("model ").any()


def test_searchers_of_other_budgets_are_not_compared():
    names = compared(run(), run(searcher="turbo", budget=9)).measures.measure
    assert not names.str.startswith("searcher ").any()


def test_searchers_are_compared_in_the_same_model():
    results = pair(run(2.0), run(searcher="turbo"), factor="searcher")
    assert (results["wins"].searcher, results["wins"].against, results["wins"].model) == ("adam", "turbo", "vae")


def test_diverged_search_is_last_and_counted():
    bad = run(-1.0)
    bad = replace(bad, members=[replace(bad.members[0], loss=math.nan), *bad.members[1:]])
    comparison = compared(bad, run(model=OTHER))
    ranked = one(of_model(comparison, "vae"), "model rank:loss", "random")
    assert ranked.estimate == pytest.approx((2 + (N - 1)) / N) and ranked.censored == 1


def test_failed_run_is_last_on_every_instance():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER, seeds=Seeds(1, 1)), "failed", error="killed")
    comparison = compared(run(1.0), run(1.0, init=1), run(model=OTHER), failed)
    ranked = one(of_model(comparison, "nevae_se"), "model rank:loss", "random")
    assert (ranked.censored, ranked.n) == (N, N)
    assert ranked.estimate == 2.0  # the median of one that is there and one that is lost is lost


def test_comparison_holds_the_ranks_and_names_the_failed_run():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER), "failed", error="killed")
    comparison = measures(run(), failed)
    assert one(of_model(comparison, "nevae_se"), "model rank:loss", "random").estimate == 2.0
    assert "last where ranks are compared (killed)" in comparison.notes[0]


def test_a_model_all_of_whose_runs_failed_is_ranked():
    failed = Record(replace(SPEC, starts=("random",), model=OTHER), "failed", error="killed")
    assert pair(run(), failed)["wins"].estimate == 0.0


def test_failed_run_of_another_task_is_none_of_this_one_s():
    failed = Record(replace(SPEC, starts=("random",), task="mnist50"), "failed", error="killed")
    assert pair(run(1.0), run(model=OTHER), failed)["difference"].estimate == 1.0


def test_three_models_have_friedman_s_p():
    frame = compared(run(), run(1.0, model=OTHER), run(2.0, model=Model("beta_vae_0.9", "omniglot"))).measures
    assert (frame[frame.measure == "model rank:loss"].p < 0.001).all()
    assert frame[frame.measure == "model nemenyi:loss"].p.notna().all()


def of_model(comparison, model):
    return replace(comparison, measures=comparison.measures[comparison.measures.model == model])


def retrieving(model: str, shares: list[float], **spec) -> Record:
    """A run of as many images, whose free-running samples are nearest to their target in these shares."""
    record = searched({"random": [[9.0, 1.0]] * len(shares)}, model=Model(model, "omniglot"), **spec)
    members = [replace(m, beside={"retrieved": share}) for m, share in zip(record.members, shares, strict=True)]
    return replace(record, members=members)


def test_models_are_compared_by_the_samples_that_miss_their_target():
    better, worse = retrieving("nevae_se", [1.0] * 8 + [0.5] * 4), retrieving("vae", [0.25] * 12)
    comparison = measures(better, worse)
    difference = one(comparison, "model difference:missed")
    assert (difference.model, difference.against, difference.estimate) == ("vae", "nevae_se", 0.75)
    assert one(comparison, "model wins:missed").estimate == 0 and difference.p < 0.01


def test_failed_run_misses_every_target():
    failed = replace(retrieving("vae", [1.0] * 12), status="failed", members=[])
    comparison = measures(retrieving("nevae_se", [0.0] * 12), failed)
    assert one(comparison, "model difference:missed").model == "vae"
    assert one(comparison, "model rank:missed", model="vae").censored == 12


def test_diverged_search_misses_its_target_whatever_was_recorded():
    diverged = retrieving("vae", [1.0] * 12)
    diverged = replace(diverged, members=[replace(m, loss=math.inf) for m in diverged.members])
    comparison = measures(retrieving("nevae_se", [0.5] * 12), diverged)
    assert one(comparison, "model difference:missed").model == "vae"
    assert one(comparison, "model rank:missed", model="vae").censored == 12


def test_failed_run_alone_says_nothing_of_a_model_whose_other_runs_lack_the_share():
    older = searched({"random": [[9.0, 1.0]] * 12}, model=Model("vae", "omniglot"))
    failed = replace(retrieving("vae", [1.0] * 12, init=1), status="failed", members=[])
    newer = retrieving("nevae_se", [0.0] * 12), retrieving("nevae_se", [0.0] * 12, init=1)
    assert not measures(older, failed, *newer).measures.measure.str.contains("missed").any()


def test_models_without_the_share_are_not_compared_by_it():
    older = searched({"random": [[9.0, 1.0]] * 12}, model=Model("vae", "omniglot"))
    measured = measures(retrieving("nevae_se", [1.0] * 12), older).measures.measure
    assert "model rank:loss" in {*measured} and not measured.str.contains("missed").any()
