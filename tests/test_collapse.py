"""Measures of latent spaces against searches, where the correlation is known."""

import io
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from made import measures, searched
from rich.console import Console
from scipy.stats import kendalltau, spearmanr

from lso_bench.analysis.collapse import fewest_models, read
from lso_bench.analysis.rank_correlation import correlation, partial_correlation, smallest_p, spearman_interval
from lso_bench.analysis.unmeasured import notes, reasons
from lso_bench.report import export, tables
from lso_bench.vae.metrics import ESTIMATORS, Metrics
from lso_bench.vae.trained_model import Model

NAMES = ("vae", "beta_vae_0.9", "beta_vae_0.5", "nevae_se")
SHAS = tuple(c * 64 for c in "abcd")


def space(kl, **fields):
    known = {"n": 9, "nelbo": 90.0, "distortion": 80.0, "squared_error": 20.0, "kl": kl, "mi": kl, "mi_b50": kl}
    known |= {
        "divergence": 0.1,
        "au": 2,
        "reencoding_mean": 1.0,
        "reencoding_draw": 1 / kl,
        "reencoding_logp": 1.0,
        "activity": [0.5, 0.05],
    }
    return Metrics(**known, kl_each=[kl / 2, kl / 2], se={}, **fields)


def runs(names=NAMES, shas=SHAS):
    """Each model ends 1 lower than the one before."""
    records = [searched({"random": [[99.0, 50.0 - i]] * 3}, model=Model(n, "omniglot")) for i, n in enumerate(names)]
    return [replace(r, spec=replace(r.spec, checkpoint=sha)) for r, sha in zip(records, shas, strict=True)]


SPACES = {sha: space(1.0 + i) for i, sha in enumerate(SHAS)}


def row(comparison, metric, outcome="final loss, random"):
    table = comparison.collapse.correlations
    return table[(table.metric == metric) & (table.outcome == outcome)].iloc[0]


def test_more_kl_goes_with_a_lower_loss():
    statistics = row(measures(*runs(), spaces=SPACES), "KL")
    assert (statistics.n, statistics.estimate, statistics.kendall) == (4, -1.0, pytest.approx(-1.0))
    assert statistics.low == -1.0 and 0 < statistics.high < 1
    assert statistics.p == pytest.approx(2 / math.factorial(4))


def test_holm_counts_every_correlation_of_the_table():
    correlations = measures(*runs(), spaces=SPACES).collapse.correlations
    assert (correlations["of"] == 3).all()  # MI, KL and re-encoding of a draw with the loss: nothing else differs
    assert correlations.holm.max() == pytest.approx(3 * 2 / 24)


def test_decoder_use_is_correlated_where_it_was_measured():
    spaces = {sha: replace(space, decoder_use=10.0 - i) for i, (sha, space) in enumerate(SPACES.items())}
    statistics = row(measures(*runs(), spaces=spaces), "decoder use")
    assert (statistics.n, statistics.estimate) == (4, 1.0)
    older = spaces | {SHAS[0]: SPACES[SHAS[0]]}
    assert row(measures(*runs(), spaces=older), "decoder use").n == 3
    assert row(measures(*runs(), spaces=SPACES), "decoder use").n == 0


def test_share_of_retrieved_targets_is_an_outcome():
    records = [
        replace(r, members=[replace(m, beside={"retrieved": i / 4}) for m in r.members]) for i, r in enumerate(runs())
    ]
    assert row(measures(*records, spaces=SPACES), "KL", "retrieved, random").estimate == 1.0


def test_a_measure_that_never_changes_has_no_correlation():
    assert math.isnan(row(measures(*runs(), spaces=SPACES), "AU 0.1").estimate)


def test_table_says_which_measures_and_outcomes_do_not_differ():
    text = shown(measures(*runs(), spaces=SPACES))
    assert "Equal in all models, and so without a correlation (-): AU 0.1; steps to 0, random" in text
    equal = [replace(r, members=[replace(m, loss=5.0, best=5.0) for m in r.members]) for r in runs()]
    assert "(-): final loss, random" in shown(measures(*equal, spaces=SPACES))  # and no measure


