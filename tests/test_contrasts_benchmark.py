"""benchmarks/contrasts.py: contrasts over trainings, by hand."""

import runpy
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

CONTRASTS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "contrasts.py"))
KEYS = ["spec.model.name", "spec.model.seed", "spec.searcher", "instance", "start", "first_loss", "loss"]
ENCODER = 7.0  # loss of the encoder's latent of every image


def searches(shift, trainings=(0, 1, 2), starts=("random", "random")):
    """Losses of `a`: 10 + the image; of `b`: `shift` of the training more, and 2 apart in its two starts."""
    rows = []
    for training, image in product(trainings, range(5)):
        for i, start in enumerate(starts):
            rows.append(("a", training, "adam", image, start, 50.0, 10.0 + image))
            rows.append(("b", training, "adam", image, start, 50.0, 10.0 + image + shift[training] + 2 * i - 1))
        rows += [(name, training, "adam", image, "encoder", ENCODER, 0.0) for name in "ab"]
    return pd.DataFrame(rows, columns=KEYS)


def contrast(outcome, shift, **settings):
    values = CONTRASTS["outcomes"](searches(shift, **settings))[CONTRASTS[outcome]]
    return CONTRASTS["contrasts"](values, ["a", "b"], CONTRASTS["STATISTICS"][CONTRASTS[outcome]])


def test_a_contrast_is_the_mean_over_trainings_with_students_interval():
    (row,) = contrast("LOSS", [1.0, 2.0, 4.5]).to_dict("records")
    low, high = stats.t.interval(0.95, 2, loc=2.5, scale=stats.sem([1.0, 2.0, 4.5]))
    assert (row["contrast"], row["trainings"]) == ("b - a", "+1.00, +2.00, +4.50")
    assert [row[k] for k in ("mean", "low", "high")] == pytest.approx([2.5, low, high])
    assert row["p"] == row["holm"] == pytest.approx(2 * stats.t.sf(2.5 / stats.sem([1.0, 2.0, 4.5]), 2))


def test_the_encoders_loss_is_taken_off_and_starts_spread_by_their_standard_deviation():
    values = CONTRASTS["outcomes"](searches([1.0, 1.0, 1.0]))
    gain, spread = (values[CONTRASTS[k]].groupby("spec.model.name").agg(list) for k in ("GAIN", "SPREAD"))
    values = CONTRASTS["outcomes"](searches([0.0, 0.0, 0.0]))
    assert values[CONTRASTS["REMOVED"]]["a"].to_list() == pytest.approx([1 - (10 + i) / 50 for i in range(5)] * 3)
    assert set(values[CONTRASTS["ENCODED"]]) == {ENCODER}
    assert sorted(gain["a"]) == sorted([3.0 + image for image in range(5)] * 3)
    assert set(spread["a"]) == {0.0} and spread["b"] == pytest.approx([2**0.5] * 15)


def test_runs_of_one_searcher_in_two_regions_are_refused():
    columns = dict.fromkeys(CONTRASTS["ONE_VALUE"], "same")
    table = searches([0.0, 0.0, 0.0]).assign(**columns, name="adam")
    assert set(CONTRASTS["alike"](table)["spec.searcher"]) == {"adam"}
    table.loc[0, "spec.region"] = "ball:5.7"
    with pytest.raises(SystemExit, match=r"adam ran with several values of spec\.region \(ball:5\.7, same\)"):
        CONTRASTS["alike"](table)


def test_two_trainings_give_no_contrast():
    assert contrast("LOSS", [1.0, 2.0], trainings=(0, 1)).empty
    assert contrast("SPREAD", [1.0, 2.0, 3.0], starts=("random",)).empty
