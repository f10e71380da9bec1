"""`lso_bench.evaluate` measures latent spaces as the command does, also those of objects."""

import json
import math

import pytest
import torch
from test_frozen_models import Decoder, lay_out
from torch import nn
from torch.distributions import Bernoulli, Normal

import lso_bench
from lso_bench.errors import UnusableError, UsageError

FEW = {"nll_images": 4, "nll_samples": 5, "codes": 8, "quiet": True}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model, its weights, a task and a small data set."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


class Noisy(nn.Module):
    """An encoder with a distribution of latents."""

    def __init__(self, deviation):
        super().__init__()
        self.linear, self.deviation = nn.Linear(784, 3), deviation

    def forward(self, x):
        return Normal(self.linear(x.flatten(1)), torch.full((len(x), 3), self.deviation))


def bernoulli(x, decoded):
    """Return log p(x|z) of independent pixels."""
    return Bernoulli(decoded).log_prob(x.round()).flatten(1).sum(-1)


def pair(deviation=0.5, log_prob=bernoulli):
    torch.manual_seed(0)
    return lso_bench.model(Noisy(deviation), Decoder(), latent=3, data="noise.py", name="pair", log_prob=log_prob)


def test_row_has_the_measures_that_the_command_prints(here, call):
    (row,) = lso_bench.evaluate("mine.py", **FEW).to_dict("records")
    command = "evaluate --model mine.py --nll-images 4 --nll-samples 5 --codes 8 --json --quiet"
    (printed,) = json.loads(call(*command.split()).stdout)
    model = printed["model"]
    assert {k: row[k] for k in model if k != "name"} | {"name": row["model"]} == model
    for key, value in printed["metrics"].items():
        errors = {f"se.{k}": v for k, v in value.items()} if key == "se" else {key: value}
        for name, figure in errors.items():
            assert row[name] == figure if figure is not None else math.isnan(row[name]), name


def test_model_with_a_density_has_every_measure_of_a_vae(here):
    (row,) = lso_bench.evaluate(pair(), **FEW).to_dict("records")
    assert all(math.isfinite(row[k]) for k in ("nelbo", "nll", "kl", "mi", "decoder_use", "se.nelbo"))
    assert row["nelbo"] == pytest.approx(row["distortion"] + row["kl"])
    (without,) = lso_bench.evaluate(pair(log_prob=None), **FEW).to_dict("records")
    assert math.isnan(without["nelbo"]) and without["kl"] == row["kl"]


def test_density_of_independent_pixels_is_the_cross_entropy(here):
    space = lso_bench.space(pair())
    x, z = torch.rand(5, 1, 28, 28).round(), torch.randn(5, 3)
    decoded = space.decode(z[:, None])[:, 0]
    entropy = nn.functional.binary_cross_entropy(decoded, x, reduction="none").flatten(1).sum(-1)
    assert torch.allclose(space.log_prob(x, z), -entropy, rtol=1e-5)


def test_another_density_is_another_model(here):
    def shifted(x, decoded):
        return bernoulli(x, decoded) - 1

    rows = lso_bench.evaluate([pair(), pair(log_prob=shifted)], **FEW)
    assert rows.model.nunique() == 2 and rows.nelbo.diff()[1] == pytest.approx(1, abs=1e-3)


def test_measured_objects_enter_the_table_of_collapse(here):
    models = [pair(deviation) for deviation in (0.1, 0.4, 0.9)]
    results = lso_bench.Study(models, "./ink.py", "sobol", budget=12).run("results", quiet=True)

    def correlations():
        return results.compare().comparison.collapse.correlations

    assert correlations().empty
    lso_bench.evaluate(models, folder="results", **FEW)
    assert {"MI", "KL", "decoder use"} <= {*correlations().metric}, "of results that were read before, too"


def test_measurement_is_made_once_for_each_training_and_folder(here):
    lso_bench.evaluate("mine.py", folder="elsewhere", train_seeds=(0, 1), **FEW)  # one training: no field `seed`
    (file,) = (here / "elsewhere" / "metrics").glob("*.json")
    written = file.stat().st_mtime_ns
    lso_bench.evaluate("mine.py", folder="elsewhere", **FEW)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"models": 3}, "wanted a name, the path of a file, or an object"),
        ({"models": "vae"}, "wanted the data set of its training"),
        ({"models": "nothing", "data": "noise.py"}, "No model 'nothing'"),
        ({"models": "mine.py", "codes": 1}, "codes: wanted 2 or more"),
        ({"models": "mine.py", "nll_samples": 0}, "nll_samples: wanted a whole number from 1"),
        ({"models": "mine.py", "draws": 0.5}, "draws: wanted a whole number"),
        ({"models": "mine.py", "train_seeds": [-1]}, "train_seeds: wanted a whole number from 0"),
        ({"models": "mine.py", "data": "omniglot"}, "samples of ./noise.py, not of omniglot"),
        ({"models": "mine.py", "device": "tpu"}, "No device 'tpu'"),
    ],
)
def test_bad_argument_is_one_line_and_writes_nothing(here, unchecked, arguments, match):
    with pytest.raises(UsageError, match=match):
        lso_bench.evaluate(**arguments)
    assert not (here / "results").exists()


def test_model_without_an_encoder_is_refused(here):
    with pytest.raises(UnusableError, match="has no encoder"):
        lso_bench.evaluate(lso_bench.model(None, Decoder(), latent=3, data="noise.py"), **FEW)


def test_density_that_cannot_be_called_is_refused(here, unchecked):
    with pytest.raises(TypeError, match="log_prob: wanted a function"):
        pair(log_prob=3)