def test_decisive_measures_are_correlated_where_they_were_measured():
    fields = [{"retrieval": 0.2 * i, "au_relative": 4 - i} for i in range(4)]
    spaces = {sha: replace(s, **f) for (sha, s), f in zip(SPACES.items(), fields, strict=True)}
    comparison = measures(*runs(), spaces=spaces)
    assert (row(comparison, "retrieval").estimate, row(comparison, "AU above noise").estimate) == (-1.0, 1.0)


def test_models_that_were_not_measured_are_no_points():
    three = {sha: SPACES[sha] for sha in SHAS[:3]}
    comparison = measures(*runs(), spaces=three)
    assert [*comparison.collapse.checkpoint_table.model] == sorted(NAMES[:3])
    assert row(comparison, "KL").n == 3 and math.isnan(row(comparison, "KL").low)


def test_two_trainings_of_a_model_are_two_points():
    two = runs(("vae", "vae"), SHAS[:2])
    two[1] = replace(two[1], spec=replace(two[1].spec, model=Model("vae", "omniglot", seed=1)))
    points = measures(*two, spaces=SPACES).collapse.checkpoint_table
    assert [*points.KL] == [1.0, 2.0] and [*points["final loss, random"]] == [50.0, 49.0]


def test_trainings_of_a_model_count_as_one_point_their_mean():
    names, shas = ("vae", "vae", "beta_vae_0.9", "beta_vae_0.5", "nevae_se"), tuple(c * 64 for c in "eabcd")
    records = runs(names, shas)
    records[1] = replace(records[1], spec=replace(records[1].spec, model=Model("vae", "omniglot", seed=1)))
    spaces = SPACES | {shas[0]: space(8.0), shas[1]: space(0.5)}  # on the mean 4.25, more than any other
    statistics = row(measures(*records, spaces=spaces), "KL")
    means = [4.25, 2.0, 3.0, 4.0], [49.5, 48.0, 47.0, 46.0]
    assert (statistics.n, statistics.trainings) == (4, 5)
    assert statistics.estimate == pytest.approx(spearmanr(*means)[0])


def test_a_model_without_elbo_counts_but_not_in_the_partial_correlation():
    fits = (90.0, 92.0, 91.0, None)
    spaces = {sha: replace(s, nelbo=fit) for (sha, s), fit in zip(SPACES.items(), fits, strict=True)}
    statistics = row(measures(*runs(), spaces=spaces), "KL")
    assert (statistics.n, statistics.estimate) == (4, -1.0) and math.isnan(statistics.partial)


def test_a_training_that_was_not_measured_is_in_neither_mean():
    shas = (*SHAS, "e" * 64)
    names = (*NAMES, NAMES[0])
    spaces = {sha: replace(s, decoder_use=s.kl) for sha, s in SPACES.items()} | {shas[4]: space(1.0)}
    statistics = row(measures(*runs(names, shas), spaces=spaces), "decoder use")
    assert (statistics.n, statistics.trainings, statistics.estimate) == (4, 4, -1.0)


def test_two_models_of_several_trainings_are_no_correlation():
    records = runs(("vae", "vae", "nevae_se"), SHAS[:3])
    records[1] = replace(records[1], spec=replace(records[1].spec, model=Model("vae", "omniglot", seed=1)))
    assert measures(*records, spaces=SPACES).collapse.correlations.empty


def test_table_says_how_many_correlations_and_what_is_missing():
    text = io.StringIO()
    Console(width=160, file=text).print(tables.terminal(measures(*runs(), spaces=SPACES)))
    text = " ".join(text.getvalue().split())
    assert "Does collapse decide search?" in text and "Holm's correction over the 3 correlations of this table" in text
    assert (
        "By all 24 permutations of 4 models no p is below 0.083 before it and 0.25 after it." in text
        and "AU above noise, decoder use, retrieval, consistency prior, consistency" in text
    )


@pytest.mark.parametrize(("n", "least"), [(4, 2 / 24), (7, 2 / 5040), (8, 2e-4), (10, 2e-4), (20, 2e-4)])
def test_smallest_p_is_that_of_the_permutations_that_are_drawn(n, least):
    order = np.arange(float(n))
    assert smallest_p(n) == pytest.approx(least) == pytest.approx(correlation(order, -order)["p"])


