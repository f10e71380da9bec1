"""Targets, expected running time and ECDF of searches made by hand."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import measures, one, searched

from lso_bench.analysis.convergence import FRACTIONS, ecdf, running_time
from lso_bench.vae.trained_model import Model

NEVAE = Model("nevae_se", "omniglot")


def test_expected_running_time_is_all_that_was_spent_over_the_successes():
    at, spent = np.array([10.0, 30.0, np.inf, np.inf]), np.array([50.0, 50.0, 50.0, 20.0])
    row = running_time(at, spent, np.arange(4))
    assert row["estimate"] == (10 + 30 + 50 + 20) / 2
    assert (row["n"], row["censored"]) == (4, 2)


def test_expected_running_time_without_success_is_infinite():
    assert running_time(np.array([np.inf]), np.array([9.0]), np.zeros(1))["estimate"] == math.inf


@given(st.lists(st.floats(1, 99), min_size=1, max_size=12), st.integers(0, 11))
def test_one_more_censored_search_never_lowers_the_expected_running_time(times, which):
    at, spent, instances = np.array(times), np.full(len(times), 100.0), np.arange(len(times))
    fewer = at.copy()
    fewer[which % len(at)] = np.inf
    arrays = np.append(at, np.inf), np.append(spent, 100.0), np.arange(len(at) + 1)
    before = running_time(at, spent, instances)["estimate"]
    assert running_time(fewer, spent, instances)["estimate"] >= before
    assert running_time(*arrays)["estimate"] >= before


def test_hits_of_a_path_made_by_hand():
    """From 100 to 0: at 0.5 the target is 50, reached at step 2, that is after 3 steps of 4 evaluations."""
    comparison = measures(searched({"random": [[100.0, 80.0, 50.0, 60.0, 0.0]]}, cost=4))
    assert one(comparison, "steps", "random", target=0.5)["median"] == 2
    assert one(comparison, "evaluations", "random", target=0.5)["median"] == 12
    assert one(comparison, "seconds", "random", target=0.5)["median"] == 1.0
    assert one(comparison, "evaluations", "random", target=0.01)["median"] == 20


def test_expected_running_time_of_runs_made_by_hand():
    """The second instance's search is the first's less its last steps: it never reaches what another start did."""
    way = [100.0, 80.0, 40.0, 0.0]
    comparison = measures(searched({"random": [way, way[:2]], "encoder": [way, way]}))
    row = one(comparison, "aRT:evaluations", "random", target=0.5)
    assert row.estimate == (3 + 2) / 1 and row.censored == 1
    assert one(comparison, "evaluations", "random", target=0.5)["median"] == math.inf
    assert one(comparison, "aRT:evaluations", "encoder", target=0.5).estimate == 3


def test_targets_are_common_to_all_models_and_searchers_of_an_instance():
    good, poor = [[100.0, 50.0, 0.0]], [[100.0, 60.0, 60.0]]
    runs = searched({"random": good}, model=NEVAE), searched({"random": poor}), searched({"random": poor}, searcher="x")
    table = measures(*runs).measures
    steps = table[(table.measure == "steps") & (table.target == 0.5)].set_index(["model", "searcher"])["median"]
    assert steps["nevae_se", "adam"] == 1 and steps["vae", "adam"] == steps["vae", "x"] == math.inf


def of_file(run, searcher="", task="", **versions):
    """The run, of a searcher's or task's file of that version."""
    spec = replace(run.spec, searcher=searcher or run.spec.searcher, task=task or run.spec.task, source=searcher + task)
    return replace(run, spec=spec, versions=run.versions | versions)


def test_targets_are_common_to_searchers_of_files_and_built_in_ones():
    good, poor = [[100.0, 50.0, 0.0]], [[100.0, 60.0, 60.0]]
    runs = [searched({"random": good}), of_file(searched({"random": poor}), searcher="./mine.py")]
    table = measures(*runs).measures
    steps = table[(table.measure == "steps") & (table.target == 0.5)].set_index("searcher")["median"]
    assert steps["adam"] == 1 and steps["./mine.py"] == math.inf


def test_targets_of_another_version_of_the_task_file_are_their_own():
    good, poor = [[100.0, 50.0, 0.0]], [[100.0, 60.0, 60.0]]
    runs = [
        of_file(searched({"random": losses}, searcher=f"s{v}"), task="./ink.py", task_sha256=v)
        for losses, v in ((good, "aa"), (poor, "bb"))
    ]
    assert (one_of(measures(*runs), "steps", 0.01) < math.inf).all()


def test_targets_of_a_model_are_its_own():
    good, poor = [[100.0, 50.0, 0.0]], [[100.0, 60.0, 60.0]]
    table = measures(searched({"random": good}, model=NEVAE), searched({"random": poor}), targets="model").measures
    steps = table[(table.measure == "steps") & (table.target == 0.01)].set_index("model")["median"]
    assert steps["vae"] == 1  # 60 is the lowest that is known of it


def test_targets_of_other_decodings_are_their_own():
    runs = searched({"random": [[9.0, 8.0]]}), searched({"random": [[5.0, 0.0]]}, decoding="sample")
    assert (one_of(measures(*runs), "evaluations", 0.01) == 2).all()


def one_of(comparison, measure, target):
    rows = comparison.measures[(comparison.measures.measure == measure) & (comparison.measures.target == target)]
    return rows["median"]


def test_the_search_that_went_lowest_reaches_every_target_though_the_trace_left_that_step_out():
    run = searched({"random": [[100.0, 50.0, 10.0]], "encoder": [[100.0, 50.0, 10.0]]})
    comparison = measures(replace(run, members=[replace(run.members[0], best=5.0), run.members[1]]))
    assert one(comparison, "steps", "random", target=0.01)["median"] == 2
    assert one(comparison, "steps", "encoder", target=0.01).censored == 1


def test_diverged_search_is_censored_from_there_on():
    run = searched({"random": [[100.0, 40.0, math.nan], [100.0, 40.0, 0.0]], "encoder": [[100.0, 1.0, 0.0]] * 2})
    comparison = measures(replace(run, status="diverged"))
    assert one(comparison, "steps", "random", target=0.5).censored == 0
    assert one(comparison, "steps", "random", target=0.01).censored == 1


@given(st.lists(st.lists(st.floats(1, 1e4) | st.just(math.inf), min_size=6, max_size=6), min_size=1, max_size=9))
def test_ecdf_rises_to_the_share_reached(rows):
    at = np.array(rows)
    shares = [r["estimate"] for r in ecdf(at, np.arange(len(at)))]
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[-1] == pytest.approx(np.isfinite(at).mean(), abs=1e-9)


def test_every_fraction_is_measured():
    table = measures(searched({"random": [[2.0, 1.0]]})).measures
    assert set(table.target.dropna()) == set(FRACTIONS)
