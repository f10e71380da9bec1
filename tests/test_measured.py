"""Measured latent spaces: kept once, and never with figures that are none."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY, random_vae
from made import searched

import lso_bench as lb
from lso_bench.errors import UnusableError
from lso_bench.models import measurements
from lso_bench.report import html_overview
from lso_bench.report.measurements import metrics_table
from lso_bench.store.store import Store
from lso_bench.vae import checkpoint
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.evaluation import SampleSizes

EFFORT = SampleSizes(images=2, samples=2, codes=0)
CODES = replace(EFFORT, codes=4)
CODE_USE = ("decoder_use", "reencoding_draw", "au_relative", "retrieval")


def measure(model, tmp_path, effort=EFFORT):
    (one,) = measurements.measured([model], tmp_path / "r", effort=effort)
    return one


def as_older_versions_stored(path):
    """Take the measures of the use of codes out of a file; one of the others is changed, so that it is known again."""
    raw = json.loads(path.read_text())
    for key in CODE_USE:
        del raw["metrics"][key]
        raw["metrics"]["se"].pop(key, None)
    path.write_text(json.dumps(raw | {"metrics": raw["metrics"] | {"nelbo": 123.0}}))


@pytest.mark.parametrize("size", [1e10, 1e25, 1e38])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_without_finite_measures_are_refused_by_name_and_nothing_is_kept(tmp_path, model_of_noise, part, size):
    vae = random_vae(TINY)
    with torch.no_grad():
        for p in getattr(vae, part).parameters():
            p.mul_(size)
    save_model(tmp_path / "checkpoints" / model_of_noise.file, vae, {"made": "by a test"})
    with pytest.raises(UnusableError, match=r"vae-s0\.safetensors: its latent space has no finite nelbo, "):
        measure(model_of_noise, tmp_path)
    assert not list(tmp_path.glob("r/metrics/*.json"))


def test_measures_of_a_model_whose_weights_are_gone_are_those_that_were_stored(model_of_noise, tmp_path, capsys):
    first = measure(model_of_noise, tmp_path)
    weights = tmp_path / "checkpoints" / model_of_noise.file
    weights.unlink()
    assert measure(model_of_noise, tmp_path).metrics == first.metrics
    assert f"{weights.stem}: its weights are not here; these are its measures in" in capsys.readouterr().err
    for changed in ({"effort": replace(EFFORT, samples=3)}, {"seed": 1}):
        with pytest.raises(UnusableError, match="No checkpoint of"):
            measurements.measured([model_of_noise], tmp_path / "r", **({"effort": EFFORT} | changed))


@pytest.mark.parametrize(("of_training", "is_said"), [({}, False), ({"data_sha256": "0" * 64}, True)])
def test_model_that_was_trained_on_other_samples_is_named(model_of_noise, tmp_path, capsys, of_training, is_said):
    weights = tmp_path / "checkpoints" / model_of_noise.file
    tensors, header = checkpoint.read(weights)
    checkpoint.write(weights, tensors, header | of_training)
    measure(model_of_noise, tmp_path)
    assert ("vae was trained on other samples of noise.py than these" in capsys.readouterr().err) is is_said


def test_page_of_a_selection_has_the_latent_spaces_of_its_runs_alone(model_of_noise, tmp_path):
    checkpoint_hash = measure(model_of_noise, tmp_path).inputs["checkpoint"]
    for init, weights in ((0, checkpoint_hash), (1, "0" * 64)):
        Store(tmp_path / "r").add(searched({"random": [[9.0, 5.0, 3.0]]}, init=init, checkpoint=weights))
    runs = lb.load(tmp_path / "r")
    spaces = [len(r.page().spaces) for r in (runs, runs.where("seed.init=0"), runs.where("seed.init=1"))]
    assert spaces == [1, 1, 0]


def short(tensors):
    return {k: v[:-1] for k, v in tensors.items()}


def flat(tensors):
    return {k: v[None] for k, v in tensors.items()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kl_each": [0.1]},
        {"kl_each": "0123"},
        {"kl_each": [None] * 4},
        {"se": {}},
        {"se": {"kl": "much"}},
        {"se": None},
        {"activity": []},
        {"n": 3.5},
        short,
        flat,
    ],
    ids=lambda wrong: wrong.__name__ if callable(wrong) else str(wrong),
)
def test_kept_measures_of_another_form_are_measured_again(model_of_noise, tmp_path, wrong):
    first = measure(model_of_noise, tmp_path)
    (path,) = tmp_path.glob("r/metrics/*.json")
    if callable(wrong):
        beside = path.with_suffix(".safetensors")
        tensors, header = checkpoint.read(beside)
        checkpoint.write(beside, {k: v.contiguous() for k, v in wrong(tensors).items()}, header)
    else:
        raw = json.loads(path.read_text())
        path.write_text(json.dumps(raw | {"metrics": raw["metrics"] | wrong}))
    assert measurements.load_all(tmp_path / "r") == []
    again = measure(model_of_noise, tmp_path)
    assert again.metrics == first.metrics and len(measurements.load_all(tmp_path / "r")) == 1


def test_measures_that_an_older_version_did_not_have_are_added_and_the_others_stay(model_of_noise, tmp_path):
    first = measure(model_of_noise, tmp_path, CODES)
    (path,) = tmp_path.glob("r/metrics/*.json")
    as_older_versions_stored(path)
    (old,) = measurements.load_all(tmp_path / "r")
    assert old.metrics.decoder_use is old.metrics.retrieval is old.metrics.au_relative is None
    again = measure(model_of_noise, tmp_path, CODES)
    assert again.metrics == replace(first.metrics, nelbo=123.0)
    assert None not in [getattr(again.metrics, k) for k in CODE_USE]
    (kept,) = measurements.load_all(tmp_path / "r")
    assert kept.metrics == again.metrics and kept.per_sample.keys() == first.per_sample.keys()


def test_measurement_without_codes_lacks_nothing(model_of_noise, tmp_path):
    measure(model_of_noise, tmp_path)
    (path,) = tmp_path.glob("r/metrics/*.json")
    as_older_versions_stored(path)
    assert measure(model_of_noise, tmp_path).metrics.nelbo == 123.0  # read, not measured again


def test_missing_measure_is_an_empty_cell_and_not_0(model_of_noise, tmp_path):
    measure(model_of_noise, tmp_path, CODES)
    as_older_versions_stored(next(tmp_path.glob("r/metrics/*.json")))
    (old,) = measurements.load_all(tmp_path / "r")
    rows = {row[0].text: row[1] for row in metrics_table([old]).rows}
    for label in ("decoder use, nats", "retrieval, share of images", "active units above the noise"):
        assert rows[label].text == "-" and math.isnan(rows[label].value)
    new = measure(model_of_noise, tmp_path, CODES)
    headings = [c.heading for c in html_overview.spaces([old]).columns]
    assert "decoder use, nats" not in headings
    table = html_overview.spaces([old, new])
    cells = dict(zip([c.heading for c in table.columns], zip(*table.rows, strict=True), strict=True))
    assert [c.text for c in cells["decoder use, nats"]] == ["-", f"{new.metrics.decoder_use:.3f}"]
    assert [c.text for c in cells["active units above the noise"]] == ["-", str(new.metrics.au_relative)]


def test_table_says_what_chance_retrieves(model_of_noise, tmp_path):
    assert "chance retrieves 0.250" in metrics_table([measure(model_of_noise, tmp_path, CODES)]).caption
    assert "retrieves" not in metrics_table([measure(model_of_noise, tmp_path)]).caption