def test_table_names_the_smallest_p_of_drawn_permutations_and_that_after_holm():
    names = [f"beta_vae_0.{i}" for i in range(10, 20)]
    shas = [f"{i:x}" * 64 for i in range(10)]
    spaces = {sha: space(1.0 + i) for i, sha in enumerate(shas)}
    text = io.StringIO()
    Console(width=160, file=text).print(tables.terminal(measures(*runs(names, shas), spaces=spaces)))
    shown = " ".join(text.getvalue().split())
    assert "By 9,999 random permutations of 10 models no p is below 0.0002 before it and 0.0006 after it." in shown
    assert "The smallest here are 0.0002 before and 0.0006 after." in shown


def test_json_has_the_correlations():
    section = json.loads(export.as_json(measures(*runs(), spaces=SPACES)))["collapse"]
    assert {(r["metric"], r["outcome"]): r["estimate"] for r in section["correlations"]}[
        "KL", "final loss, random"
    ] == -1.0
    assert len(section["points"]) == 4


def test_other_starts_are_another_outcome():
    records = runs()
    records[0] = replace(searched({"encoder": [[99.0, 40.0]] * 3}), spec=replace(records[0].spec, starts=("encoder",)))
    assert row(measures(*records, spaces=SPACES), "KL").n == 3


def test_nothing_measured_is_no_table():
    assert measures(*runs()).collapse.correlations.empty


def write(folder, name, metrics, sha=SHAS[0], **what):
    description = {"checkpoint": sha, "estimators": ESTIMATORS, "effort": {"images": 0, "codes": 0}} | what
    (folder / "metrics").mkdir(exist_ok=True)
    (folder / "metrics" / name).write_text(json.dumps({"what": description, "metrics": asdict(metrics)}))


def test_measurements_of_one_checkpoint_complete_each_other(tmp_path):
    write(tmp_path, "b.json", space(2.0))
    write(tmp_path, "a.json", space(2.0, consistency_prior=5.0), effort={"images": 0, "codes": 100})
    measurements, skipped = read([tmp_path])
    assert (measurements[SHAS[0]].consistency_prior, skipped) == (5.0, [])


@pytest.mark.parametrize("text", ["", "[]", "null", '{"what": {}}', "[" * 100_000, '{"metrics": {"n": 1}}', "\x00"])
def test_unusable_measurement_is_named(text, tmp_path):
    write(tmp_path, "a.json", space(2.0))
    (tmp_path / "metrics" / "bad.json").write_text(text)
    measurements, (line,) = read([tmp_path])
    assert len(measurements) == 1 and "bad.json" in line and "\n" not in line


@pytest.mark.parametrize("wrong", [{"kl": "much"}, {"activity": None}, {"activity": ["x"]}])
def test_measurement_that_is_no_number_is_named(wrong, tmp_path):
    write(tmp_path, "a.json", space(2.0))
    path = tmp_path / "metrics" / "a.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"metrics": raw["metrics"] | wrong}))
    assert read([tmp_path])[0] == {} and "a.json" in read([tmp_path])[1][0]


def test_measurement_by_other_estimators_is_named(tmp_path):
    write(tmp_path, "a.json", space(2.0), estimators=ESTIMATORS + 1)
    assert read([tmp_path])[0] == {} and "estimators of version" in read([tmp_path])[1][0]


def test_correlation_is_that_of_scipy():
    x, y = np.random.default_rng(0).integers(0, 6, size=(2, 9)).astype(float)
    statistics = correlation(x, y)
    assert statistics["estimate"] == pytest.approx(spearmanr(x, y)[0])
    assert statistics["kendall"] == pytest.approx(kendalltau(x, y)[0])


def test_infinite_outcomes_are_the_largest():
    assert correlation(np.arange(4.0), np.array([1.0, 2.0, 3.0, np.inf]))["estimate"] == 1.0


def test_interval_is_bonett_and_wright_s():
    reach = 1.959964 * math.sqrt((1 + 0.5**2 / 2) / 7)
    expected = [math.tanh(math.atanh(0.5) + side * reach) for side in (-1, 1)]
    assert spearman_interval(0.5, 10) == pytest.approx(expected)
    assert math.isnan(spearman_interval(0.5, 3)[0])


def test_partial_correlation_is_that_of_the_residuals_of_ranks():
    x, y, covariate = np.random.default_rng(1).normal(size=(3, 12))
    ranks = [np.argsort(np.argsort(v)) for v in (x, y, covariate)]
    design = np.stack([np.ones(12), ranks[2]], 1)
    residuals = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
    statistics = partial_correlation(x, y, covariate)
    assert statistics["partial"] == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert (statistics["partial_low"], statistics["partial_high"]) == spearman_interval(statistics["partial"], 11)


def test_measure_that_is_the_fit_has_no_partial_correlation():
    x, y = np.random.default_rng(2).normal(size=(2, 9))
    assert math.isnan(partial_correlation(x, y, np.exp(x))["partial"])
    assert math.isnan(partial_correlation(x[:3], y[:3], y[:3] ** 2)["partial"])


def shown(comparison):
    text = io.StringIO()
    Console(width=160, file=text).print(tables.terminal(comparison, names=["collapse"]))
    return " ".join(text.getvalue().split())


def test_table_names_models_and_trainings_without_measures():
    names, shas = (*NAMES, "vae"), (*SHAS, "e" * 64)
    records = runs(names, shas)
    records[4] = replace(records[4], spec=replace(records[4].spec, model=Model("vae", "omniglot", seed=2)))
    comparison = measures(*records, spaces={sha: SPACES[sha] for sha in SHAS[:3]})
    assert "Not measured, and left out: nevae_se (training 0), vae (training 2)" in shown(comparison)
    assert "left out" not in shown(measures(*records[:4], spaces=SPACES))


def test_note_has_the_commands_that_measure_what_is_missing():
    names, shas = (*NAMES, "vae"), (*SHAS, "e" * 64)
    records = runs(names, shas)
    records[4] = replace(records[4], spec=replace(records[4].spec, model=Model("vae", "omniglot", seed=2)))
    (line,) = notes(measures(*records, spaces={sha: SPACES[sha] for sha in SHAS[:3]}).collapse, [Path("mine")])
    assert "`lso-bench evaluate --model nevae_se --data omniglot --arch small --results mine`" in line
    assert "`lso-bench evaluate --model vae --data omniglot --arch small --seed 2 --results mine`" in line
    assert notes(measures(*records).collapse, [Path("mine")]) == []  # who measures nothing asks for no table


def test_reason_of_no_table_counts_the_measured_models_and_says_how_many_it_wants():
    two = {sha: SPACES[sha] for sha in SHAS[:2]}
    line, remedy = reasons(measures(*runs(), spaces=two).collapse, [Path("results")])
    assert "wants 3 models or more" in line and line.endswith("got 2.")
    assert "`lso-bench evaluate --model beta_vae_0.5,nevae_se --data omniglot --arch small`" in remedy
    assert reasons(measures(*runs()).collapse, [Path("results")])[0].endswith("got 0.")
    assert "further models" in reasons(measures(*runs()[:2], spaces=two).collapse, [Path("results")])[1]


def test_runs_of_weights_that_were_trained_again_are_to_be_run_again(tmp_path):
    write(tmp_path, "a.json", space(2.0), sha="f" * 64)
    path = tmp_path / "metrics" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": asdict(Model("nevae_se", "omniglot"))}))
    (line,) = notes(measures(*runs(), spaces={sha: SPACES[sha] for sha in SHAS[:3]}).collapse, [tmp_path])
    assert "nevae_se (training 0) are of other weights than those searched" in line and "lso-bench run" in line


@pytest.mark.parametrize("tests", [1, 3, 8, 27, 249])
def test_fewest_models_are_the_first_whose_smallest_p_is_significant_after_holm(tests):
    fewest = fewest_models(tests)
    assert fewest is not None and smallest_p(fewest) * tests < 0.05 <= smallest_p(fewest - 1) * tests


def test_no_number_of_models_is_enough_for_more_correlations_than_permutations_tell_apart():
    assert fewest_models(250) is None


def test_table_says_how_many_models_a_significant_correlation_takes():
    comparison = measures(*runs(), spaces=SPACES)
    fewest = fewest_models(int(comparison.collapse.correlations["of"].iloc[0]))
    assert f"Only {fewest} models or more can have a p below 0.05 after it" in shown(comparison)
